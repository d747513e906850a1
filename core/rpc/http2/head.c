#include "core/rpc/http2/head.h"

#include "core/rpc/http2/methods.h"
#include "core/rpc/limits.h"
#include "core/rpc/metadata.h"

#include <stdlib.h>

/* A buffer up to here stays with the pooled call. */
#define KEPT_SIZE ((size_t)1024)

struct pair {
   uint32_t name_size, value_size;
};

void kv_http2_head_begin(struct kv_http2_head *head)
{
   head->method = NULL;
   head->is_post = head->is_grpc = head->bad_timeout = false;
   head->encoding = KV_IDENTITY;
   head->timeout_ms = INT64_MAX;
   head->size = 0;
   head->path[0] = '\0';
   head->metadata_size = 0;
   head->metadata_lost = false;
   if (head->metadata_capacity > KEPT_SIZE)
      kv_http2_head_destroy(head);
}

void kv_http2_head_destroy(struct kv_http2_head *head)
{
   free(head->metadata);
   head->metadata = NULL;
   head->metadata_size = head->metadata_capacity = 0;
}

static bool reserve(struct kv_http2_head *head, size_t size)
{
   if (head->metadata_size + size <= head->metadata_capacity)
      return true;
   size_t capacity = 2 * (head->metadata_size + size);
   capacity = capacity < KEPT_SIZE ? KEPT_SIZE : capacity;
   uint8_t *metadata = realloc(head->metadata, capacity);
   if (!metadata)
      return false;
   head->metadata = metadata;
   head->metadata_capacity = capacity;
   return true;
}

static void keep(struct kv_http2_head *head, struct kv_slice name, struct kv_slice value)
{
   const struct pair pair = {(uint32_t)name.size, (uint32_t)value.size};
   if (!reserve(head, sizeof pair + name.size + value.size)) {
      head->metadata_lost = true;
      return;
   }
   uint8_t *to = head->metadata + head->metadata_size;
   memcpy(to, &pair, sizeof pair);
   memcpy(to + sizeof pair, name.data, name.size);
   memcpy(to + sizeof pair + name.size, value.data, value.size);
   head->metadata_size += sizeof pair + name.size + value.size;
}

size_t kv_http2_head_metadata(const struct kv_http2_head *head, struct kv_slice name,
                              struct kv_slice *value)
{
   size_t count = 0;
   for (size_t at = 0; at < head->metadata_size;) {
      struct pair pair;
      const uint8_t *found = head->metadata + at + sizeof pair;
      memcpy(&pair, head->metadata + at, sizeof pair);
      at += sizeof pair + pair.name_size + pair.value_size;
      if (kv_slice_compare(kv_slice(found, pair.name_size), name) != 0)
         continue;
      if (count++ == 0)
         *value = kv_slice(found + pair.name_size, pair.value_size);
   }
   return count;
}

static bool is(struct kv_slice name, const char *text)
{
   return memcmp(name.data, text, name.size) == 0;
}

static void set_path(struct kv_http2_head *head, const struct kv_http2_methods *methods,
                     struct kv_slice path)
{
   head->method = kv_http2_methods_find(methods, path);
   if (head->method)
      return;
   size_t size = path.size < sizeof head->path ? path.size : sizeof head->path - 1;
   memcpy(head->path, path.data, size);
   head->path[size] = '\0';
}

static void set_timeout(struct kv_http2_head *head, struct kv_slice value)
{
   if (!kv_fields_timeout(value, &head->timeout_ms))
      head->bad_timeout = true;
}

void kv_http2_head_add(struct kv_http2_head *head, const struct kv_http2_methods *methods,
                       struct kv_slice name, struct kv_slice value)
{
   head->size += name.size + value.size;
   if (head->size > KV_RPC_METADATA_MAX)
      return; /* it will be refused */
   if (name.size == 5 && is(name, ":path"))
      set_path(head, methods, value);
   else if (name.size == 7 && is(name, ":method"))
      head->is_post = value.size == 4 && is(value, "POST");
   else if (name.size == 12 && is(name, "content-type"))
      head->is_grpc = kv_fields_is_grpc(value);
   else if (name.size == 12 && is(name, "grpc-timeout"))
      set_timeout(head, value);
   else if (name.size == 13 && is(name, "grpc-encoding"))
      head->encoding = kv_fields_encoding(value);
   else if (kv_metadata_is_name(name))
      keep(head, name, value);
}
