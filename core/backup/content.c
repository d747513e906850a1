#include "core/backup/content.h"

#include "core/datadir/active_text.h"
#include "core/support/utf8.h"
#include "storage/backup.h"
#include "storage/file.h"

#include <stdlib.h>
#include <string.h>

/* Of a sequence, so that those that follow fit: what the host takes from a plug-in, halved. */
#define SEQUENCE_MAX (KV_SEQUENCE_MAX >> 2)

struct reading {
   const struct kv_backup_source *source;
   struct kv_backup_content *content;
   struct kv_transaction *transaction; /* NULL: only check */
   bool given_up;
   uint8_t *last; /* the key before; KV_KEY_SIZE_MAX bytes */
   size_t last_size;
};

void kv_backup_content_deinit(struct kv_backup_content *content)
{
   kv_active_deinit(&content->active);
}

static int take_header(void *context, const struct storage_backup_info *info, kvs_error *error)
{
   struct kv_backup_content *content = ((struct reading *)context)->content;
   uint8_t store_id[KV_STORE_ID_SIZE];
   struct kv_status status;
   char *mode = strdup(info->mode);
   if (!mode)
      return storage_fail(error, KVS_NO_SPACE, "out of memory");
   enum kv_code code = kv_active_decode(mode, strlen(mode), &content->active, store_id, &status);
   free(mode);
   if (code != KV_OK)
      return storage_fail(error, KVS_CORRUPT, "the record of the mode in it: %s", status.text);
   if (memcmp(store_id, info->store_id, sizeof store_id) != 0)
      return storage_fail(error, KVS_CORRUPT, "the record of the mode in it is of another store");
   if (info->sequence > SEQUENCE_MAX || (info->sequence == 0 && info->keys > 0))
      return storage_fail(error, KVS_CORRUPT, "its version is out of range");
   memcpy(content->store_id, store_id, sizeof content->store_id);
   content->sequence = info->sequence;
   content->keys = info->keys;
   content->bytes = info->bytes;
   content->created_ms = info->created_ms;
   content->sealed = info->sealed;
   return KVS_OK;
}

/* As every key that a client has set: UTF-8 without NUL. A key that begins with NUL is the server's
 * own. What is sealed shows neither. */
static bool is_known(struct kv_slice key)
{
   return kv_key_is_hidden(key) ||
          (kv_utf8_valid_size(key.data, key.size) == key.size && !memchr(key.data, '\0', key.size));
}

/* What is wrong with a record, or NULL. */
static const char *find_fault(const struct reading *reading, const kvs_record *record)
{
   const struct kv_slice key = kv_slice(record->key.data, record->key.size);
   if (record->expires_at_ms < 0 || record->expires_at_ms > KV_EXPIRES_AT_MAX)
      return "it has a key whose time of expiry is out of range";
   if (key.size == 0 || key.size > KV_KEY_SIZE_MAX)
      return "it has a key that is not of 1 to 65536 bytes";
   if (!reading->content->sealed && !is_known(key))
      return "it has a key that is not UTF-8 without NUL, which no client could name";
   if (kv_slice_compare(key, kv_slice(reading->last, reading->last_size)) <= 0)
      return "its keys are not in ascending order, or one is there more than once";
   return NULL;
}

static int take_records(void *context, const kvs_record *records, size_t count, kvs_error *error)
{
   struct reading *reading = context;
   const struct kv_backup_source *source = reading->source;
   reading->given_up = source->give_up && source->give_up(source->context);
   if (reading->given_up)
      return storage_fail(error, KVS_IO, "the reading was cancelled");
   for (size_t i = 0; i < count; i++) {
      const kvs_record *record = &records[i];
      const struct kv_slice key = kv_slice(record->key.data, record->key.size);
      const char *fault = find_fault(reading, record);
      if (fault)
         return storage_fail(error, KVS_CORRUPT, "%s", fault);
      reading->content->hidden += !reading->content->sealed && kv_key_is_hidden(key);
      memcpy(reading->last, record->key.data, record->key.size);
      reading->last_size = record->key.size;
      if (reading->transaction &&
          !kv_transaction_set(reading->transaction, key,
                              kv_slice(record->value.data, record->value.size),
                              record->expires_at_ms, record->sequence))
         return storage_fail(error, KVS_NO_SPACE, "out of memory for the data");
   }
   return KVS_OK;
}

static enum kv_code code_of(const struct reading *reading, int code)
{
   if (reading->given_up)
      return KV_CANCELLED;
   switch (code) {
   case KVS_CORRUPT:
      return KV_DATA_LOSS;
   case KVS_NO_SPACE:
      return KV_RESOURCE_EXHAUSTED;
   case KVS_INVALID:
      return KV_INVALID_ARGUMENT;
   default:
      return KV_UNAVAILABLE;
   }
}

static const char *reason_of(int code)
{
   return code == KVS_CORRUPT ? "BACKUP_DAMAGED" : NULL;
}

static enum kv_code read_file(struct reading *reading, struct kv_status *status)
{
   const struct storage_backup_visitor visitor = {reading, take_header, take_records};
   const struct kv_backup_source *source = reading->source;
   kvs_error error = {.size = sizeof error};
   reading->last = malloc(KV_KEY_SIZE_MAX);
   if (!reading->last)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the backup");
   int code = storage_backup_read(source->fd, source->name, &visitor, &error);
   free(reading->last);
   return code == KVS_OK
              ? KV_OK
              : kv_fail_reason(status, code_of(reading, code), reason_of(code), "%s", error.text);
}

enum kv_code kv_backup_check(const struct kv_backup_source *source,
                             struct kv_backup_content *content, struct kv_status *status)
{
   *content = (struct kv_backup_content){0};
   struct reading reading = {.source = source, .content = content};
   return read_file(&reading, status);
}

enum kv_code kv_backup_load(const struct kv_backup_source *source, struct kv_store *store,
                            struct kv_backup_content *content, struct kv_status *status)
{
   *content = (struct kv_backup_content){0};
   struct reading reading = {
       .source = source, .content = content, .transaction = kv_store_begin(store)};
   if (!reading.transaction)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the data");
   enum kv_code code = read_file(&reading, status);
   if (code == KV_OK)
      kv_transaction_commit(reading.transaction, content->sequence);
   else
      kv_transaction_abort(reading.transaction);
   return code;
}
