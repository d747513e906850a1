#include "core/store/tree.h"
#include "core/support/invariant.h"

/* Goes down into `node`, to stand before its slot or in its child `index`. */
static void push(struct kv_cursor *cursor, const struct kv_node *node, uint32_t index)
{
   KV_INVARIANT(cursor->depth < KV_CURSOR_DEPTH_MAX);
   cursor->path[cursor->depth].node = node;
   cursor->path[cursor->depth].index = index;
   cursor->depth++;
}

void kv_cursor_seek(struct kv_cursor *cursor, const struct kv_version *version,
                    struct kv_slice from)
{
   const struct kv_node *node = version->root;
   cursor->depth = 0;
   while (node && node->level > 0) {
      uint32_t index = kv_node_child(node, from);
      push(cursor, node, index);
      node = kv_node_children(node)[index];
   }
   bool equal;
   if (node)
      push(cursor, node, kv_node_find(node, from, &equal));
}

/* From the end of a leaf to the beginning of the next one; false after the last. */
static bool next_leaf(struct kv_cursor *cursor)
{
   const struct kv_node *node = NULL;
   while (!node && --cursor->depth > 0) {
      const struct kv_node *parent = cursor->path[cursor->depth - 1].node;
      uint32_t index = ++cursor->path[cursor->depth - 1].index;
      if (index < parent->count)
         node = kv_node_children(parent)[index];
   }
   if (!node)
      return false;
   for (; node->level > 0; node = kv_node_children(node)[0])
      push(cursor, node, 0);
   push(cursor, node, 0);
   return true;
}

const struct kv_entry *kv_cursor_next(struct kv_cursor *cursor)
{
   if (cursor->depth == 0)
      return NULL;
   const struct kv_node *leaf = cursor->path[cursor->depth - 1].node;
   if (cursor->path[cursor->depth - 1].index == leaf->count) {
      if (!next_leaf(cursor))
         return NULL;
      leaf = cursor->path[cursor->depth - 1].node;
   }
   return kv_node_keys(leaf)[cursor->path[cursor->depth - 1].index++];
}
