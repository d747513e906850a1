/* The two clocks: wall time for people and files, monotonic time for intervals. Any thread. */
#ifndef KV_CLOCK_H
#define KV_CLOCK_H

#include <stdint.h>

int64_t kv_clock_unix_ms(void);
uint64_t kv_clock_monotonic_ms(void);
uint64_t kv_clock_monotonic_ns(void);

#endif
