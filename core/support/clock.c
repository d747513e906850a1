#include "core/support/clock.h"

#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

static uint64_t read_ns(clockid_t clock)
{
   struct timespec now;
   clock_gettime(clock, &now); /* cannot fail with these clocks */
   return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int64_t kv_clock_unix_ms(void)
{
   return (int64_t)(read_ns(CLOCK_REALTIME) / NS_PER_MS);
}

uint64_t kv_clock_monotonic_ms(void)
{
   return read_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}

uint64_t kv_clock_monotonic_ns(void)
{
   return read_ns(CLOCK_MONOTONIC);
}

void kv_clock_init_condition(pthread_cond_t *condition)
{
   pthread_condattr_t attributes;
   pthread_condattr_init(&attributes);
   pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
   pthread_cond_init(condition, &attributes);
   pthread_condattr_destroy(&attributes);
}

bool kv_clock_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t until_ms)
{
   const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                  .tv_nsec = (long)(until_ms % 1000 * NS_PER_MS)};
   return pthread_cond_timedwait(condition, lock, &until) == 0;
}
