/*
 * Backup files of a store whose mode is a plug-in over another one: their records are what that
 * plug-in makes of the data, such as encrypted ones. Both functions take the place of the plug-in
 * below it, inside its hooks.
 *
 * Threads: those of the hooks.
 */
#ifndef KV_BACKUP_SEALED_H
#define KV_BACKUP_SEALED_H

#include "core/backup/backup.h"
#include "core/backup/content.h"
#include "core/backup/spool.h"
#include "kvstore/plugin.h"

/* Makes the file of a checkpoint. */
struct kv_sealing {
   struct kv_spool *spool;
   const uint8_t *store_id;
   const struct kv_active *active; /* as kv_backup_open has it */
   /* The result. */
   uint64_t sequence;
   uint8_t digest[KV_BACKUP_DIGEST_SIZE];
};
/* `context` is a struct kv_sealing. */
int kv_sealed_checkpoint(void *context, const kvs_host *host, const kvs_tick *tick,
                         kvs_error *error);
/* The backup that was made so; closes the spool with it. NULL when memory runs out: the spool is
 * the caller's. */
struct kv_backup *kv_backup_of_spool(const struct kv_sealing *sealing);

/* Hands over the records of a file; `context` is a struct kv_backup_source. */
int kv_sealed_load(void *context, const kvs_host *host, kvs_error *error);

#endif
