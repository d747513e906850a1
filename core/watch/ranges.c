#include "core/watch/ranges.h"

#include <stdlib.h>
#include <string.h>

struct kv_range_node {
   struct kv_key_range range;
   struct kv_slice highest; /* of the ends below it and its own; empty: no end */
   struct kv_range_node *left, *right;
   uint64_t priority;
   struct kv_range_set *set;
};

struct kv_range_set {
   void *owner;
   size_t size, count;
   struct kv_range_node nodes[]; /* the bytes of the ranges are behind them */
};

/* ---- Ends: an empty one is above all others ---- */

static int compare_ends(struct kv_slice a, struct kv_slice b)
{
   if (a.size == 0 || b.size == 0)
      return (a.size == 0) - (b.size == 0);
   return kv_slice_compare(a, b);
}

static bool is_below(struct kv_slice key, struct kv_slice end)
{
   return end.size == 0 || kv_slice_compare(key, end) < 0;
}

/* ---- Sets ---- */

static int by_start(const void *left, const void *right)
{
   const struct kv_key_range *a = left, *b = right;
   return kv_slice_compare(a->start, b->start);
}

/* Sorts the ranges and joins those that overlap; returns how many are left. Those that only touch
 * stay apart: a user may have a grant for each, by neighbouring prefixes, but none for both. */
static size_t normalize(struct kv_key_range *ranges, size_t count)
{
   static const struct kv_slice first = {"\1", 1}; /* below are the server's own keys */
   size_t kept = 0;
   for (size_t i = 0; i < count; i++)
      if (kv_slice_compare(ranges[i].start, first) < 0)
         ranges[i].start = first;
   qsort(ranges, count, sizeof *ranges, by_start);
   for (size_t i = 0; i < count; i++) {
      struct kv_key_range *last = kept > 0 ? &ranges[kept - 1] : NULL;
      if (!is_below(ranges[i].start, ranges[i].end))
         continue; /* it has no key */
      if (!last || (last->end.size > 0 && kv_slice_compare(ranges[i].start, last->end) >= 0))
         ranges[kept++] = ranges[i];
      else if (compare_ends(ranges[i].end, last->end) > 0)
         last->end = ranges[i].end;
   }
   return kept;
}

static struct kv_slice copy(uint8_t **at, struct kv_slice bytes)
{
   const struct kv_slice copied = kv_slice(*at, bytes.size);
   if (bytes.size > 0)
      memcpy(*at, bytes.data, bytes.size);
   *at += bytes.size;
   return copied;
}

static struct kv_range_set *create(const struct kv_key_range *ranges, size_t count, void *owner)
{
   size_t size = sizeof(struct kv_range_set) + count * sizeof(struct kv_range_node);
   const size_t fixed = size;
   for (size_t i = 0; i < count; i++)
      size += ranges[i].start.size + ranges[i].end.size;
   struct kv_range_set *set = malloc(size);
   if (!set)
      return NULL;
   *set = (struct kv_range_set){.owner = owner, .size = size, .count = count};
   uint8_t *at = (uint8_t *)set + fixed;
   for (size_t i = 0; i < count; i++) {
      const struct kv_slice start = copy(&at, ranges[i].start), end = copy(&at, ranges[i].end);
      set->nodes[i] = (struct kv_range_node){.range = {start, end}, .set = set};
   }
   return set;
}

struct kv_range_set *kv_range_set_create(const struct kv_key_range *ranges, size_t count,
                                         void *owner)
{
   struct kv_key_range *sorted = malloc((count > 0 ? count : 1) * sizeof *sorted);
   if (!sorted)
      return NULL;
   if (count > 0)
      memcpy(sorted, ranges, count * sizeof *sorted);
   struct kv_range_set *set = create(sorted, normalize(sorted, count), owner);
   free(sorted);
   return set;
}

void kv_range_set_destroy(struct kv_range_set *set)
{
   free(set);
}

size_t kv_range_set_size(const struct kv_range_set *set)
{
   return set->size;
}

bool kv_range_set_has(const struct kv_range_set *set, struct kv_slice key)
{
   size_t low = 0, high = set->count; /* the last range that begins at or below the key */
   while (low < high) {
      size_t middle = low + (high - low) / 2;
      if (kv_slice_compare(set->nodes[middle].range.start, key) <= 0)
         low = middle + 1;
      else
         high = middle;
   }
   return low > 0 && is_below(key, set->nodes[low - 1].range.end);
}

size_t kv_range_set_count(const struct kv_range_set *set)
{
   return set->count;
}

struct kv_key_range kv_range_set_at(const struct kv_range_set *set, size_t index)
{
   return set->nodes[index].range;
}

/* ---- The index ---- */

void kv_range_index_init(struct kv_range_index *index)
{
   *index = (struct kv_range_index){.random = 1};
}

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016). */
static uint64_t next_random(struct kv_range_index *index)
{
   index->random ^= index->random >> 12;
   index->random ^= index->random << 25;
   index->random ^= index->random >> 27;
   return index->random * UINT64_C(2685821657736338717);
}

/* Nodes with the same start are ordered by their addresses, so that each is found again. */
static bool is_before(const struct kv_range_node *a, const struct kv_range_node *b)
{
   const int order = kv_slice_compare(a->range.start, b->range.start);
   return order != 0 ? order < 0 : (uintptr_t)a < (uintptr_t)b;
}

static void raise(struct kv_range_node *node, const struct kv_range_node *child)
{
   if (child && compare_ends(child->highest, node->highest) > 0)
      node->highest = child->highest;
}

static void update(struct kv_range_node *node)
{
   node->highest = node->range.end;
   raise(node, node->left);
   raise(node, node->right);
}

/* Parts a tree into what is before `node` and what is after it. */
static void split(struct kv_range_node *tree, const struct kv_range_node *node,
                  struct kv_range_node **before, struct kv_range_node **after)
{
   if (!tree) {
      *before = *after = NULL;
   } else if (is_before(tree, node)) {
      split(tree->right, node, &tree->right, after);
      update(tree);
      *before = tree;
   } else {
      split(tree->left, node, before, &tree->left);
      update(tree);
      *after = tree;
   }
}

/* All of `before` is before all of `after`. */
static struct kv_range_node *join(struct kv_range_node *before, struct kv_range_node *after)
{
   if (!before || !after)
      return before ? before : after;
   if (before->priority > after->priority) {
      before->right = join(before->right, after);
      update(before);
      return before;
   }
   after->left = join(before, after->left);
   update(after);
   return after;
}

static struct kv_range_node *insert(struct kv_range_node *tree, struct kv_range_node *node)
{
   if (!tree || node->priority > tree->priority) {
      split(tree, node, &node->left, &node->right);
      update(node);
      return node;
   }
   if (is_before(node, tree))
      tree->left = insert(tree->left, node);
   else
      tree->right = insert(tree->right, node);
   update(tree);
   return tree;
}

static struct kv_range_node *take_out(struct kv_range_node *tree, const struct kv_range_node *node)
{
   if (tree == node)
      return join(tree->left, tree->right);
   if (is_before(node, tree))
      tree->left = take_out(tree->left, node);
   else
      tree->right = take_out(tree->right, node);
   update(tree);
   return tree;
}

void kv_range_index_add(struct kv_range_index *index, struct kv_range_set *set)
{
   for (size_t i = 0; i < set->count; i++) {
      set->nodes[i].priority = next_random(index);
      index->root = insert(index->root, &set->nodes[i]);
   }
}

void kv_range_index_remove(struct kv_range_index *index, struct kv_range_set *set)
{
   for (size_t i = 0; i < set->count; i++)
      index->root = take_out(index->root, &set->nodes[i]);
}

static void find(const struct kv_range_node *node, struct kv_slice key,
                 void (*found)(void *context, void *owner), void *context)
{
   for (; node && is_below(key, node->highest); node = node->right) {
      find(node->left, key, found, context);
      if (kv_slice_compare(node->range.start, key) > 0)
         return; /* as all to the right do, it begins above the key */
      if (is_below(key, node->range.end))
         found(context, node->set->owner);
   }
}

void kv_range_index_find(const struct kv_range_index *index, struct kv_slice key,
                         void (*found)(void *context, void *owner), void *context)
{
   find(index->root, key, found, context);
}

static void each(const struct kv_range_node *node, void (*found)(void *context, void *owner),
                 void *context)
{
   for (; node; node = node->right) {
      each(node->left, found, context);
      found(context, node->set->owner);
   }
}

void kv_range_index_each(const struct kv_range_index *index,
                         void (*found)(void *context, void *owner), void *context)
{
   each(index->root, found, context);
}
