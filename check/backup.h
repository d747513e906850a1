/*
 * Backup files: verifies one, and writes a data directory from one.
 *
 * Threads: one.
 */
#ifndef CHECK_BACKUP_H
#define CHECK_BACKUP_H

#include "core/datadir/data_directory.h"

#include <stdbool.h>
#include <stdint.h>

struct backup {
   uint8_t store_id[16];
   struct kv_active active; /* the mode that the store was in */
   uint64_t sequence, keys, bytes;
   int64_t created_ms;
};

/* Reads all of the file. DATA_LOSS when it is damaged or no backup. After any code,
 * backup_deinit. */
enum kv_code backup_check(const char *path, struct backup *backup, struct kv_status *status);
/* Writes its data to `output`, which must not exist or be empty, as a data directory of the same
 * store that a server starts on: in the mode that the store was in, or, where that mode keeps
 * nothing that this program could write, in the default one; *same says which. `output` gets its
 * name when it is complete, durable and was read back. After any code, backup_deinit. */
enum kv_code backup_restore(const char *path, const char *output, struct backup *backup, bool *same,
                            struct kv_status *status);
void backup_deinit(struct backup *backup);

#endif
