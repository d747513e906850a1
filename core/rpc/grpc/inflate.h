/*
 * Compressed requests. gRPC would unpack them itself, but to any size: a client could make
 * gigabytes of a message that is well below the receive limit. Here the result keeps to the limit,
 * too; each byte is admitted before it is allocated; and it is done in steps, as a small packed
 * size says nothing about the time that it takes.
 *
 * Threads: any, one at a time for an inflater.
 */
#ifndef KV_RPC_INFLATE_H
#define KV_RPC_INFLATE_H

#include "core/support/status.h"

#include <grpc/compression.h>
#include <grpc/slice_buffer.h>

#include <stdbool.h>
#include <stddef.h>

struct kv_inflater;

struct kv_inflater_config {
   const grpc_slice_buffer *packed; /* must outlive the inflater */
   grpc_compression_algorithm algorithm;
   size_t size_max;                            /* of the result, in bytes */
   bool (*admit)(void *context, size_t bytes); /* may so many more be allocated? */
   void *context;
};

/* RESOURCE_EXHAUSTED: more than size_max, no memory, or not admitted; INTERNAL: it is not what the
 * algorithm makes. */
enum kv_code kv_inflater_create(const struct kv_inflater_config *config,
                                struct kv_inflater **inflater, struct kv_status *status);
/* Unpacks some `bytes` more; *done: that was all. */
enum kv_code kv_inflater_run(struct kv_inflater *inflater, size_t bytes, bool *done,
                             struct kv_status *status);
/* When it is done: the result, which the caller frees. */
char *kv_inflater_take(struct kv_inflater *inflater, size_t *size);
/* NULL: nothing. */
void kv_inflater_destroy(struct kv_inflater *inflater);

#endif
