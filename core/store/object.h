/*
 * The common head of all that versions share: nodes, entries, separators, version records. Each is
 * one block from malloc, so that its last holder frees it without knowing its kind.
 *
 * A counted object can be kept beyond its versions: its count lies before it in the block.
 *
 * Immutable once its version is published.
 */
#ifndef KV_STORE_OBJECT_H
#define KV_STORE_OBJECT_H

#include <stddef.h>
#include <stdint.h>

/* 44 years at 100,000 changes a second. */
#define KV_BIRTH_MAX ((UINT64_C(1) << 47) - 1)

struct kv_object {
   /* The number of the version it was born in << 17 | whether it is counted << 16 | 16 bits for the
    * kind's own use */
   uint64_t stamp;
};

static inline struct kv_object kv_object(uint64_t birth, uint16_t own)
{
   return (struct kv_object){.stamp = birth << 17 | own};
}

/* Replaces the version that the object was created with. */
static inline void kv_object_set_birth(struct kv_object *object, uint64_t birth)
{
   object->stamp = birth << 17 | (object->stamp & 0x1ffff);
}

static inline uint64_t kv_object_birth(const void *object)
{
   return ((const struct kv_object *)object)->stamp >> 17;
}

static inline uint16_t kv_object_own(const void *object)
{
   return (uint16_t)((const struct kv_object *)object)->stamp;
}

/* Memory for a counted object with one holder, or NULL. kv_object_set_counted must follow. */
void *kv_object_allocate_counted(size_t size);
static inline void kv_object_set_counted(struct kv_object *object)
{
   object->stamp |= UINT64_C(1) << 16;
}
/* Adds a holder to a counted object, which must have another one. Any thread. */
void kv_object_keep(void *object);
/* Bytes that the object takes. */
size_t kv_object_size(void *object);
/* Removes a holder; an object that is not counted has one. Frees it after the last. Any thread. */
void kv_object_release(void *object);

#endif
