/*
 * A backup on its way, until all of it is there: a file without a name in the data directory, which
 * ends with the process at the latest.
 *
 * It leaves as much space on the disk as it takes itself, for a checkpoint of what is in it, so
 * that those who write meanwhile are not the ones who find the disk full.
 *
 * Threads: one at a time.
 */
#ifndef KV_BACKUP_SPOOL_H
#define KV_BACKUP_SPOOL_H

#include "core/datadir/data_directory.h"
#include "core/support/slice.h"
#include "core/support/status.h"

struct kv_spool {
   int fd; /* -1: not open */
   uint64_t size;
};

enum kv_code kv_spool_open(const struct kv_data_directory *directory, struct kv_spool *spool,
                           struct kv_status *status);
/* RESOURCE_EXHAUSTED when the disk has no space for it. */
enum kv_code kv_spool_write(struct kv_spool *spool, struct kv_slice data, struct kv_status *status);
void kv_spool_close(struct kv_spool *spool);

#endif
