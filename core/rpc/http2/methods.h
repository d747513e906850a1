/*
 * The methods by their paths.
 *
 * Threads: any; it does not change.
 */
#ifndef KV_HTTP2_METHODS_H
#define KV_HTTP2_METHODS_H

#include "core/rpc/rpc.h"

struct kv_http2_methods;

/* The methods and their paths must outlive it. NULL with `status`: no memory, or one path twice. */
struct kv_http2_methods *kv_http2_methods_create(const struct kv_rpc_method *methods, size_t count,
                                                 struct kv_status *status);
void kv_http2_methods_destroy(struct kv_http2_methods *methods);
/* NULL: unknown. */
const struct kv_rpc_method *kv_http2_methods_find(const struct kv_http2_methods *methods,
                                                  struct kv_slice path);

#endif
