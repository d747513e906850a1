/* The file ACTIVE, and the marker STARTING that takes its place during the first start. */
#include "core/datadir/data_directory_internal.h"

#include "core/support/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACTIVE KV_ACTIVE_NAME
#define STARTING "STARTING"

#define REMEDY                                                                                     \
   "restore this directory from a backup, keep what can be read with kvstore-check "               \
   "--recover=prefix, or move it away as a whole to begin an empty store"

/* ---- The marker ---- */

enum kv_code kv_data_directory_mark_starting(const struct kv_data_directory *directory,
                                             struct kv_status *status)
{
   int fd = kv_data_directory_open_or_create(directory, STARTING);
   if (fd < 0)
      return kv_data_directory_fail(directory, errno, "create", STARTING, status);
   close(fd);
   return kv_data_directory_sync(directory, status);
}

/* Once ACTIVE is durable. A marker that cannot be removed is tried again when ACTIVE is read next.
 */
static void remove_marker(struct kv_data_directory *directory)
{
   directory->fresh = false;
   bool removed = unlinkat(directory->fd, STARTING, 0) == 0;
   if (removed ? fsync(directory->fd) != 0 : errno != ENOENT)
      kv_log(KV_LOG_WARNING, "cannot remove %s/" STARTING ": %s", directory->path,
             strerrordesc_np(errno));
}

/* ---- Reading ---- */

/* Without ACTIVE nobody knows how to read what is there. Only what an unfinished first start has
 * left, and empty directories, are not data. */
static enum kv_code check_fresh(const struct kv_data_directory *directory, struct kv_status *status)
{
   struct kv_generations existing;
   enum kv_code code = kv_data_directory_find_generations(directory, &existing, status);
   bool unfinished = faccessat(directory->fd, STARTING, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
   for (size_t i = 0; code == KV_OK && !unfinished && i < existing.count; i++) {
      char name[KV_GENERATION_NAME_SIZE], entry[NAME_MAX + 1];
      kv_generation_name(existing.numbers[i], name);
      code = kv_generation_find_entry(directory, name, entry, status);
      if (code == KV_OK && entry[0] != '\0')
         code = kv_fail(status, KV_DATA_LOSS,
                        "%s/%s holds data, but %s/" ACTIVE
                        ", which says how to read it, is missing; " REMEDY,
                        directory->path, name, directory->path);
   }
   free(existing.numbers);
   return code;
}

/* Reads up to one byte more than ACTIVE can have, so that a longer file is noticed. The caller
 * frees *text, also after a failure. */
static enum kv_code read_text(const struct kv_data_directory *directory, int fd, char **text,
                              size_t *size, struct kv_status *status)
{
   const size_t capacity = KV_ACTIVE_TEXT_SIZE_MAX + 1;
   *size = 0;
   *text = malloc(capacity + 1);
   if (!*text)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the record of the mode");
   ssize_t got = kv_data_directory_read_file(fd, *text, capacity);
   if (got < 0)
      return kv_fail_errno(status, errno, "cannot read %s/" ACTIVE, directory->path);
   *size = (size_t)got;
   (*text)[*size] = '\0';
   return KV_OK;
}

static enum kv_code check_generation(const struct kv_data_directory *directory,
                                     const struct kv_active *active, struct kv_status *status)
{
   char name[KV_GENERATION_NAME_SIZE];
   struct stat info;
   kv_generation_name(active->generation, name);
   bool there = fstatat(directory->fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
   if (there && S_ISDIR(info.st_mode))
      return KV_OK;
   return kv_fail(status, KV_DATA_LOSS,
                  "the data is missing: %s/" ACTIVE " names %s/%s, which is %s; " REMEDY,
                  directory->path, directory->path, name,
                  there ? "not a directory (links are not followed)" : "not there");
}

/* Keeps `text`, which becomes the record's, as what ACTIVE holds now. */
static void remember(struct kv_data_directory *directory, char *text, size_t size)
{
   struct kv_active_record *record = &directory->record;
   struct stat info;
   if (text != record->text)
      free(record->text);
   *record = (struct kv_active_record){.text = text, .size = size};
   if (fstatat(directory->fd, ACTIVE, &info, AT_SYMLINK_NOFOLLOW) == 0) {
      record->file = kv_file_identity_of(&info);
      record->changed = info.st_mtim;
   }
}

static enum kv_code decode(struct kv_data_directory *directory, const char *text, size_t size,
                           struct kv_active *active, struct kv_status *status)
{
   struct kv_status fault;
   char *decoded = malloc(size + 1); /* decoding changes it */
   if (!decoded)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the record of the mode");
   memcpy(decoded, text, size);
   decoded[size] = '\0';
   enum kv_code code = kv_active_decode(decoded, size, active, directory->store_id, &fault);
   free(decoded);
   if (code != KV_OK)
      return kv_fail(status, code, "%s/" ACTIVE " cannot be used: %s; " REMEDY, directory->path,
                     fault.text);
   code = check_generation(directory, active, status);
   if (code != KV_OK)
      kv_active_deinit(active);
   return code;
}

enum kv_code kv_data_directory_inspect_active(struct kv_data_directory *directory,
                                              struct kv_active *active, bool *found,
                                              struct kv_status *status)
{
   int fd = kv_data_directory_open_file(directory, ACTIVE, O_RDONLY);
   *found = fd >= 0;
   if (fd < 0 && errno == ENOENT)
      return check_fresh(directory, status);
   if (fd < 0)
      return kv_data_directory_fail(directory, errno, "open", ACTIVE, status);
   char *text = NULL;
   size_t size = 0;
   enum kv_code code = read_text(directory, fd, &text, &size, status);
   close(fd);
   if (code == KV_OK)
      code = decode(directory, text, size, active, status);
   if (code == KV_OK)
      remember(directory, text, size);
   else
      free(text);
   return code;
}

enum kv_code kv_data_directory_read_active(struct kv_data_directory *directory,
                                           struct kv_active *active, bool *found,
                                           struct kv_status *status)
{
   enum kv_code code = kv_data_directory_inspect_active(directory, active, found, status);
   if (code == KV_OK && *found) {
      remove_marker(directory);
   } else if (code == KV_OK) {
      const struct kv_active none = {.generation = 0};
      code = kv_data_directory_clean(directory, &none, status);
      directory->fresh = code == KV_OK;
   }
   return code;
}

/* ---- Writing ---- */

static enum kv_code put_record(struct kv_data_directory *directory, const char *text, size_t size,
                               struct kv_status *status)
{
   enum kv_code code =
       kv_data_directory_write_temporary(directory, KV_ACTIVE_TEMPORARY, text, size, status);
   if (code == KV_OK) {
      directory->active_in_doubt = true;
      if (renameat(directory->fd, KV_ACTIVE_TEMPORARY, directory->fd, ACTIVE) != 0)
         code = kv_data_directory_fail(directory, errno, "put in place", ACTIVE, status);
   }
   if (code == KV_OK) {
      code = kv_data_directory_sync(directory, status);
      directory->active_in_doubt = code != KV_OK;
   } else {
      unlinkat(directory->fd, KV_ACTIVE_TEMPORARY, 0);
   }
   return code;
}

enum kv_code kv_data_directory_write_active(struct kv_data_directory *directory,
                                            const struct kv_active *active,
                                            struct kv_status *status)
{
   char *text = NULL;
   size_t size = 0;
   enum kv_code code = kv_active_encode(active, directory->store_id, &text, &size, status);
   if (code != KV_OK)
      return code;
   code = put_record(directory, text, size, status);
   if (code == KV_OK)
      remember(directory, text, size);
   else
      free(text);
   if (directory->fresh && code == KV_OK)
      remove_marker(directory);
   else if (directory->fresh)
      unlinkat(directory->fd, ACTIVE, 0); /* the caller discards a store that is still empty */
   return code;
}

static bool holds_record(const struct kv_data_directory *directory)
{
   const struct kv_active_record *record = &directory->record;
   struct kv_status ignored;
   char *text = NULL;
   size_t size = 0;
   int fd = kv_data_directory_open_file(directory, ACTIVE, O_RDONLY);
   if (fd < 0)
      return false;
   bool same = read_text(directory, fd, &text, &size, &ignored) == KV_OK && size == record->size &&
               memcmp(text, record->text, size) == 0;
   free(text);
   close(fd);
   return same;
}

enum kv_code kv_data_directory_keep_active(struct kv_data_directory *directory,
                                           struct kv_status *status)
{
   struct kv_active_record *record = &directory->record;
   struct stat info;
   if (!record->text || directory->active_in_doubt)
      return KV_OK;
   if (fstatat(directory->fd, ACTIVE, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
       kv_file_identity_equal(kv_file_identity_of(&info), record->file) &&
       (size_t)info.st_size == record->size && info.st_mtim.tv_sec == record->changed.tv_sec &&
       info.st_mtim.tv_nsec == record->changed.tv_nsec)
      return KV_OK;
   if (!holds_record(directory)) {
      if (put_record(directory, record->text, record->size, status) != KV_OK)
         return status->code;
      kv_log(KV_LOG_WARNING,
             "%s/" ACTIVE " was removed or changed, and was written again; keep "
             "other programs out of the data directory",
             directory->path);
   }
   remember(directory, record->text, record->size);
   return KV_OK;
}

bool kv_data_directory_active_in_doubt(const struct kv_data_directory *directory)
{
   return directory->active_in_doubt;
}
