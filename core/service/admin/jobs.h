/*
 * The calls of one kind that have a thread of their own, since they work with files or wait long: a
 * limited number at a time.
 *
 * Threads: any.
 */
#ifndef KV_SERVICE_JOBS_H
#define KV_SERVICE_JOBS_H

#include <pthread.h>
#include <stdbool.h>

/* Each takes a thread, and a view keeps replaced data in memory. */
#define KV_BACKUPS_MAX 4
/* Each takes as much of the disk, and of the memory, as the data. */
#define KV_RESTORES_MAX 1

struct kv_jobs {
   pthread_mutex_t lock;
   pthread_cond_t changed;
   unsigned places, max; /* in use, of so many */
   unsigned threads;     /* that have not ended */
};

void kv_jobs_init(struct kv_jobs *jobs, unsigned max);
/* Waits until the last thread has ended; their calls must be over. */
void kv_jobs_deinit(struct kv_jobs *jobs);
/* False when there are as many as there may be. */
bool kv_jobs_enter(struct kv_jobs *jobs);
/* For one that has entered, once each: it is about to answer, and the client may begin the next;
 * its thread ends. */
void kv_jobs_make_place(struct kv_jobs *jobs);
void kv_jobs_leave(struct kv_jobs *jobs);

#endif
