/*
 * Compressed requests, unpacked within limits: the result keeps to the receive limit, as a small
 * packed size says nothing about it; each byte is admitted before it is allocated; and it is done
 * in steps, as it says nothing about the time that it takes, either.
 *
 * Threads: any, one at a time for an inflater.
 */
#ifndef KV_RPC_INFLATE_H
#define KV_RPC_INFLATE_H

#include "core/support/slice.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stddef.h>

struct kv_inflater;

struct kv_inflater_config {
   bool gzip; /* else zlib, which HTTP calls deflate */
   /* The piece of the input with this index, which stays where it is. False when there is none. */
   bool (*piece)(void *context, size_t index, struct kv_slice *piece);
   void *context;
   size_t size_max;                                  /* of the result, in bytes */
   bool (*admit)(void *admit_context, size_t bytes); /* may so many more be allocated? */
   void *admit_context;
};

/* RESOURCE_EXHAUSTED: more than size_max, no memory, or not admitted; INTERNAL: the
 * input is damaged. */
enum kv_code kv_inflater_create(const struct kv_inflater_config *config,
                                struct kv_inflater **inflater, struct kv_status *status);
/* Unpacks about `bytes` more. *done says whether that was all. */
enum kv_code kv_inflater_run(struct kv_inflater *inflater, size_t bytes, bool *done,
                             struct kv_status *status);
/* When it is done: the result, which the caller frees. */
char *kv_inflater_take(struct kv_inflater *inflater, size_t *size);
/* NULL: nothing. */
void kv_inflater_destroy(struct kv_inflater *inflater);

#endif
