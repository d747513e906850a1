/*
 * The directory of the server's own backups: kvstore-TIME-VERSION.backup, oldest first by name.
 *
 * Promises
 *  - A backup has its name only when it is complete, on stable storage, and was read back whole.
 *  - Only files of such names are ever removed, and never the newest.
 *  - Files that are empty, or whose time is more than a minute ahead of the clock, are no backups
 *    of its own: they are neither counted nor removed.
 *  - One server at a time has it: each would remove the backups of the other.
 *
 * The directory is the operator's to create; one that others can write is refused, since they could
 * replace a backup.
 *
 * Threads: one at a time.
 */
#ifndef KV_BACKUP_FOLDER_H
#define KV_BACKUP_FOLDER_H

#include "core/backup/backup.h"

#define KV_BACKUP_NAME_SIZE 64

struct kv_backup_folder;

/* The newest backup in it. */
struct kv_backup_found {
   char name[KV_BACKUP_NAME_SIZE]; /* "" = there is none */
   int64_t made_ms;                /* Unix time */
   uint64_t sequence, bytes;
   uint64_t count; /* of all */
};

enum kv_code kv_backup_folder_open(const char *path, struct kv_backup_folder **folder,
                                   struct kv_status *status);
void kv_backup_folder_close(struct kv_backup_folder *folder);
enum kv_code kv_backup_folder_find(const struct kv_backup_folder *folder,
                                   struct kv_backup_found *found, struct kv_status *status);
/* Writes it under a name of its own. `pace` is called with the bytes so far; anything but KV_OK
 * ends the writing. */
enum kv_code kv_backup_folder_write(struct kv_backup_folder *folder, const struct kv_backup *backup,
                                    enum kv_code (*pace)(void *context, uint64_t bytes,
                                                         struct kv_status *status),
                                    void *context, struct kv_status *status);
/* Removes the oldest beyond `keep`, and those made before `oldest_ms`; 0: no such limit. */
enum kv_code kv_backup_folder_prune(struct kv_backup_folder *folder, uint64_t keep,
                                    int64_t oldest_ms, struct kv_status *status);

#endif
