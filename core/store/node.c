#include "core/store/node.h"

#include "core/support/invariant.h"

#include <stdlib.h>
#include <string.h>

/* With these a leaf's size just fits a class of the common allocators: 128, 192, 256, 320, 384,
 * 448, 512, 640 and 768 bytes. */
static const uint8_t leaf_capacities[] = {8, 14, 18, 24, 30, 34, 40, 50, KV_NODE_FANOUT};

static uint32_t capacity_for(uint16_t level, uint32_t slots)
{
   KV_INVARIANT(slots <= KV_NODE_FANOUT);
   if (level > 0)
      return KV_NODE_FANOUT;
   const uint8_t *capacity = leaf_capacities;
   while (*capacity < slots)
      capacity++;
   return *capacity;
}

struct kv_node *kv_node_create(uint64_t birth, uint16_t level, uint32_t slots)
{
   uint32_t capacity = capacity_for(level, slots);
   size_t slot_size = sizeof(uint32_t) + sizeof(struct kv_entry *);
   if (level > 0)
      slot_size += sizeof(struct kv_node *);
   struct kv_node *node = malloc(sizeof *node + capacity * slot_size);
   if (!node)
      return NULL;
   node->object = kv_object(birth, 0);
   node->level = level;
   node->count = 0;
   node->capacity = (uint16_t)capacity;
   node->skip = 0;
   node->expiry = INT64_MAX;
   return node;
}

struct kv_node *kv_node_copy(const struct kv_node *node, uint64_t birth, uint32_t slots)
{
   struct kv_node *copy = kv_node_create(birth, node->level, slots);
   if (copy) {
      copy->skip = node->skip;
      kv_node_append(copy, node, 0);
   }
   return copy;
}

struct kv_node *kv_node_resize(struct kv_node *leaf, uint32_t slots)
{
   KV_INVARIANT(leaf->level == 0 && leaf->count <= slots);
   if (capacity_for(0, slots) == leaf->capacity)
      return leaf;
   struct kv_node *resized = kv_node_copy(leaf, kv_object_birth(leaf), slots);
   if (resized)
      free(leaf);
   return resized;
}

/* The first slot whose head is not below `head`: as many as are. Counting them all takes no branch
 * that is mispredicted and waits for nothing but its memory; the compiler counts several at once. A
 * binary search waits for each step. */
static uint32_t first_at(const struct kv_node *node, uint32_t head)
{
   const uint32_t first = node->level > 0;
   const uint32_t *heads = node->heads;
   uint32_t below = first;
   for (uint32_t i = first; i < node->count; i++)
      below += heads[i] < head;
   return below;
}

struct kv_entry *const *kv_node_prefetch_place(const struct kv_node *leaf, struct kv_slice key)
{
   const uint32_t index = first_at(leaf, kv_key_head(key, leaf->skip));
   if (index == leaf->count)
      return NULL;
   struct kv_entry *const *place = kv_node_keys(leaf) + index;
   __builtin_prefetch(place);
   return place;
}

uint32_t kv_node_find(const struct kv_node *node, struct kv_slice key, bool *equal)
{
   const uint32_t head = kv_key_head(key, node->skip);
   uint32_t low = first_at(node, head);
   *equal = false;
   if (low == node->count || node->heads[low] != head)
      return low;
   /* Among those with the same head, seldom more than one, the keys themselves decide. */
   uint32_t high = low + 1;
   if (high < node->count && node->heads[high] == head)
      high = head < UINT32_MAX ? first_at(node, head + 1) : node->count;
   while (low < high) {
      uint32_t middle = (low + high) / 2;
      int order = kv_entry_compare(kv_node_keys(node)[middle], key);
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

uint32_t kv_node_child(const struct kv_node *node, struct kv_slice key)
{
   bool equal;
   uint32_t index = kv_node_find(node, key, &equal);
   return equal ? index : index - 1;
}

static void fill(struct kv_node *node, uint32_t index, struct kv_entry *key)
{
   node->heads[index] = key ? kv_key_head(kv_entry_key(key), node->skip) : 0;
   kv_node_keys(node)[index] = key;
}

void kv_node_set_key(struct kv_node *node, uint32_t index, struct kv_entry *key)
{
   KV_INVARIANT(index < node->count);
   fill(node, index, key);
   if (node->level == 0)
      kv_node_lower_expiry(node, kv_entry_expiry(key));
}

void kv_node_set_skip(struct kv_node *node, size_t skip)
{
   KV_INVARIANT(skip <= UINT16_MAX);
   if (node->skip == skip)
      return;
   node->skip = (uint16_t)skip;
   for (uint32_t i = 0; i < node->count; i++)
      fill(node, i, kv_node_keys(node)[i]);
}

void kv_node_insert(struct kv_node *node, uint32_t index, struct kv_entry *key,
                    struct kv_node *child)
{
   KV_INVARIANT(node->count < node->capacity && index <= node->count);
   size_t behind = node->count - index;
   uint32_t *heads = node->heads;
   struct kv_entry **keys = kv_node_keys(node);
   memmove(&heads[index + 1], &heads[index], behind * sizeof heads[0]);
   memmove(&keys[index + 1], &keys[index], behind * sizeof(struct kv_entry *));
   fill(node, index, key);
   if (node->level > 0) {
      struct kv_node **children = kv_node_children(node);
      memmove(&children[index + 1], &children[index], behind * sizeof(struct kv_node *));
      children[index] = child;
   }
   kv_node_lower_expiry(node, node->level > 0 ? child->expiry : kv_entry_expiry(key));
   node->count++;
}

void kv_node_remove(struct kv_node *node, uint32_t index)
{
   KV_INVARIANT(index < node->count);
   size_t behind = node->count - index - 1;
   uint32_t *heads = node->heads;
   struct kv_entry **keys = kv_node_keys(node);
   memmove(&heads[index], &heads[index + 1], behind * sizeof heads[0]);
   memmove(&keys[index], &keys[index + 1], behind * sizeof(struct kv_entry *));
   if (node->level > 0) {
      struct kv_node **children = kv_node_children(node);
      memmove(&children[index], &children[index + 1], behind * sizeof(struct kv_node *));
   }
   node->count--;
}

void kv_node_append(struct kv_node *node, const struct kv_node *from, uint32_t first)
{
   KV_INVARIANT(node->level == from->level && first <= from->count);
   uint32_t added = from->count - first;
   KV_INVARIANT(node->count + added <= node->capacity);
   memcpy(&kv_node_keys(node)[node->count], &kv_node_keys(from)[first],
          added * sizeof(struct kv_entry *));
   if (node->level > 0)
      memcpy(&kv_node_children(node)[node->count], &kv_node_children(from)[first],
             added * sizeof(struct kv_node *));
   if (node->skip == from->skip)
      memcpy(&node->heads[node->count], &from->heads[first], added * sizeof node->heads[0]);
   for (uint32_t i = 0; node->skip != from->skip && i < added; i++)
      fill(node, node->count + i, kv_node_keys(from)[first + i]);
   node->count = (uint16_t)(node->count + added);
   kv_node_lower_expiry(node, from->expiry);
}
