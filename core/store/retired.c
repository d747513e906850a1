#include "core/store/retired.h"

#include "core/store/object.h"
#include "core/support/invariant.h"

#include <stdlib.h>
#include <string.h>

struct kv_retired_block {
   struct kv_retired_block *next;
   size_t count;
   void *objects[KV_RETIRED_RESERVE_MAX];
};

static size_t space_in(const struct kv_retired_block *block)
{
   return block ? KV_RETIRED_RESERVE_MAX - block->count : 0;
}

static void link_last(struct kv_retired *list, struct kv_retired_block *block)
{
   block->next = NULL;
   if (list->last)
      list->last->next = block;
   else
      list->first = block;
   list->last = block;
}

bool kv_retired_reserve(struct kv_retired *list, size_t count)
{
   KV_INVARIANT(count <= KV_RETIRED_RESERVE_MAX);
   if (space_in(list->last) >= count)
      return true;
   struct kv_retired_block *block = malloc(sizeof *block);
   if (!block)
      return false;
   block->count = 0;
   link_last(list, block);
   return true;
}

void kv_retired_push(struct kv_retired *list, void *object)
{
   KV_INVARIANT(space_in(list->last) > 0);
   list->last->objects[list->last->count++] = object;
}

void kv_retired_append(struct kv_retired *list, struct kv_retired *more)
{
   struct kv_retired_block *next;
   for (struct kv_retired_block *block = more->first; block; block = next) {
      next = block->next;
      if (space_in(list->last) < block->count) {
         link_last(list, block);
         continue;
      }
      /* Many small lists must not add up to many nearly empty blocks. */
      if (block->count > 0)
         memcpy(list->last->objects + list->last->count, block->objects,
                block->count * sizeof block->objects[0]);
      if (list->last)
         list->last->count += block->count;
      free(block);
   }
   *more = (struct kv_retired){0};
}

static void sift(struct kv_retired_block *block, uint64_t version)
{
   size_t kept = 0;
   for (size_t i = 0; i < block->count; i++) {
      if (kv_object_birth(block->objects[i]) > version)
         kv_object_release(block->objects[i]);
      else
         block->objects[kept++] = block->objects[i];
   }
   block->count = kept;
}

void kv_retired_free_born_after(struct kv_retired *list, uint64_t version)
{
   struct kv_retired kept = {0};
   while (list->first) {
      struct kv_retired one = {.first = list->first, .last = list->first};
      list->first = list->first->next;
      one.first->next = NULL;
      sift(one.first, version);
      kv_retired_append(&kept, &one);
   }
   *list = kept;
}

size_t kv_retired_size(const struct kv_retired *list)
{
   size_t size = 0;
   for (const struct kv_retired_block *block = list->first; block; block = block->next)
      for (size_t i = 0; i < block->count; i++)
         size += kv_object_size(block->objects[i]);
   return size;
}

void kv_retired_forget(struct kv_retired *list)
{
   struct kv_retired_block *next;
   for (struct kv_retired_block *block = list->first; block; block = next) {
      next = block->next;
      free(block);
   }
   *list = (struct kv_retired){0};
}
