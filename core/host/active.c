/* The file ACTIVE, and the marker STARTING that stands in for it during the first start. */
#include "core/host/data_directory_internal.h"

#include "core/support/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACTIVE "ACTIVE"
#define ACTIVE_TEMPORARY "ACTIVE.tmp"
#define STARTING "STARTING"

#define REMEDY                                                                                     \
   "restore this directory from a backup, or move it away as a whole to begin an empty store"

/* ---- The marker ---- */

enum kv_code kv_data_directory_mark_starting(const struct kv_data_directory *directory,
                                             struct kv_status *status)
{
   int fd = kv_data_directory_open_file(directory, STARTING, O_WRONLY);
   if (fd < 0)
      return kv_fail_errno(status, errno, "cannot create %s/" STARTING, directory->path);
   close(fd);
   return kv_data_directory_sync(directory, status);
}

/* Once ACTIVE is durable. A marker that stays is tried again when ACTIVE is next read. */
static void remove_marker(struct kv_data_directory *directory)
{
   directory->fresh = false;
   bool removed = unlinkat(directory->fd, STARTING, 0) == 0;
   if (removed ? fsync(directory->fd) != 0 : errno != ENOENT)
      kv_log(KV_LOG_WARNING, "cannot remove %s/" STARTING ": %s", directory->path,
             strerrordesc_np(errno));
}

/* ---- Reading ---- */

/* Without ACTIVE nobody can say how to read what is there. Only what an unfinished first start left
 * behind, and directories with nothing in them, are not data. */
static enum kv_code clear_for_first_start(struct kv_data_directory *directory, uint64_t generation,
                                          bool unfinished, struct kv_status *status)
{
   if (unfinished)
      return kv_data_directory_remove_generation(directory, generation, status);
   char path[KV_GENERATION_PATH_SIZE];
   kv_data_directory_generation_path(directory, generation, path);
   if (rmdir(path) == 0)
      return KV_OK;
   if (errno != ENOTEMPTY && errno != EEXIST)
      return kv_fail_errno(status, errno, "cannot remove the directory %s", path);
   return kv_fail(status, KV_DATA_LOSS,
                  "%s holds data, but %s/" ACTIVE
                  ", which says how to read it, is missing; " REMEDY,
                  path, directory->path);
}

static enum kv_code begin_fresh(struct kv_data_directory *directory, struct kv_status *status)
{
   bool unfinished = faccessat(directory->fd, STARTING, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
   struct kv_generations existing;
   enum kv_code code = kv_data_directory_find_generations(directory, &existing, status);
   for (size_t i = 0; code == KV_OK && i < existing.count; i++)
      code = clear_for_first_start(directory, existing.numbers[i], unfinished, status);
   free(existing.numbers);
   directory->fresh = code == KV_OK;
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
   ssize_t got = 1;
   while (got != 0 && *size < capacity) {
      got = read(fd, *text + *size, capacity - *size);
      if (got < 0 && errno != EINTR)
         return kv_fail_errno(status, errno, "cannot read %s/" ACTIVE, directory->path);
      *size += got > 0 ? (size_t)got : 0;
   }
   (*text)[*size] = '\0';
   return KV_OK;
}

static enum kv_code check_generation(const struct kv_data_directory *directory,
                                     const struct kv_active *active, struct kv_status *status)
{
   char path[KV_GENERATION_PATH_SIZE];
   struct stat info;
   kv_data_directory_generation_path(directory, active->generation, path);
   if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
      return KV_OK;
   return kv_fail(status, KV_DATA_LOSS,
                  "the data is missing: %s/" ACTIVE " names %s, which is not there; " REMEDY,
                  directory->path, path);
}

enum kv_code kv_data_directory_read_active(struct kv_data_directory *directory,
                                           struct kv_active *active, bool *found,
                                           struct kv_status *status)
{
   int fd = kv_data_directory_open_at(directory->fd, ACTIVE, O_RDONLY | O_NOFOLLOW);
   *found = fd >= 0;
   if (fd < 0 && errno == ENOENT)
      return begin_fresh(directory, status);
   if (fd < 0)
      return kv_fail_errno(status, errno, "cannot open %s/" ACTIVE, directory->path);
   char *text = NULL;
   size_t size = 0;
   enum kv_code code = read_text(directory, fd, &text, &size, status);
   close(fd);
   struct kv_status fault;
   if (code == KV_OK) {
      code = kv_active_decode(text, size, active, directory->store_id, &fault);
      if (code != KV_OK)
         kv_fail(status, code, "%s/" ACTIVE " cannot be used: %s; " REMEDY, directory->path,
                 fault.text);
   }
   free(text);
   if (code != KV_OK)
      return code;
   code = check_generation(directory, active, status);
   if (code != KV_OK) {
      kv_active_deinit(active);
      return code;
   }
   remove_marker(directory);
   return KV_OK;
}

/* ---- Writing ---- */

static enum kv_code write_temporary(const struct kv_data_directory *directory, const char *text,
                                    size_t size, struct kv_status *status)
{
   int fd = kv_data_directory_open_file(directory, ACTIVE_TEMPORARY, O_WRONLY | O_TRUNC);
   if (fd < 0)
      return kv_fail_errno(status, errno, "cannot create %s/" ACTIVE_TEMPORARY, directory->path);
   bool written = kv_data_directory_write_file(fd, text, size) && fsync(fd) == 0;
   int error = errno;
   if (close(fd) != 0 && written) {
      written = false;
      error = errno;
   }
   if (!written)
      return kv_fail_errno(status, error, "cannot write %s/" ACTIVE_TEMPORARY, directory->path);
   return KV_OK;
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
   code = write_temporary(directory, text, size, status);
   free(text);
   if (code == KV_OK) {
      directory->active_in_doubt = true;
      if (renameat(directory->fd, ACTIVE_TEMPORARY, directory->fd, ACTIVE) != 0)
         code = kv_fail_errno(status, errno, "cannot put %s/" ACTIVE " in place", directory->path);
   }
   if (code == KV_OK) {
      code = kv_data_directory_sync(directory, status);
      directory->active_in_doubt = code != KV_OK;
   } else {
      unlinkat(directory->fd, ACTIVE_TEMPORARY, 0);
   }
   if (directory->fresh && code == KV_OK)
      remove_marker(directory);
   else if (directory->fresh)
      unlinkat(directory->fd, ACTIVE, 0); /* the caller gives up a store that nothing was put in */
   return code;
}

bool kv_data_directory_active_in_doubt(const struct kv_data_directory *directory)
{
   return directory->active_in_doubt;
}
