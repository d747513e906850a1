#include "core/backup/sealed.h"

#include "core/datadir/active_text.h"
#include "core/support/clock.h"
#include "kvstore/plugin.h"
#include "storage/backup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if KV_BACKUP_DIGEST_SIZE != STORAGE_BACKUP_DIGEST_SIZE
#error "there is one digest"
#endif

#define MS_PER_S 1000

struct kv_backup {
   struct kv_store_view *view; /* NULL: the file is there already, as: */
   struct kv_spool spool;
   uint8_t digest[KV_BACKUP_DIGEST_SIZE];
   char *mode;
   struct storage_backup_info info;
};

enum kv_code kv_backup_open(struct kv_store *store, const uint8_t store_id[16],
                            const struct kv_active *active, struct kv_backup **backup,
                            struct kv_status *status)
{
   struct kv_backup *opened = calloc(1, sizeof *opened);
   size_t size;
   if (!opened)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a backup");
   enum kv_code code = kv_active_encode(active, store_id, &opened->mode, &size, status);
   if (code == KV_OK) {
      opened->view = kv_store_view_create(store);
      if (!opened->view)
         code = kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a view of the data");
   }
   if (code != KV_OK) {
      free(opened->mode);
      free(opened);
      return code;
   }
   const struct kv_version *version = kv_store_view_version(opened->view);
   opened->info = (struct storage_backup_info){
       .sequence = kv_version_sequence(version),
       .created_ms = kv_clock_unix_ms(),
       .keys = kv_version_count(version),
       .bytes = kv_version_bytes(version),
       .mode = opened->mode,
   };
   memcpy(opened->info.store_id, store_id, sizeof opened->info.store_id);
   *backup = opened;
   return KV_OK;
}

struct kv_backup *kv_backup_of_spool(const struct kv_sealing *sealing)
{
   struct kv_backup *backup = calloc(1, sizeof *backup);
   if (!backup)
      return NULL;
   backup->spool = *sealing->spool;
   backup->info.sequence = sealing->sequence;
   memcpy(backup->digest, sealing->digest, sizeof backup->digest);
   return backup;
}

void kv_backup_close(struct kv_backup *backup)
{
   if (backup->view)
      kv_store_view_destroy(backup->view);
   else
      kv_spool_close(&backup->spool);
   free(backup->mode);
   free(backup);
}

uint64_t kv_backup_sequence(const struct kv_backup *backup)
{
   return backup->info.sequence;
}

uint64_t kv_backup_size_limit(const struct kv_backup *backup)
{
   return backup->view ? storage_backup_size_limit(&backup->info) : backup->spool.size;
}

size_t kv_backup_kept(const struct kv_backup *backup)
{
   return backup->view ? kv_store_view_kept(backup->view) : 0;
}

/* ---- Writing ---- */

/* The caller's sink behind that of storage. */
struct output {
   const struct kv_backup_sink *sink;
   struct kv_status *status;
   bool failed; /* the sink has said why in *status */
};

static int put(void *context, const void *data, size_t size, kvs_error *error)
{
   (void)error;
   struct output *output = context;
   output->failed = output->sink->write(output->sink->context, data, size, output->status) != KV_OK;
   return output->failed ? KVS_IO : KVS_OK;
}

static int write_records(const struct kv_version *version, struct storage_backup_writer *writer,
                         kvs_error *error)
{
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   int code = KVS_OK;
   kv_cursor_seek(&cursor, version, kv_slice(NULL, 0));
   while (code == KVS_OK && (entry = kv_cursor_next(&cursor))) {
      const struct kv_slice key = kv_entry_key(entry), value = kv_entry_value(entry);
      const kvs_record record = {.sequence = kv_entry_version(entry),
                                 .kind = KVS_SET,
                                 .key = {key.data, key.size},
                                 .value = {value.data, value.size},
                                 .expires_at_ms = kv_entry_expires_at(entry)};
      code = storage_backup_add(writer, &record, error);
   }
   return code;
}

static enum kv_code copy_spool(const struct kv_backup *backup, const struct kv_backup_sink *sink,
                               struct kv_status *status)
{
   static const size_t piece = (size_t)256 * 1024;
   enum kv_code code = KV_OK;
   uint8_t *buffer = malloc(piece);
   if (!buffer)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a backup");
   for (uint64_t offset = 0; code == KV_OK && offset < backup->spool.size;) {
      ssize_t got = pread(backup->spool.fd, buffer, piece, (off_t)offset);
      if (got < 0 && errno == EINTR)
         continue;
      if (got > 0)
         code = sink->write(sink->context, buffer, (size_t)got, status);
      else
         code = kv_fail_errno(status, got < 0 ? errno : EIO, "cannot read the backup back");
      offset += got > 0 ? (uint64_t)got : 0;
   }
   free(buffer);
   return code;
}

enum kv_code kv_backup_write(const struct kv_backup *backup, const struct kv_backup_sink *sink,
                             uint8_t digest[KV_BACKUP_DIGEST_SIZE], struct kv_status *status)
{
   struct output output = {.sink = sink, .status = status};
   const struct storage_backup_sink inner = {put, &output};
   struct storage_backup_writer *writer = NULL;
   kvs_error error = {.size = sizeof error};
   if (!backup->view) {
      memcpy(digest, backup->digest, KV_BACKUP_DIGEST_SIZE);
      return copy_spool(backup, sink, status);
   }
   int code = storage_backup_begin(&inner, &backup->info, &writer, &error);
   if (code == KVS_OK)
      code = write_records(kv_store_view_version(backup->view), writer, &error);
   if (code == KVS_OK)
      code = storage_backup_finish(writer, digest, &error);
   storage_backup_writer_destroy(writer);
   if (code == KVS_OK)
      return KV_OK;
   if (output.failed)
      return status->code;
   return kv_fail(status, code == KVS_NO_SPACE ? KV_RESOURCE_EXHAUSTED : KV_INTERNAL, "%s",
                  error.text);
}

uint64_t kv_backup_due_ms(uint64_t began_ms, uint64_t bytes, uint64_t rate)
{
   return rate > 0 ? began_ms + (uint64_t)((double)bytes / (double)rate * MS_PER_S) : began_ms;
}
