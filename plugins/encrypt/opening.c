#include "plugins/encrypt/opening.h"

#include "storage/buffer.h"
#include "storage/file.h"

#include <inttypes.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 64

/* A key that was seen, by its tag. */
struct long_key {
   uint8_t tag[SEAL_TAG_SIZE]; /* first: a tag alone is what is searched for */
   size_t size;
   uint8_t bytes[];
};

struct opening {
   const kvs_host *host;
   const struct seal *seal;
   const char *key_path;
   struct storage_buffer plain;
   void *long_keys; /* a tree of tsearch */
   uint64_t highest, declared;
   int failed; /* KVS_OK, or the first failure, and why: */
   kvs_error failure;
};

struct opening *opening_create(const kvs_host *host, const struct seal *seal, const char *key_path)
{
   struct opening *opening = calloc(1, sizeof *opening);
   if (opening)
      *opening = (struct opening){.host = host, .seal = seal, .key_path = key_path};
   return opening;
}

void opening_destroy(struct opening *opening)
{
   tdestroy(opening->long_keys, free);
   storage_buffer_free(&opening->plain);
   free(opening);
}

/* ---- Long keys ---- */

static int compare_tags(const void *a, const void *b)
{
   return memcmp(a, b, SEAL_TAG_SIZE);
}

static bool remember(struct opening *opening, const uint8_t *tag, kvs_bytes key)
{
   if (tfind(tag, &opening->long_keys, compare_tags))
      return true;
   struct long_key *seen = malloc(sizeof *seen + key.size);
   if (!seen)
      return false;
   memcpy(seen->tag, tag, sizeof seen->tag);
   seen->size = key.size;
   memcpy(seen->bytes, key.data, key.size);
   if (tsearch(seen, &opening->long_keys, compare_tags))
      return true;
   free(seen);
   return false;
}

/* False when it was never seen. */
static bool recall(const struct opening *opening, const uint8_t *tag, kvs_bytes *key)
{
   struct long_key *const *seen = tfind(tag, &opening->long_keys, compare_tags);
   if (seen)
      *key = (kvs_bytes){(*seen)->bytes, (*seen)->size};
   return seen;
}

/* ---- Records ---- */

static int fail_to_open(const struct opening *opening, const kvs_record *record, kvs_error *error)
{
   return storage_fail(
       error, KVS_CORRUPT,
       "the record of sequence %" PRIu64 " in %.160s cannot be decrypted with the key in "
       "%.120s: it was changed, or comes from elsewhere, or the key is a different one; "
       "restore the directory from a backup, or put the right key there",
       record->sequence, opening->host->directory, opening->key_path);
}

/* Opens one record to `to`; *present is false when nothing is to be handed on. */
static int open_record(struct opening *opening, const kvs_record *record, uint8_t *to,
                       kvs_record *plain, bool *present, kvs_error *error)
{
   *plain = *record;
   *present = true;
   bool is_long = seal_is_long(record->key);
   if (record->kind == KVS_DELETE) {
      if (is_long)
         *present = recall(opening, record->key.data, &plain->key);
      else if (!seal_open_key(opening->seal, record->key, to, &plain->key))
         return fail_to_open(opening, record, error);
      return KVS_OK;
   }
   if (record->kind != KVS_SET)
      return storage_fail(error, KVS_CORRUPT,
                          "the record of sequence %" PRIu64
                          " neither sets nor deletes; it may be of "
                          "a newer version",
                          record->sequence);
   if (!seal_open(opening->seal, record->key, record->value, to, plain))
      return fail_to_open(opening, record, error);
   if (is_long && !remember(opening, record->key.data, plain->key))
      return storage_fail(error, KVS_NO_SPACE, "no memory for a long key");
   return KVS_OK;
}

static int load_batch(struct opening *opening, const kvs_record *records, size_t count,
                      kvs_error *error)
{
   kvs_record plain[BATCH];
   size_t size = 1, present_count = 0;
   for (size_t i = 0; i < count; i++)
      size += records[i].key.size + records[i].value.size;
   uint8_t *to = storage_buffer_reserve(&opening->plain, size);
   if (!to)
      return storage_fail(error, KVS_NO_SPACE, "no memory to open %zu bytes", size);
   for (size_t i = 0; i < count; i++) {
      bool present;
      int code = open_record(opening, &records[i], to, &plain[present_count], &present, error);
      if (code != KVS_OK)
         return code;
      to += records[i].key.size + records[i].value.size;
      present_count += present;
      if (records[i].sequence > opening->highest)
         opening->highest = records[i].sequence;
   }
   int code =
       present_count > 0 ? opening->host->load(opening->host, plain, present_count, error) : KVS_OK;
   storage_buffer_release(&opening->plain);
   return code;
}

int opening_load(struct opening *opening, const kvs_record *records, size_t count, kvs_error *error)
{
   int code = opening->failed;
   for (size_t done = 0; code == KVS_OK && done < count;) {
      size_t batch = count - done < BATCH ? count - done : BATCH;
      code = load_batch(opening, records + done, batch, error);
      done += batch;
   }
   if (code != KVS_OK && opening->failed == KVS_OK) {
      opening->failed = code;
      opening->failure = *error;
   }
   return code;
}

void opening_loaded_to(struct opening *opening, uint64_t sequence)
{
   if (sequence > opening->declared)
      opening->declared = sequence;
   opening->host->loaded_to(opening->host, sequence);
}

int opening_finish(struct opening *opening, int code, kvs_error *error)
{
   if (opening->failed != KVS_OK) {
      memcpy(error->text, opening->failure.text, sizeof error->text);
      return opening->failed;
   }
   /* Where the inner plug-in leaves it to the host to take the highest sequence, the host must not
    * miss that of a record that was left out. */
   if (code == KVS_OK && opening->declared == 0 && opening->highest > 0)
      opening->host->loaded_to(opening->host, opening->highest);
   return code;
}
