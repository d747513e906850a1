/*
 * What is in a backup file: checked as a whole, or loaded into a store.
 *
 * Promises
 *  - Nothing of a file counts that its checksums do not cover, nor of one whose keys are not in
 *    order, or cannot be kept.
 *  - A store that is loaded has all of it in one transaction, or nothing.
 *
 * Threads: each file by one thread at a time.
 */
#ifndef KV_BACKUP_CONTENT_H
#define KV_BACKUP_CONTENT_H

#include "core/datadir/data_directory.h"
#include "core/store/store.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stdint.h>

struct kv_backup_content {
   uint8_t store_id[16];
   struct kv_active active; /* the mode that the store was in */
   uint64_t sequence, keys, bytes;
   uint64_t hidden;    /* keys that are the server's own (store.h); 0 of what is sealed */
   int64_t created_ms; /* Unix time */
   bool sealed;        /* keys, bytes and records are what that mode makes of the data */
};
/* After any code of the functions below. */
void kv_backup_content_deinit(struct kv_backup_content *content);

/* The open file. */
struct kv_backup_source {
   int fd;
   const char *name; /* for messages */
   /* Asked now and then: true ends the reading as CANCELLED. May be NULL. */
   bool (*give_up)(void *context);
   void *context;
};

/* Reads all of it. DATA_LOSS when it is damaged or no backup. */
enum kv_code kv_backup_check(const struct kv_backup_source *source,
                             struct kv_backup_content *content, struct kv_status *status);
/* The same, and puts it into `store`, which is empty, at the backup's sequence. */
enum kv_code kv_backup_load(const struct kv_backup_source *source, struct kv_store *store,
                            struct kv_backup_content *content, struct kv_status *status);

#endif
