/*
 * The embedded descriptors of all services: files, what they define and what they depend on.
 *
 * Threads: any; nothing changes after create.
 */
#ifndef KV_DESCRIPTORS_H
#define KV_DESCRIPTORS_H

#include "core/support/slice.h"

#include "google/protobuf/descriptor.pb-c.h"

struct kv_descriptors {
   Google__Protobuf__FileDescriptorSet *set;
   size_t count;
   struct kv_slice files[]; /* each a FileDescriptorProto, encoded */
};

/* NULL when memory runs out. */
struct kv_descriptors *kv_descriptors_create(void);
void kv_descriptors_destroy(struct kv_descriptors *descriptors);

/* The file of this name, or the one that defines this symbol (fully qualified: a service, method,
 * message, field, enum or enum value); the count when there is none. */
size_t kv_descriptors_by_name(const struct kv_descriptors *descriptors, struct kv_slice name);
size_t kv_descriptors_by_symbol(const struct kv_descriptors *descriptors, struct kv_slice symbol);
/* Sets wanted[i] for the file and all that it depends on. */
void kv_descriptors_closure(const struct kv_descriptors *descriptors, size_t file, bool *wanted);

#endif
