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

/* The option of every plug-in that makes snapshots, as an initializer. */
#define STORAGE_PACE_OPTION                                                                        \
   {                                                                                               \
      .name = "snapshot_rate", .type = KVS_OPTION_SIZE, .default_value = "67108864",               \
      .minimum = STORAGE_PACE_MIN, .maximum = (int64_t)1 << 40,                                    \
      .help =                                                                                      \
          "bytes per second that a background snapshot may write; save, a switch and shutdown "    \
          "are not slowed down",                                                                   \
   }

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
