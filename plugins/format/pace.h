/*
 * Slows down work beside the traffic to so many bytes a second, so that processor and disk are
 * there for the calls. When somebody waits for the work, it goes on at full speed.
 *
 * Threads: control, inside on_tick.
 */
#ifndef FORMAT_PACE_H
#define FORMAT_PACE_H

#include "kvstore/plugin.h"

#include <stdint.h>

/* What an option of the kind may be, in bytes a second. */
#define FORMAT_PACE_DEFAULT "67108864"
#define FORMAT_PACE_MIN ((int64_t)1 << 20)
#define FORMAT_PACE_MAX ((int64_t)1 << 40)

struct format_pace {
   const kvs_host *host;
   uint64_t rate;     /* bytes a second; 0: no bound */
   uint64_t begin_ns; /* monotonic; when the first byte would have been done at just that rate */
};

/* `rate` 0: no bound. Only periodic ticks are slowed down: for the others somebody waits. */
void format_pace_begin(struct format_pace *pace, const kvs_host *host, const kvs_tick *tick,
                       uint64_t rate);
/* Waits until `done` bytes may have been done. Time lost elsewhere is not made up for in a rush. */
void format_pace_keep(struct format_pace *pace, uint64_t done);

#endif
