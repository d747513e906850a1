#include "core/rpc/grpc/outbound.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

struct kv_outbound {
   struct kv_share *share;
   size_t size;
   atomic_size_t users; /* the owner, and each region */
};

/* Bytes that were counted. */
struct region {
   struct kv_outbound *outbound;
   size_t size;
   void (*release)(void *owner); /* NULL: the bytes are in `data` */
   void *owner;
   uint8_t data[];
};

struct kv_outbound *kv_outbound_create(struct kv_share *share)
{
   struct kv_outbound *outbound = malloc(sizeof *outbound);
   if (outbound) {
      outbound->share = share;
      outbound->size = 0;
      atomic_init(&outbound->users, 1);
      kv_share_add(share, sizeof *outbound); /* which keeps the share */
   }
   return outbound;
}

void kv_outbound_close(struct kv_outbound *outbound)
{
   if (atomic_fetch_sub(&outbound->users, 1) == 1) {
      kv_share_give(outbound->share, sizeof *outbound);
      free(outbound);
   }
}

size_t kv_outbound_size(const struct kv_outbound *outbound)
{
   return outbound->size;
}

static void end_region(void *memory)
{
   struct region *region = memory;
   struct kv_outbound *outbound = region->outbound;
   if (region->release)
      region->release(region->owner);
   kv_share_give(outbound->share, region->size);
   free(region);
   kv_outbound_close(outbound);
}

/* Counts `size` bytes; `inside` of them lie in the region itself. */
static struct region *begin_region(struct kv_outbound *outbound, size_t own, size_t size,
                                   size_t inside)
{
   if (!kv_share_take(outbound->share, KV_CLAIM_SHARE, size,
                      own + outbound->size + sizeof *outbound))
      return NULL;
   struct region *region = malloc(sizeof *region + inside);
   if (!region) {
      kv_share_give(outbound->share, size);
      return NULL;
   }
   outbound->size += size;
   atomic_fetch_add(&outbound->users, 1);
   *region = (struct region){.outbound = outbound, .size = size};
   return region;
}

bool kv_outbound_allocate(struct kv_outbound *outbound, size_t own, size_t size, grpc_slice *slice)
{
   struct region *region = begin_region(outbound, own, size, size);
   if (region)
      *slice = grpc_slice_new_with_user_data(region->data, size, end_region, region);
   return region;
}

bool kv_outbound_refer(struct kv_outbound *outbound, size_t own, struct kv_slice bytes,
                       void (*release)(void *owner), void *owner, grpc_slice *slice)
{
   struct region *region = begin_region(outbound, own, bytes.size, 0);
   if (region) {
      region->release = release;
      region->owner = owner;
      /* gRPC only reads what it sends. */
      *slice = grpc_slice_new_with_user_data((void *)bytes.data, bytes.size, end_region, region);
   }
   return region;
}
