/*
 * Slows down work beside the traffic to so many bytes a second, so that processor and disk are
 * there for the calls. When somebody waits for the work, it goes on at full speed.
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
   uint64_t rate;     /* bytes a second; 0: no bound */
   uint64_t begin_ns; /* monotonic; when the first byte would have been done at just that rate */
};

/* `rate` 0: no bound. Only periodic ticks are slowed down: for the others somebody waits. */
void storage_pace_begin(struct storage_pace *pace, const kvs_host *host, const kvs_tick *tick,
                        uint64_t rate);
/* Waits until `done` bytes may have been done. Time lost elsewhere is not made up for in a rush. */
void storage_pace_keep(struct storage_pace *pace, uint64_t done);

#endif
