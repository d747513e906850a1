/*
 * Backup files: verifies one, and writes a data directory from one.
 *
 * Threads: one.
 */
#ifndef CHECK_BACKUP_H
#define CHECK_BACKUP_H

#include "core/backup/content.h"

#include <stdbool.h>

/* Reads all of the file. DATA_LOSS when it is damaged or no backup. After any code,
 * kv_backup_content_deinit. */
enum kv_code backup_check(const char *path, struct kv_backup_content *backup,
                          struct kv_status *status);
/* Writes its data to `output`, which must not exist or be empty, as a data directory of the same
 * store that a server starts on: in the mode that the store was in, or, where that mode keeps
 * nothing that this program could write, in the default one; *same says which. `output` gets its
 * name when it is complete, durable and was read back. After any code, kv_backup_content_deinit. */
enum kv_code backup_restore(const char *path, const char *output, struct kv_backup_content *backup,
                            bool *same, struct kv_status *status);

#endif
