#include "client/backup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define READ_SIZE ((size_t)256 * 1024)

struct backup_file {
   int fd;
   bool standard_output;
   bool finished;
   char path[PATH_MAX], part[PATH_MAX];
   XXH3_state_t *hash;
};

/* The one that had the name before may have been renamed since it was opened. */
static bool has_its_name(const struct backup_file *file)
{
   struct stat opened, named;
   return fstat(file->fd, &opened) == 0 && lstat(file->part, &named) == 0 &&
          opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

static enum kv_code open_part(struct backup_file *file, struct kv_status *status)
{
   file->fd = open(file->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
   if (file->fd < 0)
      return kv_fail_errno(status, errno, "cannot create %s", file->part);
   if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 || !has_its_name(file))
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "another backup is being written to %s; wait for it, or give another name",
                     file->path);
   if (ftruncate(file->fd, 0) != 0)
      return kv_fail_errno(status, errno, "cannot write %s", file->part);
   return KV_OK;
}

enum kv_code backup_file_create(const char *path, struct backup_file **file,
                                struct kv_status *status)
{
   struct backup_file *created = calloc(1, sizeof *created);
   if (!created)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a backup");
   created->hash = XXH3_createState();
   created->fd = -1;
   created->standard_output = strcmp(path, "-") == 0;
   snprintf(created->path, sizeof created->path, "%s", path);
   snprintf(created->part, sizeof created->part, "%.*s.part", (int)BACKUP_PATH_SIZE, path);
   enum kv_code code = KV_OK;
   if (!created->hash)
      code = kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a checksum");
   else if (created->standard_output && isatty(STDOUT_FILENO))
      code = kv_fail(status, KV_FAILED_PRECONDITION,
                     "a backup is no text for a terminal; redirect standard output");
   else if (created->standard_output)
      created->fd = STDOUT_FILENO;
   else
      code = open_part(created, status);
   if (code != KV_OK) {
      /* What another process writes is not this one's to remove. */
      created->finished = true;
      backup_file_close(created);
      return code;
   }
   XXH3_128bits_reset(created->hash);
   *file = created;
   return KV_OK;
}

enum kv_code backup_file_write(struct backup_file *file, struct kv_slice data,
                               struct kv_status *status)
{
   const char *from = data.data;
   if (data.size > 0)
      XXH3_128bits_update(file->hash, data.data, data.size);
   for (size_t left = data.size; left > 0;) {
      ssize_t written = write(file->fd, from, left);
      if (written < 0 && errno == EINTR)
         continue;
      if (written < 0)
         return kv_fail_errno(status, errno, "cannot write %s",
                              file->standard_output ? "to standard output" : file->part);
      from += written;
      left -= (size_t)written;
   }
   return KV_OK;
}

static bool has_digest(const XXH3_state_t *hash, const uint8_t digest[BACKUP_DIGEST_SIZE])
{
   XXH128_canonical_t canonical;
   XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
   return memcmp(canonical.digest, digest, BACKUP_DIGEST_SIZE) == 0;
}

/* From the disk, as far as the kernel lets go of what it has in memory. */
static enum kv_code read_back(struct backup_file *file, const uint8_t digest[BACKUP_DIGEST_SIZE],
                              struct kv_status *status)
{
   uint8_t *buffer = malloc(READ_SIZE);
   if (!buffer)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory to read the backup back");
   (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED); /* a hint */
   XXH3_128bits_reset(file->hash);
   ssize_t got;
   off_t offset = 0;
   while ((got = pread(file->fd, buffer, READ_SIZE, offset)) > 0 || (got < 0 && errno == EINTR)) {
      if (got < 0)
         continue;
      XXH3_128bits_update(file->hash, buffer, (size_t)got);
      offset += got;
   }
   free(buffer);
   if (got < 0)
      return kv_fail_errno(status, errno, "cannot read %s back", file->part);
   if (!has_digest(file->hash, digest))
      return kv_fail(status, KV_DATA_LOSS,
                     "%s reads back differently from what was written; check the disk", file->part);
   return KV_OK;
}

static enum kv_code sync_directory(const char *path, struct kv_status *status)
{
   char copy[PATH_MAX];
   snprintf(copy, sizeof copy, "%s", path);
   const char *directory = dirname(copy);
   int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
   int error = fd >= 0 && fsync(fd) == 0 ? 0 : errno;
   if (fd >= 0)
      close(fd);
   return error == 0 ? KV_OK : kv_fail_errno(status, error, "cannot sync %s", directory);
}

enum kv_code backup_file_finish(struct backup_file *file, const uint8_t digest[BACKUP_DIGEST_SIZE],
                                struct kv_status *status)
{
   if (!has_digest(file->hash, digest))
      return kv_fail(status, KV_DATA_LOSS,
                     "what arrived has not the checksum that the server gave; try again");
   if (file->standard_output)
      return KV_OK;
   if (fsync(file->fd) != 0)
      return kv_fail_errno(status, errno, "cannot sync %s", file->part);
   if (read_back(file, digest, status) != KV_OK)
      return status->code;
   if (rename(file->part, file->path) != 0)
      return kv_fail_errno(status, errno, "cannot rename %s to %s", file->part, file->path);
   file->finished = true;
   return sync_directory(file->path, status);
}

void backup_file_close(struct backup_file *file)
{
   if (!file->finished && !file->standard_output)
      (void)unlink(file->part); /* nobody needs half a backup */
   if (file->fd >= 0 && !file->standard_output)
      close(file->fd); /* it was synced, or is of no use */
   XXH3_freeState(file->hash);
   free(file);
}
