/*
 * A backup on its way to a file, or to standard output.
 *
 * Promises
 *  - The file has its name only when it is complete, on stable storage, and was read back with the
 *    checksum that the server gave. Until then it is beside it, as NAME.part, and a file that has
 *    the name already stays as it is.
 *  - What is not finished leaves no NAME.part behind, unless the program is killed; the next
 *    backup to the same name takes it over.
 *
 * One thread.
 */
#ifndef CLIENT_BACKUP_FILE_H
#define CLIENT_BACKUP_FILE_H

#include "core/support/slice.h"
#include "core/support/status.h"

#include <limits.h>
#include <stdint.h>

#define BACKUP_DIGEST_SIZE 16u
#define BACKUP_PATH_SIZE (PATH_MAX - 16)

struct backup_file;

/* `path`: "-" is standard output. */
enum kv_code backup_file_create(const char *path, struct backup_file **file,
                                struct kv_status *status);
enum kv_code backup_file_write(struct backup_file *file, struct kv_slice data,
                               struct kv_status *status);
/* `digest`: XXH3-128 of all that was written, in its canonical form. DATA_LOSS when it is not. */
enum kv_code backup_file_finish(struct backup_file *file, const uint8_t digest[BACKUP_DIGEST_SIZE],
                                struct kv_status *status);
/* Removes what is not finished. */
void backup_file_close(struct backup_file *file);

#endif
