/*
 * Limits work beside the traffic to a number of bytes a second, which leaves processor and disk to
 * the calls. Once somebody waits for the work, it goes on at full speed.
 *
 * Threads: control, inside on_tick.
 */
#ifndef STORAGE_PACE_H
#define STORAGE_PACE_H

#include "kvstore/plugin.h"

#include <stdint.h>

/* The least rate that an option may ask for, in bytes a second. */
#define STORAGE_PACE_MIN ((int64_t)1 << 20)

struct storage_pace {
   const kvs_host *host;
   uint64_t rate;     /* bytes a second; 0: no limit */
   uint64_t begin_ns; /* monotonic; when the work would have begun at exactly that rate */
};

/* `rate` 0: no limit. Only periodic ticks are limited: for the others somebody waits. */
void storage_pace_begin(struct storage_pace *pace, const kvs_host *host, const kvs_tick *tick,
                        uint64_t rate);
/* Waits until `done` bytes are due. Time lost elsewhere is not made up for in a rush. */
void storage_pace_keep(struct storage_pace *pace, uint64_t done);

#endif
