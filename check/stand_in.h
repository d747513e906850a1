/*
 * Plug-ins that stand in for the recorded one: what reading and writing have in common.
 *
 * Threads: one.
 */
#ifndef CHECK_STAND_IN_H
#define CHECK_STAND_IN_H

#include "core/host/instance.h"
#include "core/support/status.h"
#include "kvstore/plugin.h"

/* One that loads nothing and refuses writes, which it is never given; open, close and whatever else
 * it is to do are for the caller to fill in. `name` must outlive it. */
kvs_plugin stand_in_plugin(const char *name);
/* Opens an instance without options. Of `config`, plugin and directory are given, resumed and
 * report as needed; the rest is filled in. */
enum kv_code stand_in_open(struct kv_instance_config config, const uint8_t store_id[16],
                           struct kv_instance **instance, struct kv_status *status);

#endif
