/*
 * Two states of the data compared, entry by entry, with a digest of each: equal digests mean equal
 * data, also to somebody who has only them.
 *
 * A digest is XXH3-128 over all entries in ascending order of key, each as: size of the key (8
 * bytes, little-endian), key, size of the value (the same), value, time of expiry (8 bytes, 0:
 * none).
 *
 * Threads: any that holds both versions.
 */
#ifndef KV_COMPARE_H
#define KV_COMPARE_H

#include "core/store/store.h"

#define KV_DIGEST_TEXT_SIZE 33
/* As much of the first key that differs is kept. */
#define KV_COMPARISON_KEY_SIZE 256

enum kv_difference {
   KV_DIFFERENCE_NONE,
   KV_DIFFERENCE_MISSING,  /* only the first state has the key */
   KV_DIFFERENCE_EXTRA,    /* only the second one has it */
   KV_DIFFERENCE_VALUE,    /* both have it, with different values */
   KV_DIFFERENCE_SEQUENCE, /* the same entries, said to be of another sequence */
};

struct kv_comparison {
   char first_digest[KV_DIGEST_TEXT_SIZE], second_digest[KV_DIGEST_TEXT_SIZE]; /* hexadecimal */
   uint64_t differences;                                                       /* keys */
   enum kv_difference difference; /* of the lowest key that differs */
   uint8_t key[KV_COMPARISON_KEY_SIZE];
   size_t key_size; /* in full; only KV_COMPARISON_KEY_SIZE bytes of it are kept */
};

/* False when memory is out. */
bool kv_compare(const struct kv_version *first, const struct kv_version *second,
                struct kv_comparison *comparison);

#endif
