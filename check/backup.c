#include "check/backup.h"

#include "check/recover.h"
#include "core/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* What a mode becomes that keeps nothing, or that this program cannot write. */
#define OTHER_MODE "hybrid"

static enum kv_code open_file(const char *path, struct kv_backup_source *source,
                              struct kv_status *status)
{
   *source = (struct kv_backup_source){.fd = open(path, O_RDONLY | O_CLOEXEC), .name = path};
   return source->fd >= 0 ? KV_OK : kv_fail_errno(status, errno, "cannot open %s", path);
}

enum kv_code backup_check(const char *path, struct kv_backup_content *backup,
                          struct kv_status *status)
{
   struct kv_backup_source source;
   *backup = (struct kv_backup_content){0};
   if (open_file(path, &source, status) != KV_OK)
      return status->code;
   enum kv_code code = kv_backup_check(&source, backup, status);
   close(source.fd);
   return code;
}

/* ---- Restoring ----------------------------------------------------------------------------- */

static enum kv_code load(const char *path, struct kv_backup_content *backup, struct kv_store *store,
                         struct kv_status *status)
{
   struct kv_backup_source source;
   if (open_file(path, &source, status) != KV_OK)
      return status->code;
   enum kv_code code = kv_backup_load(&source, store, backup, status);
   close(source.fd);
   return code;
}

/* The mode of the directory to be written. */
static enum kv_code choose_mode(const struct kv_backup_content *backup, struct recovery *recovery,
                                bool *same, struct kv_status *status)
{
   recovery->active = backup->active;
   place_find(&recovery->active, &recovery->place);
   if (recovery->place.encrypted && !backup->sealed)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "it says that its store is encrypted, and its data is not; no version makes "
                     "such a backup");
   if (backup->sealed && (!recovery->place.encrypted || recovery->place.kept == KEPT_UNKNOWN))
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "its data is what mode %s has made of it, which only that plug-in opens; "
                     "start a server in that mode, and use kvstore-cli restore",
                     backup->active.plugin);
   *same = recovery->place.kept == KEPT_SNAPSHOTS || recovery->place.kept == KEPT_JOURNAL;
   if (*same)
      return KV_OK;
   static char other[] = OTHER_MODE;
   recovery->active = (struct kv_active){.plugin = other, .generation = backup->active.generation};
   place_find(&recovery->active, &recovery->place);
   return KV_OK;
}

static enum kv_code write_directory(const struct kv_backup_content *backup, struct kv_store *store,
                                    const char *output, bool *same, struct kv_status *status)
{
   struct recovery recovery = {0};
   enum kv_code code = choose_mode(backup, &recovery, same, status);
   if (code == KV_OK && rmdir(output) != 0 && errno != ENOENT)
      code = kv_fail_errno(status, errno,
                           "%s exists already and cannot be replaced, which only an empty "
                           "directory can; give another path",
                           output);
   return code == KV_OK ? recover_write(&recovery, store, backup->store_id, output, status) : code;
}

enum kv_code backup_restore(const char *path, const char *output, struct kv_backup_content *backup,
                            bool *same, struct kv_status *status)
{
   *backup = (struct kv_backup_content){0};
   struct kv_store *store = kv_store_create();
   if (!store)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the store");
   enum kv_code code = load(path, backup, store, status);
   if (code == KV_OK)
      code = write_directory(backup, store, output, same, status);
   kv_store_destroy(store);
   return code;
}
