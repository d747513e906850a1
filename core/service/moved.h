/*
 * Methods that once were part of kvstore.KeyValueStore: a client that still calls one is told its
 * name of today, which no answer about an unknown method could tell.
 *
 * Threads: as for handlers.
 */
#ifndef KV_SERVICE_MOVED_H
#define KV_SERVICE_MOVED_H

#include "core/rpc/rpc.h"

#define KV_MOVED_METHODS 6

/* Fills in KV_MOVED_METHODS methods; returns how many. */
size_t kv_moved_methods(struct kv_rpc_method *methods);

#endif
