/*
 * The inner plug-in and the host that it sees. Loads and views are the wrapper's; everything else
 * is passed on to the real host, in the inner plug-in's name.
 *
 * The inner plug-in has the folder `inner` of the instance's directory to itself.
 *
 * Threads: as the ABI says.
 */
#ifndef ENCRYPT_INNER_H
#define ENCRYPT_INNER_H

#include "kvstore/plugin.h"
#include "plugins/encrypt/opening.h"

struct inner;

/* Finds, checks and opens it. `options` as KVS_EXTENSION_STACK takes them. */
int inner_open(const kvs_host *host, const char *name, const char *options, struct inner **inner,
               kvs_error *error);
/* Closes the inner instance. */
void inner_close(struct inner *inner);

/* Its hooks. The text of a failure begins with its name. */
int inner_load(struct inner *inner, struct opening *opening, kvs_error *error);
int inner_write(struct inner *inner, const kvs_record *records, size_t count, uint32_t flags,
                kvs_error *error);
/* `tick` has a view of view_create. */
int inner_tick(struct inner *inner, const kvs_tick *tick, kvs_error *error);

const kvs_plugin *inner_plugin(const struct inner *inner);

#endif
