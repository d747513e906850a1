/*
 * Backups: one consistent state of the store as a backup file (storage/backup.h).
 *
 * Promises
 *  - The file holds exactly the data at one sequence, whatever is written meanwhile. Until it is
 *    closed a backup keeps that state in memory, as any view does.
 *  - Writing asks nothing of the plug-in, and delays neither writes nor switches.
 *
 * Threads: each backup by one thread at a time, but for kv_backup_kept: any.
 */
#ifndef KV_BACKUP_H
#define KV_BACKUP_H

#include "core/datadir/data_directory.h"
#include "core/store/store.h"
#include "core/support/status.h"

#include <stddef.h>
#include <stdint.h>

#define KV_BACKUP_DIGEST_SIZE 16u

struct kv_backup;

/* Of the state of now. `active` is the mode that a restore comes back to. */
enum kv_code kv_backup_open(struct kv_store *store, const uint8_t store_id[16],
                            const struct kv_active *active, struct kv_backup **backup,
                            struct kv_status *status);
void kv_backup_close(struct kv_backup *backup);

uint64_t kv_backup_sequence(const struct kv_backup *backup);
/* The most bytes that its file can have. */
uint64_t kv_backup_size_limit(const struct kv_backup *backup);
/* As kv_store_view_kept. */
size_t kv_backup_kept(const struct kv_backup *backup);

/* When so many bytes may have left (monotonic), at `rate` bytes a second since `began_ms`; 0: no
 * limit. */
uint64_t kv_backup_due_ms(uint64_t began_ms, uint64_t bytes, uint64_t rate);

/* Takes the file piece by piece; anything but KV_OK, with the status, ends the writing. */
struct kv_backup_sink {
   enum kv_code (*write)(void *context, const void *data, size_t size, struct kv_status *status);
   void *context;
};
/* Writes the file. `digest` is the XXH3-128 of the whole, in its canonical form. */
enum kv_code kv_backup_write(const struct kv_backup *backup, const struct kv_backup_sink *sink,
                             uint8_t digest[KV_BACKUP_DIGEST_SIZE], struct kv_status *status);

#endif
