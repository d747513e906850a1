#include "check/backup.h"

#include "check/recover.h"
#include "core/datadir/active_text.h"
#include "core/store/store.h"
#include "storage/backup.h"
#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a mode becomes that keeps nothing, or that this program cannot write. */
#define OTHER_MODE "hybrid"

struct reading {
   struct backup *backup;
   struct kv_transaction *transaction; /* NULL: only check */
};

static int take_header(void *context, const struct storage_backup_info *info, kvs_error *error)
{
   struct backup *backup = ((struct reading *)context)->backup;
   uint8_t store_id[KV_STORE_ID_SIZE];
   struct kv_status status;
   char *mode = strdup(info->mode);
   if (!mode)
      return storage_fail(error, KVS_NO_SPACE, "out of memory");
   enum kv_code code = kv_active_decode(mode, strlen(mode), &backup->active, store_id, &status);
   free(mode);
   if (code != KV_OK)
      return storage_fail(error, KVS_CORRUPT, "the record of the mode in it: %s", status.text);
   if (memcmp(store_id, info->store_id, sizeof store_id) != 0)
      return storage_fail(error, KVS_CORRUPT, "the record of the mode in it is of another store");
   memcpy(backup->store_id, store_id, sizeof store_id);
   backup->sequence = info->sequence;
   backup->keys = info->keys;
   backup->bytes = info->bytes;
   backup->created_ms = info->created_ms;
   return KVS_OK;
}

static int take_records(void *context, const kvs_record *records, size_t count, kvs_error *error)
{
   const struct reading *reading = context;
   for (size_t i = 0; i < count; i++) {
      const kvs_record *record = &records[i];
      if (record->expires_at_ms != 0)
         return storage_fail(error, KVS_CORRUPT,
                             "it has a key that expires, which this version cannot keep; use a "
                             "newer one");
      if (record->key.size > KV_KEY_SIZE_MAX)
         return storage_fail(error, KVS_CORRUPT, "it has a key of more than 65536 bytes");
      if (reading->transaction &&
          !kv_transaction_set(reading->transaction, kv_slice(record->key.data, record->key.size),
                              kv_slice(record->value.data, record->value.size)))
         return storage_fail(error, KVS_NO_SPACE, "out of memory for the data");
   }
   return KVS_OK;
}

static enum kv_code code_of(int code)
{
   switch (code) {
   case KVS_OK:
      return KV_OK;
   case KVS_CORRUPT:
      return KV_DATA_LOSS;
   case KVS_NO_SPACE:
      return KV_RESOURCE_EXHAUSTED;
   default:
      return KV_UNAVAILABLE;
   }
}

static enum kv_code read_file(const char *path, struct reading *reading, struct kv_status *status)
{
   const struct storage_backup_visitor visitor = {reading, take_header, take_records};
   kvs_error error = {.size = sizeof error};
   int fd = open(path, O_RDONLY | O_CLOEXEC);
   if (fd < 0)
      return kv_fail_errno(status, errno, "cannot open %s", path);
   int code = storage_backup_read(fd, path, &visitor, &error);
   close(fd);
   return code == KVS_OK ? KV_OK : kv_fail(status, code_of(code), "%s", error.text);
}

enum kv_code backup_check(const char *path, struct backup *backup, struct kv_status *status)
{
   *backup = (struct backup){0};
   struct reading reading = {.backup = backup};
   return read_file(path, &reading, status);
}

void backup_deinit(struct backup *backup)
{
   kv_active_deinit(&backup->active);
}

/* ---- Restoring ----------------------------------------------------------------------------- */

static enum kv_code load(const char *path, struct backup *backup, struct kv_store *store,
                         struct kv_status *status)
{
   struct reading reading = {.backup = backup, .transaction = kv_store_begin(store)};
   if (!reading.transaction)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the data");
   enum kv_code code = read_file(path, &reading, status);
   if (code == KV_OK && kv_transaction_count(reading.transaction) != backup->keys)
      code = kv_fail(status, KV_DATA_LOSS, "%s: has a key more than once", path);
   if (code == KV_OK)
      kv_transaction_commit(reading.transaction, backup->sequence);
   else
      kv_transaction_abort(reading.transaction);
   return code;
}

/* The mode of the directory to be written. */
static enum kv_code choose_mode(const struct backup *backup, struct recovery *recovery, bool *same,
                                struct kv_status *status)
{
   recovery->active = backup->active;
   place_find(&recovery->active, &recovery->place);
   if (recovery->place.encrypted)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "it says that its store is encrypted, and its data is not; this version makes "
                     "no such backup");
   *same = recovery->place.kept == KEPT_SNAPSHOTS || recovery->place.kept == KEPT_JOURNAL;
   if (*same)
      return KV_OK;
   static char other[] = OTHER_MODE;
   recovery->active = (struct kv_active){.plugin = other, .generation = backup->active.generation};
   place_find(&recovery->active, &recovery->place);
   return KV_OK;
}

static enum kv_code write_directory(const struct backup *backup, struct kv_store *store,
                                    const char *output, bool *same, struct kv_status *status)
{
   struct recovery recovery = {0};
   enum kv_code code = choose_mode(backup, &recovery, same, status);
   if (code == KV_OK && rmdir(output) != 0 && errno != ENOENT)
      code = kv_fail_errno(status, errno,
                           "%s exists already and cannot be replaced, which only an empty "
                           "directory can; give another path",
                           output);
   return code == KV_OK ? recover_write(&recovery, store, backup->store_id, output, status) : code;
}

enum kv_code backup_restore(const char *path, const char *output, struct backup *backup, bool *same,
                            struct kv_status *status)
{
   *backup = (struct backup){0};
   struct kv_store *store = kv_store_create();
   if (!store)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the store");
   enum kv_code code = load(path, backup, store, status);
   if (code == KV_OK)
      code = write_directory(backup, store, output, same, status);
   kv_store_destroy(store);
   return code;
}
