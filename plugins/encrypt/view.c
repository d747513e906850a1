#include "plugins/encrypt/view.h"

#include "storage/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* How much one read seals, but for a single larger record. */
#define STEP_BYTES ((size_t)1 << 20)
#define READ_BATCH 64
#define KEY_SIZE_BITS 16

struct entry {
   uint8_t tag[SEAL_TAG_SIZE];
   const void *key, *value; /* the host's, valid until the hook returns */
   uint64_t sizes;          /* of the value, and in the low bits of the key, less 1 */
   int64_t expires_at_ms;
   uint64_t sequence;
};

struct kvs_view {
   const kvs_host *host;
   const struct seal *seal;
   kvs_view *outer; /* the host's */
   uint64_t sequence;
   bool copies, versions, collected;
   bool exceeded; /* the host's view holds more than its tick says */
   struct seal_nonce nonce;
   uint8_t *memory; /* first the entries, then what is sealed */
   size_t memory_size, used;
   struct entry *entries;
   size_t expected, count, next;
};

int view_create(const kvs_host *host, const struct seal *seal, const kvs_tick *tick, uint32_t flags,
                kvs_view **view, kvs_error *error)
{
   kvs_view *created = calloc(1, sizeof *created);
   if (!created)
      return storage_fail(error, KVS_NO_SPACE, "no memory for a checkpoint");
   size_t entries = tick->view_count * sizeof(struct entry);
   *created = (kvs_view){
       .host = host,
       .seal = seal,
       .outer = tick->view,
       .sequence = tick->view_sequence,
       .copies = flags & KVS_PLUGIN_COPIES,
       .versions = flags & KVS_PLUGIN_VERSIONS,
       .memory_size = entries + tick->view_bytes + tick->view_count * SEAL_OVERHEAD + 1,
       .expected = tick->view_count,
   };
   created->memory = mmap(NULL, created->memory_size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
   if (created->memory == MAP_FAILED) {
      int code = storage_fail(error, KVS_NO_SPACE,
                              "no memory for %zu bytes that a checkpoint may need: %s",
                              created->memory_size, strerror(errno));
      free(created);
      return code;
   }
   created->entries = (struct entry *)(void *)created->memory;
   *view = created;
   return KVS_OK;
}

void view_destroy(kvs_view *view)
{
   munmap(view->memory, view->memory_size);
   free(view);
}

/* ---- Sorting ---- */

/* Returns the bytes that it takes when sealed. */
static size_t add(kvs_view *view, const kvs_record *record)
{
   struct entry *entry = &view->entries[view->count++];
   seal_tag(view->seal, record->key, entry->tag);
   entry->key = record->key.data;
   entry->value = record->value.data;
   entry->sizes = (uint64_t)record->value.size << KEY_SIZE_BITS | (record->key.size - 1);
   entry->expires_at_ms = record->expires_at_ms;
   entry->sequence = view->versions ? record->sequence : view->sequence;
   return record->key.size + record->value.size + SEAL_OVERHEAD;
}

/* Sealed keys begin with their tags, and no two keys have the same. */
static int compare(const void *a, const void *b)
{
   return memcmp(((const struct entry *)a)->tag, ((const struct entry *)b)->tag, SEAL_TAG_SIZE);
}

static void collect(kvs_view *view)
{
   kvs_record records[READ_BATCH];
   size_t count, size = view->expected * sizeof *view->entries;
   while ((count = view->host->view_read(view->outer, records, READ_BATCH)) > 0)
      for (size_t i = 0; i < count && !view->exceeded; i++) {
         view->exceeded = view->count == view->expected;
         if (!view->exceeded)
            size += add(view, &records[i]);
      }
   view->exceeded |= size > view->memory_size;
   qsort(view->entries, view->count, sizeof *view->entries, compare);
   view->used = view->count * sizeof *view->entries;
   seal_nonce_begin(&view->nonce);
   view->collected = true;
}

/* ---- Reading ---- */

static kvs_record seal_entry(kvs_view *view, const struct entry *entry)
{
   const kvs_record record = {
       .sequence = entry->sequence,
       .kind = KVS_SET,
       .expires_at_ms = entry->expires_at_ms,
       .key = {entry->key, (size_t)(entry->sizes & ((1u << KEY_SIZE_BITS) - 1)) + 1},
       .value = {entry->value, (size_t)(entry->sizes >> KEY_SIZE_BITS)},
   };
   kvs_record sealed;
   view->used += seal_record(view->seal, entry->tag, &record, &view->nonce,
                             view->memory + view->used, &sealed);
   return sealed;
}

bool view_exceeded(const kvs_view *view)
{
   return view->exceeded;
}

/* A read cannot fail, and the inner plug-in would take a shortened view for the whole. So it gets
 * one record that no key opens: a later load refuses what is made of this view. */
static size_t spoil(kvs_view *view, kvs_record *record)
{
   static const char key[] = "more than the tick says was in the view";
   *record = (kvs_record){.sequence = view->sequence, .kind = KVS_SET, .key = {key, sizeof key}};
   return view->next++ == 0;
}

size_t view_read(kvs_view *view, kvs_record *records, size_t capacity)
{
   if (!view->collected)
      collect(view);
   if (view->exceeded)
      return capacity > 0 ? spoil(view, records) : 0;
   if (view->copies)
      view->used = view->count * sizeof *view->entries;
   size_t begin = view->used, count = 0;
   while (count < capacity && view->next < view->count && view->used - begin < STEP_BYTES)
      records[count++] = seal_entry(view, &view->entries[view->next++]);
   return count;
}
