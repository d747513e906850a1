/*
 * Plug-ins that stand in for the recorded one, made of the same code: one loads a generation and
 * changes nothing on disk, one writes all data of a store into a fresh generation.
 *
 * Threads: one.
 */
#ifndef CHECK_STAND_IN_H
#define CHECK_STAND_IN_H

#include "check/place.h"
#include "core/host/instance.h"
#include "core/support/status.h"
#include "kvstore/plugin.h"

#include <stdbool.h>

/* For both: `name` goes into messages and must outlive the plug-in; not for KEPT_UNKNOWN. */

/* `prefix`: load as far as the history is whole; what is given up is reported as
 * KVS_LOAD_PASSED_OVER, with the highest sequence that is known to be lost. */
kvs_plugin stand_in_reading(enum kept kept, const char *name, bool prefix);
/* Not for KEPT_NOTHING either. Its checkpoint, at once after the load of the empty directory, is
 * what is written, so that the plug-in named starts on it. */
kvs_plugin stand_in_writing(enum kept kept, const char *name);

/* Opens an instance without options. Of `config`, plugin and directory are given, resumed and
 * report as needed; the rest is filled in. */
enum kv_code stand_in_open(struct kv_instance_config config, const uint8_t store_id[16],
                           struct kv_instance **instance, struct kv_status *status);

#endif
