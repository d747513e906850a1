#include "core/support/clock.h"

#include <time.h>

static int64_t read_ms(clockid_t clock)
{
   struct timespec now;
   clock_gettime(clock, &now); /* cannot fail with these clocks */
   return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t kv_clock_unix_ms(void)
{
   return read_ms(CLOCK_REALTIME);
}

uint64_t kv_clock_monotonic_ms(void)
{
   return (uint64_t)read_ms(CLOCK_MONOTONIC);
}

uint64_t kv_clock_monotonic_ns(void)
{
   struct timespec now;
   clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
   return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
