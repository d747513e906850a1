#include "core/store/tree.h"

#include "core/support/invariant.h"

#include <stdlib.h>

/* What one set or delete can retire: on each level the node, a neighbour's copy, the neighbour
 * merged away, the separator between them, a root no longer needed and a node that gets a wider
 * range; and the entry. */
#define RETIRED_PER_CHANGE (6 * KV_CURSOR_DEPTH_MAX + 1)
_Static_assert(RETIRED_PER_CHANGE <= KV_RETIRED_RESERVE_MAX, "one reservation serves a change");

/* Merging only well below a full node keeps a set after a delete from splitting it again. */
#define MERGED_COUNT_MAX (KV_NODE_FANOUT * 3 / 4)

const struct kv_entry *kv_version_find(const struct kv_version *version, struct kv_slice key)
{
   const struct kv_node *node = version->root;
   if (!node)
      return NULL;
   while (node->level > 0) {
      node = kv_node_children(node)[kv_node_child(node, key)];
      kv_node_prefetch(node, true);
   }
   bool equal;
   uint32_t index = kv_node_find(node, key, &equal);
   return equal ? kv_node_keys(node)[index] : NULL;
}

void kv_version_prefetch(const struct kv_version *version, const struct kv_slice *keys,
                         size_t count)
{
   const struct kv_node *nodes[KV_PREFETCH_KEYS_MAX];
   KV_INVARIANT(count <= KV_PREFETCH_KEYS_MAX);
   if (!version->root)
      return;
   for (size_t i = 0; i < count; i++)
      nodes[i] = version->root;
   for (uint16_t level = version->root->level; level > 0; level--) {
      for (size_t i = 0; i < count; i++) {
         nodes[i] = kv_node_children(nodes[i])[kv_node_child(nodes[i], keys[i])];
         kv_node_prefetch(nodes[i], false);
      }
   }
   struct kv_entry *const *places[KV_PREFETCH_KEYS_MAX];
   for (size_t i = 0; i < count; i++)
      places[i] = kv_node_prefetch_place(nodes[i], keys[i]);
   for (size_t i = 0; i < count; i++) {
      if (places[i])
         kv_entry_prefetch(*places[i]);
   }
}

/* Whether it was born in the transaction: its entries have the numbers of their changes. */
static bool is_own(const struct kv_transaction *edit, const void *object)
{
   return kv_object_birth(object) >= edit->birth;
}

/* Frees or retires an object that the working version no longer uses. */
static void discard(struct kv_transaction *edit, void *object)
{
   if (is_own(edit, object))
      kv_object_release(object);
   else
      kv_retired_push(&edit->retired, object);
}

/* Makes the node at *link one that may be changed and has space for `more` slots, as far as a node
 * can hold them. NULL when memory runs out: nothing has changed. */
static struct kv_node *writable(struct kv_transaction *edit, struct kv_node **link, uint32_t more)
{
   struct kv_node *node = *link, *fresh;
   uint32_t wanted = node->count + more;
   if (wanted > KV_NODE_FANOUT)
      wanted = KV_NODE_FANOUT;
   if (!is_own(edit, node)) {
      fresh = kv_node_copy(node, edit->birth, wanted);
      if (fresh)
         kv_retired_push(&edit->retired, node);
   } else if (node->capacity < wanted) {
      fresh = kv_node_resize(node, wanted);
   } else {
      return node;
   }
   if (fresh)
      *link = fresh;
   return fresh;
}

/* ---- Set ---- */

/* The separators on both sides of a node, NULL at the edge of the tree: all keys that can be in it
 * are at or above `low` and below `high`, and so begin with what the two have in common. */
struct range {
   const struct kv_entry *low, *high;
};

static struct range range_of_child(const struct kv_node *node, uint32_t index, struct range own)
{
   return (struct range){
       .low = index > 0 ? kv_node_keys(node)[index] : own.low,
       .high = index + 1 < node->count ? kv_node_keys(node)[index + 1] : own.high,
   };
}

/* Whether a set of the key may need a slot that the node does not have. */
static bool must_split(const struct kv_node *node, struct kv_slice key)
{
   bool equal = false;
   if (node->count < KV_NODE_FANOUT)
      return false;
   if (node->level == 0)
      kv_node_find(node, key, &equal);
   return !equal;
}

/* Splits child `index` of `parent`, both writable. At the right edge of the tree only the last slot
 * moves, so that leaves filled in ascending order stay full. */
static bool split(struct kv_transaction *edit, struct kv_node *parent, uint32_t index,
                  struct range range)
{
   struct kv_node *left = kv_node_children(parent)[index];
   uint32_t at = range.high ? left->count / 2u : left->count - 1u;
   struct kv_node *right = kv_node_create(edit->birth, left->level, left->count - at + 1);
   if (!right)
      return false;
   struct kv_entry *separator = kv_node_keys(left)[at];
   if (left->level == 0)
      separator = kv_entry_separator(edit->birth, kv_node_keys(left)[at - 1], separator);
   if (!separator) {
      free(right);
      return false;
   }
   kv_node_set_skip(right, kv_entry_common(separator, range.high));
   kv_node_append(right, left, at);
   left->count = (uint16_t)at;
   kv_node_set_skip(left, kv_entry_common(range.low, separator));
   kv_node_insert(parent, index + 1, separator, right);
   if (left->level > 0) {
      kv_node_set_key(right, 0, NULL);
      return true;
   }
   struct kv_node *smaller = kv_node_resize(left, at + 1);
   if (smaller) /* else it is only larger than need be */
      kv_node_children(parent)[index] = smaller;
   return true;
}

/* Puts a new root above the old one, so that the old one can be split. */
static struct kv_node *raise_root(struct kv_transaction *edit)
{
   struct kv_node *old = edit->version->root;
   KV_INVARIANT(old->level + 1 < KV_CURSOR_DEPTH_MAX);
   struct kv_node *root = kv_node_create(edit->birth, (uint16_t)(old->level + 1), 1);
   if (!root)
      return NULL;
   kv_node_insert(root, 0, NULL, old);
   edit->version->root = root;
   return root;
}

/* The leaf for the key, writable and with space for it; NULL when memory runs out. Full nodes are
 * split on the way down, so that each has space for what a split below it adds, and none has a
 * bound above `expiry`. *last: no leaf follows. */
static struct kv_node *leaf_with_space(struct kv_transaction *edit, struct kv_slice key,
                                       int64_t expiry, bool *last)
{
   *last = true;
   if (!edit->version->root)
      return edit->version->root = kv_node_create(edit->birth, 0, 1);
   struct kv_node *node = writable(edit, &edit->version->root, 1);
   struct range range = {NULL, NULL};
   if (node && must_split(node, key))
      node = raise_root(edit);
   while (node && node->level > 0) {
      kv_node_lower_expiry(node, expiry);
      uint32_t index = kv_node_child(node, key);
      struct kv_node *child = writable(edit, &kv_node_children(node)[index], 1);
      if (child && must_split(child, key)) {
         if (!split(edit, node, index, range_of_child(node, index, range)))
            return NULL;
         index = kv_node_child(node, key);
         child = kv_node_children(node)[index];
      }
      range = range_of_child(node, index, range);
      node = child;
   }
   *last = !range.high;
   return node;
}

static void insert(struct kv_transaction *edit, struct kv_node *leaf, uint32_t index,
                   struct kv_entry *entry)
{
   kv_node_insert(leaf, index, entry, NULL);
   edit->version->count++;
   edit->version->hidden += kv_key_is_hidden(kv_entry_key(entry));
   edit->version->bytes += kv_entry_key(entry).size + kv_entry_value_size(entry);
}

/* Whether the key comes after all others, the last leaf is known and has space for it, and no bound
 * need be lowered: no search is needed when keys are loaded in ascending order. */
static bool goes_last(const struct kv_transaction *edit, struct kv_slice key, int64_t expiry)
{
   const struct kv_node *leaf = edit->last_leaf;
   return leaf && leaf->count > 0 && leaf->count < leaf->capacity && leaf->expiry <= expiry &&
          kv_entry_compare(kv_node_keys(leaf)[leaf->count - 1], key) < 0;
}

bool kv_transaction_put(struct kv_transaction *edit, struct kv_entry *entry, uint64_t sequence)
{
   const struct kv_slice key = kv_entry_key(entry);
   const int64_t expiry = kv_entry_expiry(entry);
   const uint64_t birth = sequence + 1;
   KV_INVARIANT(birth >= edit->birth && sequence <= KV_SEQUENCE_MAX);
   kv_object_set_birth(&entry->object, birth);
   if (edit->newest < birth)
      edit->newest = birth;
   if (!kv_retired_reserve(&edit->retired, RETIRED_PER_CHANGE)) {
      kv_object_release(entry);
      return false;
   }
   if (goes_last(edit, key, expiry)) {
      insert(edit, edit->last_leaf, edit->last_leaf->count, entry);
      return true;
   }
   bool last, equal;
   struct kv_node *leaf = leaf_with_space(edit, key, expiry, &last);
   edit->last_leaf = last ? leaf : NULL;
   if (!leaf) {
      kv_object_release(entry);
      return false;
   }
   uint32_t index = kv_node_find(leaf, key, &equal);
   if (!equal) {
      insert(edit, leaf, index, entry);
      return true;
   }
   edit->version->bytes += kv_entry_value_size(entry);
   edit->version->bytes -= kv_entry_value_size(kv_node_keys(leaf)[index]);
   discard(edit, kv_node_keys(leaf)[index]);
   kv_node_set_key(leaf, index, entry);
   return true;
}

/* ---- Delete ---- */

/* Extends the subtree at *link to the range of a neighbour that is removed, on its right or on its
 * left, whose keys begin with the same `skip` bytes. The ranges are adjacent, so the keys of both
 * share the shorter of the two common beginnings. */
static bool widen(struct kv_transaction *edit, struct kv_node **link, bool to_the_right,
                  uint16_t skip)
{
   for (;;) {
      struct kv_node *node = writable(edit, link, 0);
      if (!node)
         return false;
      if (node->skip > skip)
         kv_node_set_skip(node, skip);
      if (node->level == 0)
         return true;
      link = &kv_node_children(node)[to_the_right ? node->count - 1u : 0];
   }
}

/* Removes the empty child `index` of `parent` and a separator. A neighbour takes over its range. */
static bool drop_child(struct kv_transaction *edit, struct kv_node *parent, uint32_t index)
{
   struct kv_node **children = kv_node_children(parent);
   if (parent->count > 1 &&
       !widen(edit, &children[index > 0 ? index - 1 : 1], index > 0, children[index]->skip))
      return false;
   discard(edit, children[index]);
   if (parent->count > 1)
      discard(edit, kv_node_keys(parent)[index > 0 ? index : 1]);
   kv_node_remove(parent, index);
   if (parent->count > 0)
      kv_node_set_key(parent, 0, NULL);
   return true;
}

/* Merges child `index` + 1 of `parent` into child `index`. */
static bool merge(struct kv_transaction *edit, struct kv_node *parent, uint32_t index)
{
   struct kv_node *right = kv_node_children(parent)[index + 1];
   struct kv_node *left = writable(edit, &kv_node_children(parent)[index], right->count);
   if (!left)
      return false;
   uint32_t seam = left->count;
   if (left->skip > right->skip)
      kv_node_set_skip(left, right->skip);
   kv_node_append(left, right, 0);
   if (left->level > 0)
      kv_node_set_key(left, seam, kv_node_keys(parent)[index + 1]);
   else
      discard(edit, kv_node_keys(parent)[index + 1]);
   kv_node_remove(parent, index + 1);
   discard(edit, right);
   return true;
}

/* After child `index` has lost a slot: removes it when empty, merges it when a neighbour is small
 * enough. As nodes do not borrow slots, one may stay small, but only beside a large one. */
static bool tidy(struct kv_transaction *edit, struct kv_node *parent, uint32_t index)
{
   struct kv_node **children = kv_node_children(parent);
   uint32_t count = children[index]->count;
   if (count == 0)
      return drop_child(edit, parent, index);
   if (index > 0 && children[index - 1]->count + count <= MERGED_COUNT_MAX)
      return merge(edit, parent, index - 1);
   if (index + 1 < parent->count && children[index + 1]->count + count <= MERGED_COUNT_MAX)
      return merge(edit, parent, index);
   return true;
}

/* Removes roots with one child or none. */
static void lower_root(struct kv_transaction *edit)
{
   struct kv_node *root = edit->version->root;
   while (root && root->count <= (root->level > 0)) {
      struct kv_node *child = root->count > 0 ? kv_node_children(root)[0] : NULL;
      discard(edit, root);
      root = child;
   }
   edit->version->root = root;
}

bool kv_transaction_delete(struct kv_transaction *edit, struct kv_slice key, bool *existed)
{
   struct kv_node *path[KV_CURSOR_DEPTH_MAX];
   uint32_t indexes[KV_CURSOR_DEPTH_MAX], depth = 0;
   *existed = kv_version_find(edit->version, key);
   if (!*existed)
      return true;
   if (!kv_retired_reserve(&edit->retired, RETIRED_PER_CHANGE))
      return false;

   edit->last_leaf = NULL;
   for (struct kv_node **link = &edit->version->root;; depth++) {
      struct kv_node *node = path[depth] = writable(edit, link, 0);
      if (!node)
         return false;
      if (node->level == 0)
         break;
      indexes[depth] = kv_node_child(node, key);
      link = &kv_node_children(node)[indexes[depth]];
   }
   bool equal;
   struct kv_node *leaf = path[depth];
   uint32_t index = kv_node_find(leaf, key, &equal);
   KV_INVARIANT(equal);
   struct kv_entry *entry = kv_node_keys(leaf)[index];
   kv_node_remove(leaf, index);
   edit->version->count--;
   edit->version->hidden -= kv_key_is_hidden(kv_entry_key(entry));
   edit->version->bytes -= key.size + kv_entry_value_size(entry);
   discard(edit, entry);

   while (depth-- > 0) {
      if (!tidy(edit, path[depth], indexes[depth]))
         return false;
   }
   lower_root(edit);
   return true;
}

/* ---- Expiry ---- */

int64_t kv_transaction_expires_first(const struct kv_transaction *transaction)
{
   const struct kv_node *root = transaction->version->root;
   return root ? root->expiry : INT64_MAX;
}

static const struct kv_entry *find_in_leaf(struct kv_node *leaf, int64_t now_ms, size_t *looks)
{
   int64_t first = INT64_MAX;
   for (uint32_t i = 0; i < leaf->count; i++) {
      const struct kv_entry *entry = kv_node_keys(leaf)[i];
      const int64_t expiry = kv_entry_expiry(entry);
      *looks -= *looks > 0 ? 1 : 0;
      if (expiry <= now_ms)
         return entry;
      if (first > expiry)
         first = expiry;
   }
   leaf->expiry = first;
   return NULL;
}

/* Where all was looked at and nothing is due, the bound becomes exact: what is below the node is so
 * for every version. */
static const struct kv_entry *find_expired(struct kv_node *node, int64_t now_ms, size_t *looks)
{
   int64_t first = INT64_MAX;
   if (node->expiry > now_ms || *looks == 0)
      return NULL;
   if (node->level == 0)
      return find_in_leaf(node, now_ms, looks);
   for (uint32_t i = 0; i < node->count; i++) {
      struct kv_node *child = kv_node_children(node)[i];
      const struct kv_entry *found = find_expired(child, now_ms, looks); /* as deep as the tree */
      if (found)
         return found;
      if (first > child->expiry)
         first = child->expiry;
   }
   node->expiry = first;
   return NULL;
}

const struct kv_entry *kv_transaction_find_expired(struct kv_transaction *transaction,
                                                   int64_t now_ms, size_t *looks)
{
   struct kv_node *root = transaction->version->root;
   return root ? find_expired(root, now_ms, looks) : NULL;
}

/* ---- Freeing ---- */

static void free_node(struct kv_node *node, uint64_t since)
{
   if (kv_object_birth(node) < since)
      return;
   for (uint32_t i = 0; i < node->count; i++) {
      struct kv_entry *key = kv_node_keys(node)[i];
      if (key && kv_object_birth(key) >= since)
         kv_object_release(key);
      if (node->level > 0)
         free_node(kv_node_children(node)[i], since); /* at most KV_CURSOR_DEPTH_MAX deep */
   }
   free(node);
}

void kv_tree_free(struct kv_version *version, uint64_t since)
{
   if (version->root)
      free_node(version->root, since);
   version->root = NULL;
}

/* ---- Retiring all of it ---- */

static bool retire_node(struct kv_node *node, struct kv_retired *list)
{
   if (!kv_retired_reserve(list, node->count + 1))
      return false;
   for (uint32_t i = 0; i < node->count; i++)
      if (kv_node_keys(node)[i])
         kv_retired_push(list, kv_node_keys(node)[i]);
   kv_retired_push(list, node);
   for (uint32_t i = 0; node->level > 0 && i < node->count; i++)
      if (!retire_node(kv_node_children(node)[i], list)) /* at most KV_CURSOR_DEPTH_MAX deep */
         return false;
   return true;
}

bool kv_tree_retire(const struct kv_version *version, struct kv_retired *list)
{
   return !version->root || retire_node(version->root, list);
}
