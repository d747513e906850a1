#include "core/backup/sealed.h"

#include "core/datadir/active_text.h"
#include "core/support/clock.h"
#include "storage/backup.h"
#include "storage/file.h"

#include <stdlib.h>
#include <string.h>

#define READ_BATCH 64

/* ---- Making one ---- */

static int put(void *context, const void *data, size_t size, kvs_error *error)
{
   const struct kv_sealing *sealing = context;
   struct kv_status status;
   if (kv_spool_write(sealing->spool, kv_slice(data, size), &status) == KV_OK)
      return KVS_OK;
   return storage_fail(error, status.code == KV_RESOURCE_EXHAUSTED ? KVS_NO_SPACE : KVS_IO,
                       "%.480s", status.text);
}

/* The key before, which the wrapper may have overwritten since. */
struct last_key {
   size_t size;
   uint8_t bytes[KV_KEY_SIZE_MAX];
};

/* A file out of order would be refused when it is needed. */
static int add(struct storage_backup_writer *writer, const kvs_record *record,
               struct last_key *last, kvs_error *error)
{
   const struct kv_slice key = kv_slice(record->key.data, record->key.size);
   if (key.size == 0 || key.size > sizeof last->bytes ||
       kv_slice_compare(key, kv_slice(last->bytes, last->size)) <= 0)
      return storage_fail(error, KVS_INVALID,
                          "the plug-in gave a view whose keys are not in ascending order, of 1 to "
                          "65536 bytes");
   memcpy(last->bytes, key.data, key.size);
   last->size = key.size;
   return storage_backup_add(writer, record, error);
}

static int write_records(const kvs_host *host, const kvs_tick *tick,
                         struct storage_backup_writer *writer, kvs_error *error)
{
   kvs_record records[READ_BATCH];
   size_t count;
   int code = KVS_OK;
   struct last_key *last = malloc(sizeof *last);
   if (!last)
      return storage_fail(error, KVS_NO_SPACE, "no memory for a backup");
   last->size = 0;
   while (code == KVS_OK && (count = host->view_read(tick->view, records, READ_BATCH)) > 0)
      for (size_t i = 0; code == KVS_OK && i < count; i++)
         code = add(writer, &records[i], last, error);
   free(last);
   return code;
}

int kv_sealed_checkpoint(void *context, const kvs_host *host, const kvs_tick *tick,
                         kvs_error *error)
{
   struct kv_sealing *sealing = context;
   struct storage_backup_info info = {.sealed = true,
                                      .sequence = tick->view_sequence,
                                      .created_ms = kv_clock_unix_ms(),
                                      .keys = tick->view_count,
                                      .bytes = tick->view_bytes};
   const struct storage_backup_sink sink = {put, sealing};
   struct storage_backup_writer *writer = NULL;
   struct kv_status status;
   size_t size;
   char *mode;
   memcpy(info.store_id, sealing->store_id, sizeof info.store_id);
   if (kv_active_encode(sealing->active, sealing->store_id, &mode, &size, &status) != KV_OK)
      return storage_fail(error, KVS_NO_SPACE, "%.480s", status.text);
   info.mode = mode;
   sealing->sequence = tick->view_sequence;
   int code = storage_backup_begin(&sink, &info, &writer, error);
   if (code == KVS_OK)
      code = write_records(host, tick, writer, error);
   if (code == KVS_OK)
      code = storage_backup_finish(writer, sealing->digest, error);
   storage_backup_writer_destroy(writer);
   free(mode);
   return code;
}

/* ---- Reading one ---- */

struct handing {
   const struct kv_backup_source *source;
   const kvs_host *host;
   uint64_t sequence;
};

static int take_header(void *context, const struct storage_backup_info *info, kvs_error *error)
{
   (void)error;
   ((struct handing *)context)->sequence = info->sequence;
   return KVS_OK;
}

static int take_records(void *context, const kvs_record *records, size_t count, kvs_error *error)
{
   const struct handing *handing = context;
   const struct kv_backup_source *source = handing->source;
   if (source->give_up && source->give_up(source->context))
      return storage_fail(error, KVS_IO, "the reading was cancelled");
   return handing->host->load(handing->host, records, count, error);
}

int kv_sealed_load(void *context, const kvs_host *host, kvs_error *error)
{
   struct handing handing = {context, host, 0};
   const struct storage_backup_visitor visitor = {&handing, take_header, take_records};
   int code = storage_backup_read(handing.source->fd, handing.source->name, &visitor, error);
   if (code == KVS_OK)
      host->loaded_to(host, handing.sequence);
   return code;
}
