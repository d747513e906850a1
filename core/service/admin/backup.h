/*
 * The backups that calls have in flight, each with a thread of its own that writes the file and
 * waits for its client.
 *
 * Threads: any.
 */
#ifndef KV_SERVICE_BACKUP_H
#define KV_SERVICE_BACKUP_H

#include <pthread.h>

/* Each takes a thread, and a view keeps replaced data in memory. */
#define KV_BACKUPS_MAX 4

struct kv_backups {
   pthread_mutex_t lock;
   pthread_cond_t changed;
   unsigned count;
};

void kv_backups_init(struct kv_backups *backups);
/* Waits until the last thread has ended; their calls must be over. */
void kv_backups_deinit(struct kv_backups *backups);

#endif
