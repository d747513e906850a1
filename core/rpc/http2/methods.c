#include "core/rpc/http2/methods.h"

#include "core/support/invariant.h"

#include <stdlib.h>

/* Open addressing: at least this many places for each method. */
#define PLACES_PER_METHOD 4

struct entry {
   struct kv_slice path;
   const struct kv_rpc_method *method; /* NULL: free */
};

struct kv_http2_methods {
   size_t mask; /* number of entries, a power of two, less one */
   struct entry entries[];
};

/* Paths differ at their ends. */
static size_t hash(struct kv_slice path)
{
   uint64_t end = 0;
   size_t size = path.size < sizeof end ? path.size : sizeof end;
   memcpy(&end, (const char *)path.data + path.size - size, size);
   return (size_t)(((end ^ path.size) * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

/* Where it is, or would be. */
static struct entry *find(const struct kv_http2_methods *methods, struct kv_slice path)
{
   size_t at = hash(path) & methods->mask;
   for (;;) {
      const struct entry *entry = &methods->entries[at];
      if (!entry->method ||
          (entry->path.size == path.size && memcmp(entry->path.data, path.data, path.size) == 0))
         return (struct entry *)entry;
      at = (at + 1) & methods->mask;
   }
}

struct kv_http2_methods *kv_http2_methods_create(const struct kv_rpc_method *methods, size_t count)
{
   size_t places = 1;
   while (places < PLACES_PER_METHOD * (count + 1))
      places *= 2;
   struct kv_http2_methods *table = calloc(1, sizeof *table + places * sizeof *table->entries);
   if (!table)
      return NULL;
   table->mask = places - 1;
   for (size_t i = 0; i < count; i++) {
      struct kv_slice path = kv_slice_of(methods[i].path);
      struct entry *entry = find(table, path);
      KV_INVARIANT(!entry->method);
      *entry = (struct entry){path, &methods[i]};
   }
   return table;
}

void kv_http2_methods_destroy(struct kv_http2_methods *methods)
{
   free(methods);
}

const struct kv_rpc_method *kv_http2_methods_find(const struct kv_http2_methods *methods,
                                                  struct kv_slice path)
{
   return find(methods, path)->method;
}
