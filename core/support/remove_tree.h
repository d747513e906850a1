/*
 * Removes a directory with all that is in it. Links are removed, not followed.
 *
 * Threads: any.
 */
#ifndef KV_REMOVE_TREE_H
#define KV_REMOVE_TREE_H

#include <stdbool.h>

/* False, with errno set, at the first entry that cannot be removed. */
bool kv_remove_tree(const char *path);

#endif
