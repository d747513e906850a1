#include "core/store/node.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Leaves grow by eight slots, 128 bytes: with the head of 16 they meet the allocators' classes. */
static uint32_t capacity_for(uint16_t level, uint32_t room)
{
   assert(room <= KV_NODE_FANOUT);
   return level > 0 ? KV_NODE_FANOUT : room | 7u;
}

static size_t size_of(uint16_t level, uint32_t capacity)
{
   size_t slot_size = sizeof(struct kv_slot) + (level > 0 ? sizeof(struct kv_node *) : 0);
   return sizeof(struct kv_node) + capacity * slot_size;
}

struct kv_node *kv_node_create(uint64_t birth, uint16_t level, uint32_t room)
{
   uint32_t capacity = capacity_for(level, room);
   struct kv_node *node = malloc(size_of(level, capacity));
   if (!node)
      return NULL;
   node->object = kv_object(birth, 0);
   node->level = level;
   node->count = 0;
   node->capacity = (uint16_t)capacity;
   node->skip = 0;
   return node;
}

struct kv_node *kv_node_copy(const struct kv_node *node, uint64_t birth, uint32_t room)
{
   struct kv_node *copy = kv_node_create(birth, node->level, room);
   if (copy) {
      copy->skip = node->skip;
      kv_node_append(copy, node, 0);
   }
   return copy;
}

struct kv_node *kv_node_resize(struct kv_node *leaf, uint32_t room)
{
   uint32_t capacity = capacity_for(leaf->level, room);
   assert(leaf->level == 0 && leaf->count <= capacity);
   struct kv_node *resized = realloc(leaf, size_of(leaf->level, capacity));
   if (resized)
      resized->capacity = (uint16_t)capacity;
   return resized;
}

uint32_t kv_node_find(const struct kv_node *node, struct kv_bytes key, bool *equal)
{
   const uint64_t head = kv_key_head(key, node->skip);
   uint32_t low = node->level > 0, high = node->count;
   *equal = false;
   while (low < high) {
      uint32_t middle = (low + high) / 2;
      const struct kv_slot *slot = &node->slots[middle];
      int order = (slot->head > head) - (slot->head < head);
      if (order == 0)
         order = kv_entry_compare(slot->key, key);
      if (order == 0) {
         *equal = true;
         return middle;
      }
      if (order < 0)
         low = middle + 1;
      else
         high = middle;
   }
   return low;
}

uint32_t kv_node_child(const struct kv_node *node, struct kv_bytes key)
{
   bool equal;
   uint32_t index = kv_node_find(node, key, &equal);
   return equal ? index : index - 1;
}

static struct kv_slot slot_for(const struct kv_node *node, struct kv_entry *key)
{
   if (!key)
      return (struct kv_slot){0};
   return (struct kv_slot){.head = kv_key_head(kv_entry_key(key), node->skip), .key = key};
}

void kv_node_set_key(struct kv_node *node, uint32_t index, struct kv_entry *key)
{
   assert(index < node->count);
   node->slots[index] = slot_for(node, key);
}

void kv_node_set_skip(struct kv_node *node, size_t skip)
{
   assert(skip <= UINT16_MAX);
   if (node->skip == skip)
      return;
   node->skip = (uint16_t)skip;
   for (uint32_t i = 0; i < node->count; i++)
      node->slots[i] = slot_for(node, node->slots[i].key);
}

void kv_node_insert(struct kv_node *node, uint32_t index, struct kv_entry *key,
                    struct kv_node *child)
{
   assert(node->count < node->capacity && index <= node->count);
   size_t behind = node->count - index;
   memmove(&node->slots[index + 1], &node->slots[index], behind * sizeof node->slots[0]);
   node->slots[index] = slot_for(node, key);
   if (node->level > 0) {
      struct kv_node **children = kv_node_children(node);
      memmove(&children[index + 1], &children[index], behind * sizeof child);
      children[index] = child;
   }
   node->count++;
}

void kv_node_remove(struct kv_node *node, uint32_t index)
{
   assert(index < node->count);
   size_t behind = node->count - index - 1;
   memmove(&node->slots[index], &node->slots[index + 1], behind * sizeof node->slots[0]);
   if (node->level > 0) {
      struct kv_node **children = kv_node_children(node);
      memmove(&children[index], &children[index + 1], behind * sizeof children[0]);
   }
   node->count--;
}

void kv_node_append(struct kv_node *node, const struct kv_node *from, uint32_t first)
{
   assert(node->level == from->level && first <= from->count);
   uint32_t added = from->count - first;
   assert(node->count + added <= node->capacity);
   memcpy(&node->slots[node->count], &from->slots[first], added * sizeof node->slots[0]);
   if (node->level > 0)
      memcpy(kv_node_children(node) + node->count, kv_node_children(from) + first,
             added * sizeof(struct kv_node *));
   for (uint32_t i = 0; node->skip != from->skip && i < added; i++)
      node->slots[node->count + i] = slot_for(node, from->slots[first + i].key);
   node->count = (uint16_t)(node->count + added);
}
