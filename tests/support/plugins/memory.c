/*
 * A correct plug-in that keeps all records in the process's memory, by directory: an instance
 * opened later over the same directory hands them back. A checkpoint replaces them with the view.
 */
#include "kvstore/plugin.h"

#ifndef NAME
#error "the build gives the name"
#endif
#ifndef FLAGS
#define FLAGS 0
#endif

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct kept {
   struct kept *next;
   kvs_record record;
   char bytes[]; /* key and value */
};

struct drawer {
   struct drawer *next;
   char *directory;
   struct kept *first, **last;
   uint64_t sequence;
};

struct memory {
   const kvs_host *host;
   struct drawer *drawer;
};

/* Outlives the instances on purpose. The lock is for on_write beside on_tick. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct drawer *drawers;

static void empty_drawer(struct drawer *drawer)
{
   while (drawer->first) {
      struct kept *next = drawer->first->next;
      free(drawer->first);
      drawer->first = next;
   }
   drawer->last = &drawer->first;
}

__attribute__((destructor)) static void empty_all(void)
{
   while (drawers) {
      struct drawer *next = drawers->next;
      empty_drawer(drawers);
      free(drawers->directory);
      free(drawers);
      drawers = next;
   }
}

static int keep(struct drawer *drawer, const kvs_record *record)
{
   struct kept *kept = malloc(sizeof *kept + record->key.size + record->value.size);
   if (!kept)
      return KVS_IO;
   kept->next = NULL;
   kept->record = *record;
   memcpy(kept->bytes, record->key.data, record->key.size);
   if (record->value.size > 0)
      memcpy(kept->bytes + record->key.size, record->value.data, record->value.size);
   kept->record.key.data = kept->bytes;
   kept->record.value.data = kept->bytes + record->key.size;
   *drawer->last = kept;
   drawer->last = &kept->next;
   drawer->sequence = record->sequence;
   return KVS_OK;
}

static struct drawer *find_drawer(const char *directory)
{
   for (struct drawer *drawer = drawers; drawer; drawer = drawer->next)
      if (strcmp(drawer->directory, directory) == 0)
         return drawer;
   struct drawer *drawer = calloc(1, sizeof *drawer);
   if (!drawer)
      return NULL;
   drawer->directory = strdup(directory);
   drawer->last = &drawer->first;
   drawer->next = drawers;
   drawers = drawer;
   return drawer;
}

static int open_memory(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                       kvs_error *error)
{
   (void)settings;
   (void)count;
   (void)error;
   struct memory *memory = calloc(1, sizeof *memory);
   if (!memory)
      return KVS_IO;
   memory->host = host;
   memory->drawer = find_drawer(host->directory);
   host->log(host, KVS_LOG_DEBUG, "opened");
   *self = memory;
   return KVS_OK;
}

static int load_memory(void *self, kvs_error *error)
{
   struct memory *memory = self;
   int code = KVS_OK;
   for (struct kept *kept = memory->drawer->first; kept && code == KVS_OK; kept = kept->next)
      code = memory->host->load(memory->host, &kept->record, 1, error);
   if (code == KVS_OK)
      memory->host->loaded_to(memory->host, memory->drawer->sequence);
   return code;
}

static int write_memory(void *self, const kvs_record *records, size_t count, uint32_t flags,
                        kvs_error *error)
{
   (void)flags;
   (void)error;
   struct memory *memory = self;
   int code = KVS_OK;
   pthread_mutex_lock(&lock);
   for (size_t i = 0; i < count && code == KVS_OK; i++)
      code = keep(memory->drawer, &records[i]);
   pthread_mutex_unlock(&lock);
   memory->host->wake(memory->host);
   return code;
}

/* Moves what was written after the view was taken to the end of `fresh`. */
static void move_later_records(struct drawer *from, struct drawer *fresh, uint64_t sequence)
{
   struct kept *next;
   for (struct kept *kept = from->first; kept; kept = next) {
      next = kept->next;
      if (kept->record.sequence > sequence) {
         kept->next = NULL;
         *fresh->last = kept;
         fresh->last = &kept->next;
      } else {
         free(kept);
      }
   }
   from->first = fresh->first;
   from->last = fresh->first ? fresh->last : &from->first;
}

static int checkpoint(struct memory *memory, const kvs_tick *tick)
{
   struct drawer fresh = {.last = &fresh.first};
   kvs_record records[3];
   int code = KVS_OK;
   size_t count;
   while (code == KVS_OK && (count = memory->host->view_read(tick->view, records, 3)) > 0)
      for (size_t i = 0; i < count && code == KVS_OK; i++)
         code = keep(&fresh, &records[i]);
   if (code != KVS_OK) {
      empty_drawer(&fresh);
      return code;
   }
   pthread_mutex_lock(&lock);
   move_later_records(memory->drawer, &fresh, tick->view_sequence);
   if (memory->drawer->sequence < tick->view_sequence)
      memory->drawer->sequence = tick->view_sequence;
   pthread_mutex_unlock(&lock);
   if (memory->host->size >= sizeof *memory->host)
      memory->host->saved(memory->host, tick->view_sequence);
   return KVS_OK;
}

static int tick_memory(void *self, const kvs_tick *tick, kvs_error *error)
{
   (void)error;
   return tick->reason == KVS_TICK_CHECKPOINT ? checkpoint(self, tick) : KVS_OK;
}

static void close_memory(void *self)
{
   free(self);
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = NAME,
    .version = "1.0",
    .description = "keeps records while the process lives, for tests",
    .promise = KVS_PERIODIC,
    .flags = FLAGS,
    .open = open_memory,
    .on_load = load_memory,
    .on_write = write_memory,
    .on_tick = tick_memory,
    .close = close_memory,
};
