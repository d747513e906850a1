/*
 * A list of objects that are no longer in the newest version and wait to be freed: the retired list
 * of a transaction, the dead list of a view. It takes eight bytes an object. Moving and filtering a
 * list allocates nothing, so neither can fail.
 *
 * One thread at a time; the owner says which lock protects it.
 */
#ifndef KV_STORE_RETIRED_H
#define KV_STORE_RETIRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_retired_block;

struct kv_retired { /* zeroed: empty */
   struct kv_retired_block *first, *last;
};

/* The most that may be reserved at once. */
#define KV_RETIRED_RESERVE_MAX 126

/* Ensures that the next `count` pushes cannot fail. False when memory runs out. */
bool kv_retired_reserve(struct kv_retired *list, size_t count);
/* Adds an object, which the list owns from now on; its place must have been reserved. */
void kv_retired_push(struct kv_retired *list, void *object);
/* Moves all of `more` to the end of `list`. */
void kv_retired_append(struct kv_retired *list, struct kv_retired *more);
/* Frees the objects born after `version` (0: all of them) and keeps the others. */
void kv_retired_free_born_after(struct kv_retired *list, uint64_t version);
/* Bytes that the objects take. */
size_t kv_retired_size(const struct kv_retired *list);
/* Forgets the objects without freeing them. */
void kv_retired_forget(struct kv_retired *list);

#endif
