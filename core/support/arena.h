/*
 * An arena: memory for one piece of work, freed all at once. The first bytes come from a block that
 * the owner embeds and that reset keeps, so a small request costs no allocation at all.
 *
 * One thread at a time. An allocation is aligned for any type.
 */
#ifndef KV_ARENA_H
#define KV_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#define KV_ARENA_FIRST_SIZE 4096

struct kv_arena_block;

struct kv_arena {
   struct kv_arena_block *overflow; /* further blocks, newest first */
   char *next, *end;                /* free part of the block in use */
   /* Says whether a further block may be allocated; NULL: any may. */
   bool (*admit)(void *context, size_t size);
   void *context;
   _Alignas(max_align_t) char first[KV_ARENA_FIRST_SIZE];
};

void kv_arena_init(struct kv_arena *arena);
/* From now on `admit` is asked before each further block. */
void kv_arena_ask(struct kv_arena *arena, bool (*admit)(void *context, size_t size), void *context);
/* Frees everything allocated; the arena can be used again. */
void kv_arena_reset(struct kv_arena *arena);
/* Uninitialized memory, or NULL when the system has none or it was not admitted. */
void *kv_arena_alloc(struct kv_arena *arena, size_t size);
/* A copy of `size` bytes, or NULL. */
void *kv_arena_copy(struct kv_arena *arena, const void *data, size_t size);

#endif
