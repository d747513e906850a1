/*
 * What an instance offers to a plug-in that stacks on another: the extension KVS_EXTENSION_STACK.
 * It owns the settings that it hands out.
 *
 * Threads: the control thread.
 */
#ifndef KV_STACK_H
#define KV_STACK_H

#include "core/host/inner.h"
#include "core/host/plugin_library.h"
#include "kvstore/plugin.h"

#include <stdbool.h>

/* How many other plug-ins an instance may find: limits the depth of wrappers over wrappers. */
#define KV_STACK_PLUGINS_MAX 8

struct kv_plugin_stack;

/* For an instance of `wrapper`; all must outlive the stack. `inner` is what it finds whatever it
 * looks for; NULL: what it does look for. Returns NULL when memory runs out. */
struct kv_plugin_stack *kv_plugin_stack_create(struct kv_plugin_library *library,
                                               const kvs_plugin *wrapper,
                                               const struct kv_inner *inner);
void kv_plugin_stack_destroy(struct kv_plugin_stack *stack);
/* Whether the wrapper has found another plug-in by it. */
bool kv_plugin_stack_is_used(const struct kv_plugin_stack *stack);
const kvs_stack *kv_plugin_stack_extension(const struct kv_plugin_stack *stack);
/* Of the stack that has the extension. */
const struct kv_inner *kv_plugin_stack_inner(const kvs_stack *extension);

#endif
