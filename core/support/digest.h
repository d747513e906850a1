/*
 * The digest of a state of the data: equal digests mean equal data, also to somebody who has only
 * them. Every program that prints one computes it here, so that any two can be compared.
 *
 * It is XXH3-128 over all entries in ascending order of key (as unsigned bytes), each as: size of
 * the key, key, size of the value, value, time of expiry (0: none). Sizes and times are 8 bytes,
 * little-endian.
 *
 * Threads: one at a time.
 */
#ifndef KV_DIGEST_H
#define KV_DIGEST_H

#include "core/support/slice.h"

#include <stdint.h>

/* 32 hexadecimal digits and a NUL. */
#define KV_DIGEST_TEXT_SIZE 33

struct kv_digest;

/* NULL when memory runs out. */
struct kv_digest *kv_digest_create(void);
/* NULL: nothing. */
void kv_digest_destroy(struct kv_digest *digest);
/* Adds the next entry, in the order of the keys. */
void kv_digest_add(struct kv_digest *digest, struct kv_slice key, struct kv_slice value,
                   uint64_t expiry);
/* The digest of what was added so far. */
void kv_digest_text(const struct kv_digest *digest, char text[KV_DIGEST_TEXT_SIZE]);

#endif
