/*
 * lmdb: each batch is one transaction of an LMDB environment, which is durable when it commits.
 *
 * Databases
 *   data   key -> entry: struct head, with the sequence of the last change, which is the key's
 *          version, and the time of expiry; the whole key, the value. The name of a key of up to
 *          KEY_SIZE_MAX bytes is 'k' and the key; LMDB takes no longer ones, so those are named
 *          'h' and a hash of 128 bits.
 *   state  "store" -> the store's UUID; "sequence" -> the last one taken; "whole" -> exists when
 *          `data` holds all keys, and not only those that changed since this instance took part.
 *
 * The checkpoint. A plug-in that a running server switches to gets the batches from then on, and in
 * its first checkpoint the view of what was there before, while batches still come. So until that
 * checkpoint is done, deleted keys are kept as entries of the kind KVS_DELETE, and a key of the
 * view is taken only where `data` has none. Afterwards every commit is a checkpoint by itself.
 *
 * Threads: on_write and on_tick may run beside each other; LMDB has one writer at a time, and the
 * view is taken over in steps, so that a batch never waits for long.
 */
#include <errno.h>
#include <kvstore/plugin.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE_MAX 500
#define NAME_SIZE_MAX (1 + KEY_SIZE_MAX)
#define STEP_BYTES ((size_t)1 << 20) /* of the view, in one transaction */

enum { OPTION_MAP_SIZE };

static const kvs_option options[] = {
    [OPTION_MAP_SIZE] = {.name = "map_size",
                         .type = KVS_OPTION_SIZE,
                         .default_value = "4G",
                         .minimum = 1 << 20,
                         .maximum = (int64_t)1 << 40,
                         .help = "how large the file may become"},
};

struct lmdb {
   const kvs_host *host;
   MDB_env *env;
   MDB_dbi data, state;
};

/* How an entry begins. */
struct head {
   uint64_t sequence;
   int64_t expires_at_ms;
   uint32_t kind, key_size;
};

/* ---- Errors -------------------------------------------------------------------------------- */

static int fail(kvs_error *error, int code, const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(error->text, sizeof error->text, format, arguments);
   va_end(arguments);
   return code;
}

/* A transaction that failed has changed nothing, so a lack of space is no reason to give up. */
static int fail_lmdb(const struct lmdb *lmdb, kvs_error *error, int result)
{
   if (result == MDB_MAP_FULL)
      return fail(error, KVS_NO_SPACE, "%.300s is full; raise the option map_size",
                  lmdb->host->directory);
   return fail(error, result == ENOSPC || result == EDQUOT ? KVS_NO_SPACE : KVS_IO, "%.300s: %s",
               lmdb->host->directory, mdb_strerror(result));
}

/* Commits the transaction, or aborts it if `result` is a failure. */
static int end(const struct lmdb *lmdb, MDB_txn *txn, int result, kvs_error *error)
{
   if (result != 0)
      mdb_txn_abort(txn);
   else
      result = mdb_txn_commit(txn);
   return result == 0 ? KVS_OK : fail_lmdb(lmdb, error, result);
}

/* ---- Keys and entries ---------------------------------------------------------------------- */

static uint64_t hash(kvs_bytes key, uint64_t seed)
{
   const uint8_t *bytes = key.data;
   uint64_t sum = 14695981039346656037u ^ seed;
   for (size_t i = 0; i < key.size; i++)
      sum = (sum ^ bytes[i]) * 1099511628211u;
   return sum;
}

static kvs_record record_of(MDB_val entry)
{
   struct head head;
   memcpy(&head, entry.mv_data, sizeof head); /* LMDB aligns to 2 bytes only */
   const char *key = (const char *)entry.mv_data + sizeof head;
   return (kvs_record){.sequence = head.sequence,
                       .kind = head.kind,
                       .expires_at_ms = head.expires_at_ms,
                       .key = {key, head.key_size},
                       .value = {key + head.key_size, entry.mv_size - sizeof head - head.key_size}};
}

/* Gives the key's name. EEXIST when another long key has the same hash: better refused than lost.
 */
static int find_name(const struct lmdb *lmdb, MDB_txn *txn, kvs_bytes key,
                     uint8_t buffer[NAME_SIZE_MAX], MDB_val *name)
{
   bool is_long = key.size > KEY_SIZE_MAX;
   const uint64_t hashes[] = {is_long ? hash(key, 0) : 0,
                              is_long ? hash(key, 0x9e3779b97f4a7c15u) : 0};
   size_t size = is_long ? sizeof hashes : key.size;
   buffer[0] = is_long ? 'h' : 'k';
   memcpy(buffer + 1, is_long ? (const void *)hashes : key.data, size);
   *name = (MDB_val){1 + size, buffer};
   MDB_val found;
   int result = is_long ? mdb_get(txn, lmdb->data, name, &found) : MDB_NOTFOUND;
   if (result == MDB_NOTFOUND)
      return 0;
   if (result != 0)
      return result;
   kvs_bytes other = record_of(found).key;
   return other.size == key.size && memcmp(other.data, key.data, key.size) == 0 ? 0 : EEXIST;
}

static int put_entry(const struct lmdb *lmdb, MDB_txn *txn, const kvs_record *record,
                     unsigned put_flags)
{
   uint8_t buffer[NAME_SIZE_MAX];
   MDB_val name;
   const struct head head = {.sequence = record->sequence,
                             .expires_at_ms = record->expires_at_ms,
                             .kind = record->kind,
                             .key_size = (uint32_t)record->key.size};
   MDB_val entry = {sizeof head + record->key.size + record->value.size, NULL};
   int result = find_name(lmdb, txn, record->key, buffer, &name);
   if (result == 0)
      result = mdb_put(txn, lmdb->data, &name, &entry, MDB_RESERVE | put_flags);
   if (result != 0)
      return result;
   char *bytes = entry.mv_data;
   memcpy(bytes, &head, sizeof head);
   memcpy(bytes + sizeof head, record->key.data, record->key.size);
   if (record->value.size > 0)
      memcpy(bytes + sizeof head + record->key.size, record->value.data, record->value.size);
   return 0;
}

static int delete_entry(const struct lmdb *lmdb, MDB_txn *txn, kvs_bytes key)
{
   uint8_t buffer[NAME_SIZE_MAX];
   MDB_val name;
   int result = find_name(lmdb, txn, key, buffer, &name);
   if (result == 0)
      result = mdb_del(txn, lmdb->data, &name, NULL);
   return result == MDB_NOTFOUND ? 0 : result;
}

static int put_state(const struct lmdb *lmdb, MDB_txn *txn, const char *name, const void *data,
                     size_t size)
{
   MDB_val key = {strlen(name), (void *)name}, value = {size, (void *)data};
   return mdb_put(txn, lmdb->state, &key, &value, 0);
}

static int get_state(const struct lmdb *lmdb, MDB_txn *txn, const char *name, MDB_val *value)
{
   MDB_val key = {strlen(name), (void *)name};
   return mdb_get(txn, lmdb->state, &key, value);
}

static bool is_whole(const struct lmdb *lmdb, MDB_txn *txn)
{
   MDB_val found;
   return get_state(lmdb, txn, "whole", &found) == 0;
}

/* ---- Opening and loading ------------------------------------------------------------------- */

/* Writes the store's UUID into a new environment, and compares it in an old one. */
static int claim(struct lmdb *lmdb, kvs_error *error)
{
   MDB_txn *txn;
   MDB_val found;
   int result = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
   if (result != 0)
      return fail_lmdb(lmdb, error, result);
   result = mdb_dbi_open(txn, "data", MDB_CREATE, &lmdb->data);
   if (result == 0)
      result = mdb_dbi_open(txn, "state", MDB_CREATE, &lmdb->state);
   if (result == 0) {
      result = get_state(lmdb, txn, "store", &found);
      if (result == 0 && (found.mv_size != 16 || memcmp(found.mv_data, lmdb->host->store_id, 16))) {
         mdb_txn_abort(txn);
         return fail(error, KVS_INVALID, "%.300s holds the data of another store",
                     lmdb->host->directory);
      }
      if (result == MDB_NOTFOUND)
         result = put_state(lmdb, txn, "store", lmdb->host->store_id, 16);
   }
   return end(lmdb, txn, result, error);
}

static void close_lmdb(void *self)
{
   struct lmdb *lmdb = self;
   mdb_env_close(lmdb->env);
   free(lmdb);
}

static int open_lmdb(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                     kvs_error *error)
{
   (void)count;
   struct lmdb *lmdb = calloc(1, sizeof *lmdb);
   if (!lmdb || mdb_env_create(&lmdb->env) != 0) {
      free(lmdb);
      return fail(error, KVS_IO, "no memory");
   }
   lmdb->host = host;
   int result = mdb_env_set_maxdbs(lmdb->env, 2);
   if (result == 0)
      result = mdb_env_set_mapsize(lmdb->env, (size_t)settings[OPTION_MAP_SIZE].integer);
   /* NOTLS: transactions belong to no thread, as the ABI promises only one at a time. */
   if (result == 0)
      result = mdb_env_open(lmdb->env, host->directory, MDB_NOTLS, 0600);
   int code = result == 0 ? claim(lmdb, error) : fail_lmdb(lmdb, error, result);
   if (code != KVS_OK)
      close_lmdb(lmdb);
   else
      *self = lmdb;
   return code;
}

static int load_entries(const struct lmdb *lmdb, MDB_txn *txn, kvs_error *error)
{
   MDB_cursor *cursor;
   MDB_val name, entry;
   int result = mdb_cursor_open(txn, lmdb->data, &cursor);
   if (result != 0)
      return fail_lmdb(lmdb, error, result);
   int code = KVS_OK;
   while (code == KVS_OK && (result = mdb_cursor_get(cursor, &name, &entry, MDB_NEXT)) == 0) {
      kvs_record record = record_of(entry);
      code = lmdb->host->load(lmdb->host, &record, 1, error);
   }
   mdb_cursor_close(cursor);
   if (code == KVS_OK && result != MDB_NOTFOUND)
      code = fail_lmdb(lmdb, error, result);
   return code;
}

static int load_lmdb(void *self, kvs_error *error)
{
   struct lmdb *lmdb = self;
   MDB_txn *txn;
   MDB_val found;
   int result = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn);
   if (result != 0)
      return fail_lmdb(lmdb, error, result);
   int code = load_entries(lmdb, txn, error);
   if (code == KVS_OK && get_state(lmdb, txn, "sequence", &found) == 0) {
      uint64_t sequence;
      memcpy(&sequence, found.mv_data, sizeof sequence);
      lmdb->host->loaded_to(lmdb->host, sequence);
   }
   mdb_txn_abort(txn);
   return code;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static int write_records(const struct lmdb *lmdb, MDB_txn *txn, const kvs_record *records,
                         size_t count)
{
   int result = 0;
   bool whole = is_whole(lmdb, txn);
   if (!whole && records[0].sequence == 1) { /* the first of all: nothing was there before */
      whole = true;
      result = put_state(lmdb, txn, "whole", "", 0);
   }
   for (size_t i = 0; result == 0 && i < count; i++)
      result = records[i].kind == KVS_DELETE && whole ? delete_entry(lmdb, txn, records[i].key)
                                                      : put_entry(lmdb, txn, &records[i], 0);
   if (result == 0)
      result = put_state(lmdb, txn, "sequence", &records[count - 1].sequence, sizeof(uint64_t));
   return result;
}

static int write_lmdb(void *self, const kvs_record *records, size_t count, uint32_t flags,
                      kvs_error *error)
{
   (void)flags; /* every commit is synced */
   struct lmdb *lmdb = self;
   MDB_txn *txn;
   int result = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
   if (result != 0)
      return fail_lmdb(lmdb, error, result);
   return end(lmdb, txn, write_records(lmdb, txn, records, count), error);
}

/* ---- The first checkpoint ------------------------------------------------------------------ */

/* Takes over one step of the view; *more is false at its end. */
static int take_step(const struct lmdb *lmdb, MDB_txn *txn, const kvs_tick *tick, bool *more)
{
   kvs_record record;
   int result = 0;
   for (size_t bytes = 0; result == 0 && bytes < STEP_BYTES;
        bytes += record.key.size + record.value.size) {
      *more = lmdb->host->view_read(tick->view, &record, 1) == 1;
      if (!*more)
         break;
      result = put_entry(lmdb, txn, &record, MDB_NOOVERWRITE);
      if (result == MDB_KEYEXIST) /* changed since */
         result = 0;
   }
   return result;
}

static int remove_deleted(const struct lmdb *lmdb, MDB_txn *txn)
{
   MDB_cursor *cursor;
   MDB_val name, entry;
   int result = mdb_cursor_open(txn, lmdb->data, &cursor);
   if (result != 0)
      return result;
   while ((result = mdb_cursor_get(cursor, &name, &entry, MDB_NEXT)) == 0)
      if (record_of(entry).kind == KVS_DELETE && (result = mdb_cursor_del(cursor, 0)) != 0)
         break;
   mdb_cursor_close(cursor);
   return result == MDB_NOTFOUND ? 0 : result;
}

/* With the last step the state is whole, in the same transaction. */
static int finish(const struct lmdb *lmdb, MDB_txn *txn, const kvs_tick *tick)
{
   MDB_val found;
   int result = remove_deleted(lmdb, txn);
   if (result == 0)
      result = put_state(lmdb, txn, "whole", "", 0);
   if (result == 0 && get_state(lmdb, txn, "sequence", &found) == MDB_NOTFOUND)
      result = put_state(lmdb, txn, "sequence", &tick->view_sequence, sizeof tick->view_sequence);
   return result;
}

/* Unless it is whole, and the view taken over long ago. */
static int take_view(const struct lmdb *lmdb, const kvs_tick *tick, kvs_error *error)
{
   int code = KVS_OK;
   for (bool more = true; more && code == KVS_OK;) {
      MDB_txn *txn;
      int result = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
      if (result != 0)
         return fail_lmdb(lmdb, error, result);
      if (is_whole(lmdb, txn)) {
         mdb_txn_abort(txn);
         return KVS_OK;
      }
      result = take_step(lmdb, txn, tick, &more);
      if (result == 0 && !more)
         result = finish(lmdb, txn, tick);
      code = end(lmdb, txn, result, error);
   }
   return code;
}

static int tick_lmdb(void *self, const kvs_tick *tick, kvs_error *error)
{
   const struct lmdb *lmdb = self;
   const kvs_host *host = lmdb->host;
   if (tick->reason == KVS_TICK_PERIODIC)
      return KVS_OK;
   int code = take_view(lmdb, tick, error);
   int result = code == KVS_OK ? mdb_env_sync(lmdb->env, 1) : 0;
   if (result != 0)
      code = fail_lmdb(lmdb, error, result);
   if (code == KVS_OK && host->size >= offsetof(kvs_host, saved) + sizeof host->saved)
      host->saved(host, tick->view_sequence);
   return code;
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "lmdb",
    .version = "1.0",
    .description = "Keeps the data in an LMDB environment; each batch is a transaction",
    .promise = KVS_DURABLE,
    .flags = KVS_PLUGIN_COPIES | KVS_PLUGIN_VERSIONS,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .open = open_lmdb,
    .on_load = load_lmdb,
    .on_write = write_lmdb,
    .on_tick = tick_lmdb,
    .close = close_lmdb,
};
