/* The two clocks: wall time for people and files, monotonic time for intervals. Any thread. */
#ifndef KV_CLOCK_H
#define KV_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

int64_t kv_clock_unix_ms(void);
uint64_t kv_clock_monotonic_ms(void);
uint64_t kv_clock_monotonic_ns(void);

/* A condition whose deadlines are by the monotonic clock. */
void kv_clock_init_condition(pthread_cond_t *condition);
/* Waits for such a condition, at most until that time; returns false when it has passed. */
bool kv_clock_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t until_ms);

#endif
