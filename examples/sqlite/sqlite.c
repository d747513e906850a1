/*
 * sqlite: the data is a table of an SQLite database, which other programs may read:
 *
 *    sqlite3 -readonly data/gen-000001/kvstore.db 'select key, value from kv'
 *
 * Each batch is one transaction. Tables
 *   kv     key, value, expires_at_ms, sequence (of the last change: the key's version)
 *   gone   the keys deleted while `whole` is not set, see below
 *   state  store (the UUID), sequence (the last one taken), whole (1: kv has all keys)
 *
 * The checkpoint. A plug-in that a running server switches to gets the batches from then on, and in
 * its first checkpoint the view of what was there before, while batches still come. Until that
 * checkpoint is done it remembers what was deleted, and takes a key of the view only when it was
 * neither set nor deleted since. Afterwards every commit is a checkpoint by itself.
 *
 * Threads: on_write and on_tick may run beside each other; one connection, one lock. The view is
 * taken over in steps, so that a batch never waits for long.
 */
#include <kvstore/plugin.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_BYTES ((size_t)1 << 20) /* of the view, in one transaction */

static const char schema[] =
    "pragma journal_mode = wal;"
    "pragma synchronous = full;" /* a commit is on the disk when it returns */
    "create table if not exists kv (key blob primary key, value blob not null,"
    "  expires_at_ms integer not null, sequence integer not null) without rowid;"
    "create table if not exists gone (key blob primary key) without rowid;"
    "create table if not exists state (name text primary key, value not null) without rowid;";

enum {
   BEGIN,
   COMMIT,
   ROLLBACK,
   SET,
   SET_MISSING,
   DELETE,
   NOTE_GONE,
   NOT_GONE,
   GET_STATE,
   PUT_STATE,
   READ_ALL,
   FORGET_GONE,
   STATEMENTS
};

static const char *const statements[STATEMENTS] = {
    [BEGIN] = "begin immediate",
    [COMMIT] = "commit",
    [ROLLBACK] = "rollback",
    [SET] = "insert or replace into kv values (?1, ?2, ?3, ?4)",
    [SET_MISSING] = "insert or ignore into kv select ?1, ?2, ?3, ?4"
                    " where not exists (select 1 from gone where key = ?1)",
    [DELETE] = "delete from kv where key = ?1",
    [NOTE_GONE] = "insert or ignore into gone values (?1)",
    [NOT_GONE] = "delete from gone where key = ?1",
    [GET_STATE] = "select value from state where name = ?1",
    [PUT_STATE] = "insert or replace into state values (?1, ?2)",
    [READ_ALL] = "select key, value, expires_at_ms, sequence from kv",
    [FORGET_GONE] = "delete from gone",
};

struct sqlite {
   const kvs_host *host;
   sqlite3 *database;
   sqlite3_stmt *statements[STATEMENTS];
   pthread_mutex_t lock;
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

static int fail_sqlite(const struct sqlite *sqlite, int result, kvs_error *error)
{
   int code = result == SQLITE_FULL      ? KVS_NO_SPACE
              : result == SQLITE_CORRUPT ? KVS_CORRUPT
              : result == SQLITE_NOTADB  ? KVS_CORRUPT
                                         : KVS_IO;
   return fail(error, code, "%.300s/kvstore.db: %s", sqlite->host->directory,
               sqlite->database ? sqlite3_errmsg(sqlite->database) : "no memory");
}

/* ---- Statements ---------------------------------------------------------------------------- */

/* Runs one that gives no rows; what was bound is unbound. SQLITE_OK or an error. */
static int run(const struct sqlite *sqlite, int which)
{
   sqlite3_stmt *statement = sqlite->statements[which];
   int result = sqlite3_step(statement);
   int reset = sqlite3_reset(statement);
   sqlite3_clear_bindings(statement);
   return result == SQLITE_DONE || result == SQLITE_ROW ? SQLITE_OK : reset;
}

static void bind(sqlite3_stmt *statement, int at, kvs_bytes bytes)
{
   /* A NULL pointer would bind null instead of no bytes. */
   sqlite3_bind_blob64(statement, at, bytes.size > 0 ? bytes.data : "", bytes.size, SQLITE_STATIC);
}

static int run_with_key(const struct sqlite *sqlite, int which, kvs_bytes key)
{
   bind(sqlite->statements[which], 1, key);
   return run(sqlite, which);
}

static int put_record(const struct sqlite *sqlite, int which, const kvs_record *record)
{
   sqlite3_stmt *statement = sqlite->statements[which];
   bind(statement, 1, record->key);
   bind(statement, 2, record->value);
   sqlite3_bind_int64(statement, 3, record->expires_at_ms);
   sqlite3_bind_int64(statement, 4, (sqlite3_int64)record->sequence);
   return run(sqlite, which);
}

/* 0 when there is none. */
static int64_t get_number(const struct sqlite *sqlite, const char *name)
{
   sqlite3_stmt *statement = sqlite->statements[GET_STATE];
   int64_t number = 0;
   sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
   if (sqlite3_step(statement) == SQLITE_ROW)
      number = sqlite3_column_int64(statement, 0);
   sqlite3_reset(statement);
   return number;
}

static int put_number(const struct sqlite *sqlite, const char *name, int64_t number)
{
   sqlite3_stmt *statement = sqlite->statements[PUT_STATE];
   sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
   sqlite3_bind_int64(statement, 2, number);
   return run(sqlite, PUT_STATE);
}

/* Ends the transaction that was begun; what failed leaves no trace. */
static int end_transaction(const struct sqlite *sqlite, int result, kvs_error *error)
{
   if (result == SQLITE_OK)
      result = run(sqlite, COMMIT);
   if (result == SQLITE_OK)
      return KVS_OK;
   int code = fail_sqlite(sqlite, result, error);
   if (!sqlite3_get_autocommit(sqlite->database) && run(sqlite, ROLLBACK) != SQLITE_OK)
      code = KVS_IO;
   return code;
}

/* ---- Opening and closing ------------------------------------------------------------------- */

static void close_sqlite(void *self)
{
   struct sqlite *sqlite = self;
   for (int i = 0; i < STATEMENTS; i++)
      sqlite3_finalize(sqlite->statements[i]);
   sqlite3_close(sqlite->database);
   pthread_mutex_destroy(&sqlite->lock);
   free(sqlite);
}

static int claim(const struct sqlite *sqlite, kvs_error *error)
{
   sqlite3_stmt *statement = sqlite->statements[GET_STATE];
   sqlite3_bind_text(statement, 1, "store", -1, SQLITE_STATIC);
   int result = sqlite3_step(statement);
   bool other = result == SQLITE_ROW &&
                (sqlite3_column_bytes(statement, 0) != 16 ||
                 memcmp(sqlite3_column_blob(statement, 0), sqlite->host->store_id, 16) != 0);
   sqlite3_reset(statement);
   if (other)
      return fail(error, KVS_INVALID, "%.300s/kvstore.db is of another store",
                  sqlite->host->directory);
   if (result == SQLITE_DONE) {
      statement = sqlite->statements[PUT_STATE];
      sqlite3_bind_text(statement, 1, "store", -1, SQLITE_STATIC);
      bind(statement, 2, (kvs_bytes){sqlite->host->store_id, 16});
      result = run(sqlite, PUT_STATE);
   } else if (result == SQLITE_ROW) {
      result = SQLITE_OK;
   }
   return result == SQLITE_OK ? KVS_OK : fail_sqlite(sqlite, result, error);
}

static int open_database(struct sqlite *sqlite, kvs_error *error)
{
   char path[4200];
   snprintf(path, sizeof path, "%s/kvstore.db", sqlite->host->directory);
   int result =
       sqlite3_open_v2(path, &sqlite->database,
                       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
   if (result == SQLITE_OK)
      result = sqlite3_exec(sqlite->database, schema, NULL, NULL, NULL);
   for (int i = 0; result == SQLITE_OK && i < STATEMENTS; i++)
      result = sqlite3_prepare_v3(sqlite->database, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                  &sqlite->statements[i], NULL);
   return result == SQLITE_OK ? claim(sqlite, error) : fail_sqlite(sqlite, result, error);
}

static int open_sqlite(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                       kvs_error *error)
{
   (void)settings, (void)count;
   struct sqlite *sqlite = calloc(1, sizeof *sqlite);
   if (!sqlite)
      return fail(error, KVS_IO, "no memory");
   sqlite->host = host;
   pthread_mutex_init(&sqlite->lock, NULL);
   int code = open_database(sqlite, error);
   if (code != KVS_OK)
      close_sqlite(sqlite);
   else
      *self = sqlite;
   return code;
}

/* ---- Loading ------------------------------------------------------------------------------- */

static kvs_bytes column(sqlite3_stmt *statement, int at)
{
   const void *data = sqlite3_column_blob(statement, at);
   return (kvs_bytes){data, (size_t)sqlite3_column_bytes(statement, at)};
}

static int load_sqlite(void *self, kvs_error *error)
{
   const struct sqlite *sqlite = self;
   sqlite3_stmt *statement = sqlite->statements[READ_ALL];
   int code = KVS_OK, result = SQLITE_ROW;
   while (code == KVS_OK && (result = sqlite3_step(statement)) == SQLITE_ROW) {
      const kvs_record record = {.sequence = (uint64_t)sqlite3_column_int64(statement, 3),
                                 .kind = KVS_SET,
                                 .expires_at_ms = sqlite3_column_int64(statement, 2),
                                 .key = column(statement, 0),
                                 .value = column(statement, 1)};
      code = sqlite->host->load(sqlite->host, &record, 1, error);
   }
   if (code == KVS_OK && result != SQLITE_DONE)
      code = fail_sqlite(sqlite, result, error);
   sqlite3_reset(statement);
   int64_t sequence = get_number(sqlite, "sequence");
   if (code == KVS_OK && sequence > 0)
      sqlite->host->loaded_to(sqlite->host, (uint64_t)sequence);
   return code;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static int take_record(const struct sqlite *sqlite, const kvs_record *record, bool whole)
{
   bool deletes = record->kind == KVS_DELETE;
   int result =
       deletes ? run_with_key(sqlite, DELETE, record->key) : put_record(sqlite, SET, record);
   if (result == SQLITE_OK && !whole)
      result = run_with_key(sqlite, deletes ? NOTE_GONE : NOT_GONE, record->key);
   return result;
}

static int write_sqlite(void *self, const kvs_record *records, size_t count, uint32_t flags,
                        kvs_error *error)
{
   (void)flags; /* every commit is synced */
   struct sqlite *sqlite = self;
   pthread_mutex_lock(&sqlite->lock);
   int result = run(sqlite, BEGIN);
   bool whole = get_number(sqlite, "whole") != 0;
   if (result == SQLITE_OK && !whole && records[0].sequence == 1) {
      whole = true; /* the first record of all: nothing was there before */
      result = put_number(sqlite, "whole", 1);
   }
   for (size_t i = 0; result == SQLITE_OK && i < count; i++)
      result = take_record(sqlite, &records[i], whole);
   if (result == SQLITE_OK)
      result = put_number(sqlite, "sequence", (int64_t)records[count - 1].sequence);
   int code = end_transaction(sqlite, result, error);
   pthread_mutex_unlock(&sqlite->lock);
   return code == KVS_CORRUPT ? KVS_IO : code;
}

/* ---- The first checkpoint ------------------------------------------------------------------ */

static int take_step(const struct sqlite *sqlite, const kvs_tick *tick, bool *more)
{
   kvs_record record;
   int result = SQLITE_OK;
   for (size_t bytes = 0; result == SQLITE_OK && bytes < STEP_BYTES;
        bytes += record.key.size + record.value.size) {
      *more = sqlite->host->view_read(tick->view, &record, 1) == 1;
      if (!*more)
         break;
      result = put_record(sqlite, SET_MISSING, &record);
   }
   return result;
}

static int take_view(struct sqlite *sqlite, const kvs_tick *tick, kvs_error *error)
{
   int code = KVS_OK;
   for (bool more = true; code == KVS_OK && more;) {
      pthread_mutex_lock(&sqlite->lock);
      int result = run(sqlite, BEGIN);
      if (get_number(sqlite, "whole") != 0)
         more = false;
      else if (result == SQLITE_OK)
         result = take_step(sqlite, tick, &more);
      if (result == SQLITE_OK && !more)
         result = put_number(sqlite, "whole", 1);
      if (result == SQLITE_OK && !more)
         result = run(sqlite, FORGET_GONE);
      if (result == SQLITE_OK && !more && get_number(sqlite, "sequence") == 0)
         result = put_number(sqlite, "sequence", (int64_t)tick->view_sequence);
      code = end_transaction(sqlite, result, error);
      pthread_mutex_unlock(&sqlite->lock);
   }
   return code == KVS_CORRUPT ? KVS_IO : code;
}

static int tick_sqlite(void *self, const kvs_tick *tick, kvs_error *error)
{
   struct sqlite *sqlite = self;
   const kvs_host *host = sqlite->host;
   if (tick->reason == KVS_TICK_PERIODIC)
      return KVS_OK;
   int code = take_view(sqlite, tick, error);
   if (code == KVS_OK && host->size >= offsetof(kvs_host, saved) + sizeof host->saved)
      host->saved(host, tick->view_sequence);
   return code;
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "sqlite",
    .version = "1.0",
    .description = "Keeps the data in a table of an SQLite database; each batch is a transaction",
    .promise = KVS_DURABLE,
    .flags = KVS_PLUGIN_VERSIONS,
    .open = open_sqlite,
    .on_load = load_sqlite,
    .on_write = write_sqlite,
    .on_tick = tick_sqlite,
    .close = close_sqlite,
};
