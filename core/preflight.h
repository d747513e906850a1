/*
 * --check-config: whether a start with this configuration would succeed now. It makes the checks of
 * a start by the functions of a start: plug-ins, data directory and its lock, recorded mode and
 * options, an instance that opens in an empty directory, and listening on each address. It serves
 * nobody, loads no data, and leaves nothing behind.
 *
 * Threads: main, alone.
 */
#ifndef KV_PREFLIGHT_H
#define KV_PREFLIGHT_H

#include "core/config.h"
#include "core/support/status.h"

enum kv_code kv_preflight(const struct kv_config *config, struct kv_status *status);

#endif
