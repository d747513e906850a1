/*
 * Finds the method of a path: a hash table that is made once and does not change.
 *
 * Threads: any.
 */
#ifndef KV_HTTP2_METHODS_H
#define KV_HTTP2_METHODS_H

#include "core/rpc/rpc.h"

struct kv_http2_methods;

/* The methods and their paths must outlive it; no path may be there twice. NULL when memory runs
 * out. */
struct kv_http2_methods *kv_http2_methods_create(const struct kv_rpc_method *methods, size_t count);
void kv_http2_methods_destroy(struct kv_http2_methods *methods);
/* NULL: unknown. */
const struct kv_rpc_method *kv_http2_methods_find(const struct kv_http2_methods *methods,
                                                  struct kv_slice path);

#endif
