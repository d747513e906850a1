/*
 * The host in the place of the plug-in that a wrapper has the keeping done by: for what the wrapper
 * makes of data, and back, without any files. What the wrapper's options say of the plug-in below
 * it means nothing here.
 *
 * Threads: the control thread.
 */
#ifndef KV_INNER_H
#define KV_INNER_H

#include "kvstore/plugin.h"

/* What takes the place. Both are called inside the hook of the wrapper; `host` is the one that the
 * wrapper gives to the plug-in below it. */
struct kv_inner {
   void *context;
   /* Hands over what was kept, as on_load does. NULL: nothing. */
   int (*load)(void *context, const kvs_host *host, kvs_error *error);
   /* Takes a checkpoint, as on_tick does. */
   int (*checkpoint)(void *context, const kvs_host *host, const kvs_tick *tick, kvs_error *error);
};

/* The plug-in that a stack (stack.h) gives to its wrapper in place of any other. */
const kvs_plugin *kv_inner_plugin(void);

#endif
