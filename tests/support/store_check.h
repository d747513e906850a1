/*
 * What the tests of the store share: keys to fill it with, reproducible random numbers, and a check
 * of the tree behind a version. A check that fails ends the test.
 */
#ifndef TESTS_STORE_CHECK_H
#define TESTS_STORE_CHECK_H

#include "core/store/reclaim.h"

#include <stdbool.h>
#include <stdint.h>

struct store_shape {
   uint64_t leaves, slots; /* slots in use */
   uint64_t hidden;        /* keys that begin with NUL */
};

/* Pseudo-random, below `limit`; *state carries on. */
uint32_t store_random_below(uint64_t *state, uint32_t limit);
bool store_same(struct kv_slice a, struct kv_slice b);
/* Whether the version has the key, with this value. */
bool store_holds(const struct kv_version *version, struct kv_slice key, struct kv_slice value);
/* A key of 12 bytes that ascends with the number, in `text`. */
struct kv_slice store_numbered(char text[static 16], unsigned number);
/* Sets a key that never expires, with the sequence after that of the current state. */
bool store_set(struct kv_transaction *transaction, struct kv_slice key, struct kv_slice value);
/* Commits at the sequence after that of the current state. */
void store_commit(struct kv_transaction *transaction);
/* In one transaction: sets the even numbers below 2 * count, ascending, each to itself. */
void store_fill(struct kv_store *store, unsigned count);
/* Deletes a numbered key, which must exist. */
void store_delete_numbered(struct kv_transaction *transaction, unsigned number);
/* Checks every rule of node.h in the whole tree, and its counts. */
struct store_shape store_check_tree(const struct kv_version *version);

#endif
