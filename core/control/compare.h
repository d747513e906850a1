/*
 * Two states of the data compared, entry by entry, with the digest of each (support/digest.h).
 *
 * Threads: any that holds both versions.
 */
#ifndef KV_COMPARE_H
#define KV_COMPARE_H

#include "core/store/store.h"
#include "core/support/digest.h"

/* As much of the first key that differs is kept. */
#define KV_COMPARISON_KEY_SIZE 256

enum kv_difference {
   KV_DIFFERENCE_NONE,
   KV_DIFFERENCE_MISSING,  /* only the first state has the key */
   KV_DIFFERENCE_EXTRA,    /* only the second one has it */
   KV_DIFFERENCE_VALUE,    /* both have it, with different values or times of expiry */
   KV_DIFFERENCE_VERSION,  /* both have it as the same, but of different versions */
   KV_DIFFERENCE_SEQUENCE, /* the same entries, said to be of another sequence */
};

struct kv_comparison {
   char first_digest[KV_DIGEST_TEXT_SIZE], second_digest[KV_DIGEST_TEXT_SIZE]; /* hexadecimal */
   uint64_t differences;                                                       /* keys */
   enum kv_difference difference; /* of the lowest key that differs */
   uint8_t key[KV_COMPARISON_KEY_SIZE];
   size_t key_size; /* in full; only KV_COMPARISON_KEY_SIZE bytes of it are kept */
};

/* `versions`: those of the keys are compared, too; they are not in the digests. Returns false when
 * memory runs out. */
bool kv_compare(const struct kv_version *first, const struct kv_version *second, bool versions,
                struct kv_comparison *comparison);

#endif
