#include "core/support/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT _Alignof(max_align_t)
#define BLOCK_SIZE ((size_t)64 * 1024)

struct kv_arena_block {
   struct kv_arena_block *older;
   _Alignas(max_align_t) char data[];
};

static void begin(struct kv_arena *arena)
{
   arena->overflow = NULL;
   arena->next = arena->first;
   arena->end = arena->first + sizeof arena->first;
}

void kv_arena_init(struct kv_arena *arena)
{
   begin(arena);
   arena->admit = NULL;
}

void kv_arena_ask(struct kv_arena *arena, bool (*admit)(void *context, size_t size), void *context)
{
   arena->admit = admit;
   arena->context = context;
}

void kv_arena_reset(struct kv_arena *arena)
{
   while (arena->overflow) {
      struct kv_arena_block *older = arena->overflow->older;
      free(arena->overflow);
      arena->overflow = older;
   }
   begin(arena);
}

/* A block of its own for what is large, so that the rest of the block in use is not wasted. */
static void *alloc_overflow(struct kv_arena *arena, size_t size)
{
   size_t data_size = size > BLOCK_SIZE / 4 ? size : BLOCK_SIZE;
   if (arena->admit && !arena->admit(arena->context, sizeof(struct kv_arena_block) + data_size))
      return NULL;
   struct kv_arena_block *block = malloc(sizeof *block + data_size);
   if (!block)
      return NULL;
   block->older = arena->overflow;
   arena->overflow = block;
   if (data_size == BLOCK_SIZE) {
      arena->next = block->data + size;
      arena->end = block->data + data_size;
   }
   return block->data;
}

void *kv_arena_alloc(struct kv_arena *arena, size_t size)
{
   if (size > SIZE_MAX - BLOCK_SIZE)
      return NULL;
   size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
   if (size > (size_t)(arena->end - arena->next))
      return alloc_overflow(arena, size);
   void *memory = arena->next;
   arena->next += size;
   return memory;
}

void *kv_arena_copy(struct kv_arena *arena, const void *data, size_t size)
{
   void *copy = kv_arena_alloc(arena, size);
   if (copy && size > 0)
      memcpy(copy, data, size);
   return copy;
}
