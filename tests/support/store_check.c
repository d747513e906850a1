#include "tests/support/store_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

uint32_t store_random_below(uint64_t *state, uint32_t limit)
{
   *state = *state * 6364136223846793005u + 1442695040888963407u;
   return (uint32_t)((*state >> 33) % limit);
}

bool store_same(struct kv_slice a, struct kv_slice b)
{
   return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool store_holds(const struct kv_version *version, struct kv_slice key, struct kv_slice value)
{
   const struct kv_entry *entry = kv_version_find(version, key);
   return entry && store_same(kv_entry_value(entry), value);
}

struct kv_slice store_numbered(char text[static 16], unsigned number)
{
   return kv_slice(text, (size_t)snprintf(text, 16, "key:%08u", number));
}

bool store_set(struct kv_transaction *transaction, struct kv_slice key, struct kv_slice value)
{
   return kv_transaction_set(transaction, key, value, 0, transaction->birth - 1);
}

void store_commit(struct kv_transaction *transaction)
{
   kv_transaction_commit(transaction, transaction->birth - 1);
}

void store_fill(struct kv_store *store, unsigned count)
{
   char text[16];
   struct kv_transaction *transaction = kv_store_begin(store);
   for (unsigned i = 0; i < count; i++) {
      struct kv_slice key = store_numbered(text, 2 * i);
      assert_true(store_set(transaction, key, key));
   }
   store_commit(transaction);
}

void store_delete_numbered(struct kv_transaction *transaction, unsigned number)
{
   char text[16];
   bool existed;
   assert_true(kv_transaction_delete(transaction, store_numbered(text, number), &existed));
   assert_true(existed);
}

/* Checks the rules of node.h below `node`; all keys must lie in [low, high). */
static void check_node(const struct kv_node *node, const struct kv_entry *low,
                       const struct kv_entry *high, struct store_shape *shape)
{
   assert_true(node->count > 0 && node->count <= node->capacity);
   assert_true(node->capacity <= KV_NODE_FANOUT);
   assert_true(node->skip <= kv_entry_common(low, high));
   const struct kv_entry *previous = low;
   for (uint32_t i = node->level > 0; i < node->count; i++) {
      const struct kv_entry *key = kv_node_keys(node)[i];
      assert_true(node->heads[i] == kv_key_head(kv_entry_key(key), node->skip));
      if (previous) {
         int order = kv_entry_compare(previous, kv_entry_key(key));
         assert_true(order < 0 || (order == 0 && previous == low));
      }
      previous = key;
      if (node->level == 0) {
         assert_true(node->expiry <= kv_entry_expiry(key));
         shape->hidden += key->bytes[0] == '\0';
      }
   }
   if (previous && high && node->count > 0)
      assert_true(kv_entry_compare(previous, kv_entry_key(high)) < 0 || previous == low);
   if (node->level == 0) {
      shape->leaves++;
      shape->slots += node->count;
      return;
   }
   assert_null(kv_node_keys(node)[0]);
   for (uint32_t i = 0; i < node->count; i++) {
      const struct kv_node *child = kv_node_children(node)[i];
      assert_int_equal(child->level + 1, node->level);
      assert_true(node->expiry <= child->expiry);
      check_node(child, i > 0 ? kv_node_keys(node)[i] : low,
                 i + 1 < node->count ? kv_node_keys(node)[i + 1] : high, shape);
   }
}

struct store_shape store_check_tree(const struct kv_version *version)
{
   struct store_shape shape = {0};
   if (version->root)
      check_node(version->root, NULL, NULL, &shape);
   assert_int_equal(shape.slots, kv_version_count(version));
   assert_int_equal(shape.hidden, kv_version_hidden_count(version));
   return shape;
}
