#include <errno.h> /* minimal: all data in one file, which each checkpoint replaces */
#include <fcntl.h>
#include <kvstore/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct minimal {
   const kvs_host *host;
   char path[4096], next[4096]; /* the file, and the one that will take its place */
};
struct head { uint8_t store_id[16]; uint64_t sequence, count; }; /* how the file begins */
struct entry { uint64_t key_size : 17, sequence : 47, value_size; int64_t expires_at_ms; };

static int fail(int code, const char *path, const char *reason, kvs_error *error)
{
   snprintf(error->text, sizeof error->text, "%.300s: %s", path, reason);
   return code;
}

static int open_minimal(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                        kvs_error *error)
{
   (void)settings, (void)count;
   struct minimal *minimal = *self = calloc(1, sizeof *minimal);
   if (!minimal)
      return fail(KVS_IO, host->directory, "no memory", error);
   minimal->host = host;
   snprintf(minimal->path, sizeof minimal->path, "%s/data", host->directory);
   snprintf(minimal->next, sizeof minimal->next, "%s/data.next", host->directory);
   return KVS_OK;
}

static int on_load(void *self, kvs_error *error)
{
   struct minimal *minimal = self;
   const kvs_host *host = minimal->host;
   struct head head;
   struct entry entry;
   FILE *file = fopen(minimal->path, "rb");
   if (!file)
      return errno == ENOENT ? KVS_OK : fail(KVS_IO, minimal->path, strerror(errno), error);
   int code = fread(&head, sizeof head, 1, file) == 1 ? KVS_OK : KVS_CORRUPT;
   if (code == KVS_OK && memcmp(head.store_id, host->store_id, sizeof head.store_id) != 0)
      code = fail(KVS_INVALID, minimal->path, "belongs to another store", error);
   for (uint64_t i = 0; code == KVS_OK && i < head.count; i++) {
      size_t size = fread(&entry, sizeof entry, 1, file) ? entry.key_size + entry.value_size : 0;
      char *bytes = size > 0 ? malloc(size) : NULL;
      if (!bytes || fread(bytes, size, 1, file) != 1)
         code = fail(KVS_CORRUPT, minimal->path, "ends too early; restore a backup", error);
      else
         code = host->load(host, &(kvs_record){entry.sequence ? entry.sequence : head.sequence,
            KVS_SET, 0, entry.expires_at_ms, {bytes, entry.key_size},
            {bytes + entry.key_size, entry.value_size}}, 1, error);
      free(bytes);
   }
   fclose(file);
   if (code == KVS_OK)
      host->loaded_to(host, head.sequence);
   return code;
}

static int on_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                    kvs_error *error)
{
   (void)self, (void)records, (void)count, (void)flags, (void)error;
   return KVS_OK; /* the next checkpoint has it */
}

static int on_tick(void *self, const kvs_tick *tick, kvs_error *error)
{
   struct minimal *minimal = self;
   struct head head = {.sequence = tick->view_sequence, .count = tick->view_count};
   kvs_record record;
   if (tick->reason == KVS_TICK_PERIODIC)
      return KVS_OK;
   memcpy(head.store_id, minimal->host->store_id, sizeof head.store_id);
   FILE *file = fopen(minimal->next, "wb");
   int good = file && fwrite(&head, sizeof head, 1, file) == 1;
   while (good && minimal->host->view_read(tick->view, &record, 1) == 1)
      good = fwrite(&(struct entry){record.key.size, record.sequence, record.value.size,
                                    record.expires_at_ms}, sizeof(struct entry), 1, file) == 1 &&
             fwrite(record.key.data, record.key.size, 1, file) == 1 &&
             fwrite(record.value.data, 1, record.value.size, file) == record.value.size;
   good = good && fflush(file) == 0 && fsync(fileno(file)) == 0;
   good = (!file || fclose(file) == 0) && good && rename(minimal->next, minimal->path) == 0;
   int directory = good ? open(minimal->host->directory, O_RDONLY | O_DIRECTORY) : -1;
   good = directory >= 0 && fsync(directory) == 0;
   if (directory >= 0)
      close(directory);
   return good ? KVS_OK : fail(KVS_IO, minimal->path, strerror(errno), error);
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {.size = sizeof kvstore_plugin,
   .abi_major = KVS_ABI_MAJOR, .abi_minor = KVS_ABI_MINOR, .name = "minimal", .version = "1.0",
   .description = "Keeps all data in one file, written at each checkpoint",
   .promise = KVS_PERIODIC, .flags = KVS_PLUGIN_PROMPT | KVS_PLUGIN_VERSIONS, .open = open_minimal,
   .on_load = on_load, .on_write = on_write, .on_tick = on_tick, .close = free};
