/*
 * The common head of all that versions share: nodes, entries, separators, version records. Each is
 * one block from malloc, so that whoever lets go of it last frees it without knowing its kind.
 *
 * Immutable once its version is published.
 */
#ifndef KV_STORE_OBJECT_H
#define KV_STORE_OBJECT_H

#include <stdint.h>

/* 2^48 versions: 89 years at 100,000 commits a second. Numbers begin anew with each process. */
#define KV_BIRTH_MAX ((UINT64_C(1) << 48) - 1)

struct kv_object {
   uint64_t stamp; /* the version it was born in << 16 | 16 bits for the kind's own use */
};

static inline struct kv_object kv_object(uint64_t birth, uint16_t own)
{
   return (struct kv_object){.stamp = birth << 16 | own};
}

static inline uint64_t kv_object_birth(const void *object)
{
   return ((const struct kv_object *)object)->stamp >> 16;
}

#endif
