/* Opening and closing the data directory, and whether it is still where a restart looks for it. */
#include "core/datadir/data_directory_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define NAME_SIZE_MAX 32 /* of anything in the directory, with the slash before it */

/* ---- Opening ---- */

static enum kv_code fail_parent(const char *path, struct kv_status *status)
{
   return kv_fail(
       status, KV_FAILED_PRECONDITION,
       "cannot create the directory %s: its parent directory does not exist; create that "
       "first",
       path);
}

static enum kv_code make(const char *path, bool *created, struct kv_status *status)
{
   *created = mkdir(path, 0700) == 0;
   if (!*created && errno == ENOENT)
      return fail_parent(path, status);
   if (!*created && errno != EEXIST)
      return kv_fail_errno(status, errno, "cannot create the directory %s", path);
   return KV_OK;
}

static struct kv_data_directory *create(const char *path, struct kv_status *status)
{
   struct kv_data_directory *created = calloc(1, sizeof *created);
   char *given = strdup(path);
   if (!created || !given) {
      free(created);
      free(given);
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the data directory");
      return NULL;
   }
   *created = (struct kv_data_directory){.given = given, .fd = -1, .lock_fd = -1};
   return created;
}

static enum kv_code open_directory(struct kv_data_directory *directory, struct kv_status *status)
{
   struct stat info;
   directory->path = realpath(directory->given, NULL);
   if (!directory->path)
      return kv_fail_errno(status, errno, "cannot find the data directory %s", directory->given);
   if (strlen(directory->path) + NAME_SIZE_MAX > KV_GENERATION_PATH_SIZE)
      return kv_fail(status, KV_INVALID_ARGUMENT, "the path of the data directory is too long: %s",
                     directory->path);
   directory->fd =
       kv_data_directory_open_at(AT_FDCWD, directory->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
   if (directory->fd < 0)
      return kv_data_directory_fail(directory, errno, "open the data directory", "", status);
   if (fstat(directory->fd, &info) != 0)
      return kv_fail_errno(status, errno, "cannot examine the data directory %s", directory->path);
   directory->self = kv_file_identity_of(&info);
   return KV_OK;
}

/* A random UUID (version 4). */
static enum kv_code make_store_id(struct kv_data_directory *directory, struct kv_status *status)
{
   uint8_t *id = directory->store_id;
   if (getrandom(id, KV_STORE_ID_SIZE, 0) != KV_STORE_ID_SIZE)
      return kv_fail_errno(status, errno, "cannot get random bytes for the store's id");
   id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
   id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
   return KV_OK;
}

/* The umask may have removed too much of a new directory's mode; and it must not vanish with a
 * power cut after data in it was acknowledged. */
static enum kv_code settle_new(const struct kv_data_directory *directory, struct kv_status *status)
{
   if (fchmod(directory->fd, 0700) != 0)
      return kv_fail_errno(status, errno, "cannot set the mode of the directory %s",
                           directory->path);
   int parent = kv_data_directory_open_at(directory->fd, "..", O_RDONLY | O_DIRECTORY);
   bool synced = parent >= 0 && fsync(parent) == 0;
   int error = errno;
   if (parent >= 0)
      close(parent);
   if (!synced)
      return kv_fail_errno(status, error, "cannot sync the directory that %s is in",
                           directory->path);
   return KV_OK;
}

/* The end of each way to open: closes what could not be opened in full. */
static enum kv_code hand_over(struct kv_data_directory *opened, enum kv_code code,
                              struct kv_data_directory **directory)
{
   if (code == KV_OK)
      *directory = opened;
   else
      kv_data_directory_close(opened);
   return code;
}

enum kv_code kv_data_directory_open(const char *path, struct kv_data_directory **directory,
                                    struct kv_status *status)
{
   struct kv_data_directory *opened = create(path, status);
   if (!opened)
      return status->code;
   bool created;
   bool done = make(path, &created, status) == KV_OK && open_directory(opened, status) == KV_OK &&
               kv_data_directory_check_access(opened, status) == KV_OK &&
               (!created || settle_new(opened, status) == KV_OK) &&
               kv_data_directory_lock(opened, status) == KV_OK &&
               kv_data_directory_check_hold(opened, status) == KV_OK &&
               make_store_id(opened, status) == KV_OK;
   return hand_over(opened, done ? KV_OK : status->code, directory);
}

enum kv_code kv_data_directory_open_to_read(const char *path, struct kv_data_directory **directory,
                                            struct kv_status *status)
{
   struct kv_data_directory *opened = create(path, status);
   if (!opened)
      return status->code;
   enum kv_code code = open_directory(opened, status);
   if (code == KV_OK)
      code = kv_data_directory_share_lock(opened, status);
   return hand_over(opened, code, directory);
}

/* Whether `path`, which does not exist, could be created. */
static enum kv_code check_parent(const char *path, struct kv_status *status)
{
   char *copy = strdup(path);
   if (!copy)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the data directory");
   int error = faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
   free(copy);
   if (error == ENOENT)
      return fail_parent(path, status);
   return error == 0 ? KV_OK : kv_fail_errno(status, error, "cannot create the directory %s", path);
}

enum kv_code kv_data_directory_try(const char *path, struct kv_data_directory **directory,
                                   struct kv_status *status)
{
   struct stat info;
   *directory = NULL;
   if (lstat(path, &info) != 0 && errno == ENOENT)
      return check_parent(path, status);
   enum kv_code code = kv_data_directory_open_to_read(path, directory, status);
   if (code == KV_OK)
      code = kv_data_directory_check_access(*directory, status);
   if (code != KV_OK && *directory) {
      kv_data_directory_close(*directory);
      *directory = NULL;
   }
   return code;
}

/* ---- While it is open ---- */

static enum kv_code check_path(const struct kv_data_directory *directory, const char *path,
                               struct kv_status *status)
{
   struct stat info;
   int error = fstatat(AT_FDCWD, path, &info, 0) == 0 ? 0 : errno;
   if (error == ENOENT)
      return kv_fail(status, KV_UNAVAILABLE,
                     "the data directory %s is no longer there; put it back, or stop the server "
                     "and start it on the right one",
                     path);
   if (error != 0)
      return kv_fail_errno(status, error, "cannot reach the data directory %s", path);
   if (kv_file_identity_equal(kv_file_identity_of(&info), directory->self))
      return KV_OK;
   return kv_fail(status, KV_UNAVAILABLE,
                  "the data directory %s is not the one that this server opened, which was "
                  "moved away or removed; put that back, or restart the server to use this one",
                  path);
}

enum kv_code kv_data_directory_check_hold(struct kv_data_directory *directory,
                                          struct kv_status *status)
{
   enum kv_code code = check_path(directory, directory->path, status);
   if (code == KV_OK)
      code = check_path(directory, directory->given, status);
   return code == KV_OK ? kv_data_directory_keep_lock(directory, status) : code;
}

static enum kv_code check_generation(struct kv_data_directory *directory, uint64_t generation,
                                     struct kv_status *status)
{
   char name[KV_GENERATION_NAME_SIZE];
   struct stat info;
   kv_generation_name(generation, name);
   if (fstatat(directory->fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
      return kv_fail_errno(status, errno, "cannot find %s/%s, which holds the data",
                           directory->path, name);
   if (!S_ISDIR(info.st_mode))
      return kv_fail(status, KV_UNAVAILABLE,
                     "%s/%s, which holds the data, was replaced by what is no directory (links are "
                     "not followed)",
                     directory->path, name);
   if (directory->known_generation != generation) {
      directory->known_generation = generation;
      directory->generation = kv_file_identity_of(&info);
   }
   if (kv_file_identity_equal(kv_file_identity_of(&info), directory->generation))
      return KV_OK;
   return kv_fail(status, KV_UNAVAILABLE, "%s/%s, which holds the data, was replaced",
                  directory->path, name);
}

enum kv_code kv_data_directory_check(struct kv_data_directory *directory, uint64_t generation,
                                     struct kv_status *status)
{
   enum kv_code code = kv_data_directory_check_hold(directory, status);
   if (code == KV_OK)
      code = check_generation(directory, generation, status);
   if (code == KV_OK)
      code = kv_data_directory_keep_active(directory, status);
   return code;
}

const char *kv_data_directory_path(const struct kv_data_directory *directory)
{
   return directory->path;
}

void kv_data_directory_adopt_store_id(struct kv_data_directory *directory,
                                      const uint8_t store_id[16])
{
   memcpy(directory->store_id, store_id, sizeof directory->store_id);
}

const uint8_t *kv_data_directory_store_id(const struct kv_data_directory *directory)
{
   return directory->store_id;
}

void kv_data_directory_close(struct kv_data_directory *directory)
{
   if (directory->lock_fd >= 0)
      close(directory->lock_fd);
   if (directory->fd >= 0)
      close(directory->fd);
   free(directory->record.text);
   free(directory->given);
   free(directory->path);
   free(directory);
}
