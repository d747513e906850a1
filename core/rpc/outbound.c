#include "core/rpc/outbound.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

struct kv_outbound {
   size_t max;
   atomic_size_t bytes;
   atomic_size_t users; /* the owner, and each part under way */
};

struct part {
   struct kv_outbound *outbound;
   size_t size;
   void (*release)(void *owner); /* NULL: the bytes are in `data` */
   void *owner;
   uint8_t data[];
};

struct kv_outbound *kv_outbound_create(size_t max)
{
   struct kv_outbound *outbound = malloc(sizeof *outbound);
   if (outbound) {
      outbound->max = max;
      atomic_init(&outbound->bytes, 0);
      atomic_init(&outbound->users, 1);
   }
   return outbound;
}

void kv_outbound_close(struct kv_outbound *outbound)
{
   if (atomic_fetch_sub(&outbound->users, 1) == 1)
      free(outbound);
}

static void end_part(void *memory)
{
   struct part *part = memory;
   struct kv_outbound *outbound = part->outbound;
   if (part->release)
      part->release(part->owner);
   atomic_fetch_sub(&outbound->bytes, part->size);
   free(part);
   kv_outbound_close(outbound);
}

/* Counts `size` bytes and makes a part of a message; `own` bytes lie in itself. */
static struct part *begin_part(struct kv_outbound *outbound, size_t *counted, size_t size,
                               size_t own)
{
   size_t before = atomic_fetch_add(&outbound->bytes, size);
   bool allowed = before <= *counted || before + size <= outbound->max;
   struct part *part = allowed ? malloc(sizeof *part + own) : NULL;
   if (!part) {
      atomic_fetch_sub(&outbound->bytes, size);
      return NULL;
   }
   *counted += size;
   atomic_fetch_add(&outbound->users, 1);
   *part = (struct part){.outbound = outbound, .size = size};
   return part;
}

bool kv_outbound_allocate(struct kv_outbound *outbound, size_t *counted, size_t size,
                          grpc_slice *slice)
{
   struct part *part = begin_part(outbound, counted, size, size);
   if (part)
      *slice = grpc_slice_new_with_user_data(part->data, size, end_part, part);
   return part;
}

bool kv_outbound_refer(struct kv_outbound *outbound, size_t *counted, struct kv_bytes bytes,
                       void (*release)(void *owner), void *owner, grpc_slice *slice)
{
   struct part *part = begin_part(outbound, counted, bytes.size, 0);
   if (part) {
      part->release = release;
      part->owner = owner;
      /* gRPC only reads what it sends. */
      *slice = grpc_slice_new_with_user_data((void *)bytes.data, bytes.size, end_part, part);
   }
   return part;
}
