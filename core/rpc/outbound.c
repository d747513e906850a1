#include "core/rpc/outbound.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

struct kv_outbound {
   size_t max;
   atomic_size_t bytes;
   atomic_size_t users; /* the owner, and each message under way */
};

struct message {
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

static void end_message(void *memory)
{
   struct message *message = memory;
   struct kv_outbound *outbound = message->outbound;
   if (message->release)
      message->release(message->owner);
   atomic_fetch_sub(&outbound->bytes, message->size);
   free(message);
   kv_outbound_close(outbound);
}

/* Counts `size` bytes and makes a message of which `own` bytes lie in itself. */
static struct message *begin_message(struct kv_outbound *outbound, size_t size, size_t own)
{
   size_t before = atomic_fetch_add(&outbound->bytes, size);
   bool allowed = before == 0 || before + size <= outbound->max;
   struct message *message = allowed ? malloc(sizeof *message + own) : NULL;
   if (!message) {
      atomic_fetch_sub(&outbound->bytes, size);
      return NULL;
   }
   atomic_fetch_add(&outbound->users, 1);
   *message = (struct message){.outbound = outbound, .size = size};
   return message;
}

bool kv_outbound_allocate(struct kv_outbound *outbound, size_t size, grpc_slice *slice)
{
   struct message *message = begin_message(outbound, size, size);
   if (message)
      *slice = grpc_slice_new_with_user_data(message->data, size, end_message, message);
   return message;
}

bool kv_outbound_refer(struct kv_outbound *outbound, struct kv_bytes bytes,
                       void (*release)(void *owner), void *owner, grpc_slice *slice)
{
   struct message *message = begin_message(outbound, bytes.size, 0);
   if (message) {
      message->release = release;
      message->owner = owner;
      /* gRPC only reads what it sends. */
      *slice = grpc_slice_new_with_user_data((void *)bytes.data, bytes.size, end_message, message);
   }
   return message;
}
