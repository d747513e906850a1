/*
 * When the next snapshot is due: an interval after the last one, and sooner after one that failed.
 *
 * Threads: control, inside on_tick.
 */
#ifndef STORAGE_SCHEDULE_H
#define STORAGE_SCHEDULE_H

#include "kvstore/plugin.h"

#include <stdbool.h>

/* After a snapshot that failed, the next one is tried no later than this. */
#define STORAGE_SCHEDULE_RETRY_MS ((uint64_t)30 * 1000)

struct storage_schedule {
   uint64_t interval_ms; /* 0: never due */
   uint64_t next_ms;     /* monotonic; 0 before the first tick, from which the first one counts */
};

static inline void storage_schedule_next(struct storage_schedule *schedule, const kvs_tick *tick,
                                         bool failed)
{
   uint64_t pause_ms = schedule->interval_ms;
   if (failed && pause_ms > STORAGE_SCHEDULE_RETRY_MS)
      pause_ms = STORAGE_SCHEDULE_RETRY_MS;
   schedule->next_ms = tick->monotonic_ms + pause_ms;
}

static inline bool storage_schedule_due(struct storage_schedule *schedule, const kvs_tick *tick)
{
   if (schedule->interval_ms == 0)
      return false;
   if (schedule->next_ms == 0)
      storage_schedule_next(schedule, tick, false);
   return tick->monotonic_ms >= schedule->next_ms;
}

#endif
