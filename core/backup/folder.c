#include "core/backup/folder.h"

#include "core/support/clock.h"
#include "core/support/size.h"
#include "kvstore/plugin.h"
#include "storage/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "kvstore-"
#define SUFFIX ".backup"
#define UNFINISHED ".unfinished"
#define MS_PER_S 1000
/* By so much a clock may be set back while backups are made. */
#define LATER_MS 60000

struct kv_backup_folder {
   int fd;
   char *path;
};

/* ---- The directory ---- */

static enum kv_code check_access(const struct kv_backup_folder *folder, struct kv_status *status)
{
   struct stat info;
   if (fstat(folder->fd, &info) != 0)
      return kv_fail_errno(status, errno, "cannot look at the backup directory %s", folder->path);
   if (info.st_uid != 0 && info.st_uid != geteuid())
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "the backup directory %s belongs to user id %u, who could replace backups; "
                     "give it to the server's user",
                     folder->path, (unsigned)info.st_uid);
   if (info.st_mode & (S_IWGRP | S_IWOTH))
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "others can write the backup directory %s and could replace backups; change "
                     "that: chmod go-w %s",
                     folder->path, folder->path);
   if (faccessat(folder->fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
      return kv_fail_errno(status, errno, "the server cannot write the backup directory %s",
                           folder->path);
   return KV_OK;
}

enum kv_code kv_backup_folder_open(const char *path, struct kv_backup_folder **folder,
                                   struct kv_status *status)
{
   struct kv_backup_folder *opened = calloc(1, sizeof *opened);
   char *copy = strdup(path);
   if (!opened || !copy) {
      free(opened);
      free(copy);
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the backup directory");
   }
   opened->path = copy;
   opened->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
   enum kv_code code =
       opened->fd < 0 ? kv_fail_errno(status, errno,
                                      "cannot open the backup directory %s, which must exist", path)
                      : check_access(opened, status);
   if (code == KV_OK && flock(opened->fd, LOCK_EX | LOCK_NB) != 0)
      code = errno == EWOULDBLOCK
                 ? kv_fail(status, KV_FAILED_PRECONDITION,
                           "another server makes its backups in %s, and each would remove those of "
                           "the other; give this one a directory of its own",
                           path)
                 : kv_fail_errno(status, errno, "cannot lock the backup directory %s", path);
   if (code == KV_OK)
      *folder = opened;
   else
      kv_backup_folder_close(opened);
   return code;
}

void kv_backup_folder_close(struct kv_backup_folder *folder)
{
   if (folder->fd >= 0)
      close(folder->fd);
   free(folder->path);
   free(folder);
}

/* ---- Names ---- */

#define SEQUENCE_DIGITS 20

static void make_name(char name[KV_BACKUP_NAME_SIZE], int64_t ms, uint64_t sequence)
{
   time_t seconds = (time_t)(ms / MS_PER_S);
   struct tm parts = {0};
   char text[24] = "";
   if (gmtime_r(&seconds, &parts) && strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts) == 0)
      text[0] = '\0';
   snprintf(name, KV_BACKUP_NAME_SIZE, PREFIX "%s-%020" PRIu64 SUFFIX, text, sequence);
}

/* Exactly what make_name makes. */
static bool parse_name(const char *name, int64_t *ms, uint64_t *sequence)
{
   struct tm parts = {0};
   char again[KV_BACKUP_NAME_SIZE], number[SEQUENCE_DIGITS + 1];
   const char *rest = strptime(name, PREFIX "%Y%m%dT%H%M%SZ-", &parts);
   if (!rest || strlen(rest) < SEQUENCE_DIGITS)
      return false;
   memcpy(number, rest, SEQUENCE_DIGITS);
   number[SEQUENCE_DIGITS] = '\0';
   if (!kv_number_parse(number, sequence))
      return false;
   *ms = (int64_t)timegm(&parts) * MS_PER_S;
   make_name(again, *ms, *sequence);
   return strcmp(name, again) == 0;
}

static int is_backup(const struct dirent *entry)
{
   int64_t ms;
   uint64_t sequence;
   return parse_name(entry->d_name, &ms, &sequence);
}

/* Whether it counts: an empty file is none, whatever its name, and one from after now, when the
 * clock was wrong, must not pass for the newest. */
static bool counts(const struct kv_backup_folder *folder, const char *name, int64_t now_ms)
{
   struct stat info;
   int64_t ms;
   uint64_t sequence;
   return parse_name(name, &ms, &sequence) && ms <= now_ms + LATER_MS &&
          fstatat(folder->fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
          info.st_size > 0;
}

/* All that count, oldest first. The caller frees each and the list. */
static enum kv_code list(const struct kv_backup_folder *folder, struct dirent ***names, int *count,
                         struct kv_status *status)
{
   const int64_t now_ms = kv_clock_unix_ms();
   int found = scandirat(folder->fd, ".", names, is_backup, alphasort);
   *count = 0;
   if (found < 0)
      return kv_fail_errno(status, errno, "cannot read the backup directory %s", folder->path);
   for (int i = 0; i < found; i++) {
      if (counts(folder, (*names)[i]->d_name, now_ms))
         (*names)[(*count)++] = (*names)[i];
      else
         free((*names)[i]);
   }
   return KV_OK;
}

static void free_list(struct dirent **names, int count)
{
   for (int i = 0; i < count; i++)
      free(names[i]);
   free(names);
}

enum kv_code kv_backup_folder_find(const struct kv_backup_folder *folder,
                                   struct kv_backup_found *found, struct kv_status *status)
{
   struct dirent **names;
   int count;
   *found = (struct kv_backup_found){0};
   if (list(folder, &names, &count, status) != KV_OK)
      return status->code;
   found->count = (uint64_t)count;
   if (count > 0) {
      struct stat info;
      const char *newest = names[count - 1]->d_name;
      (void)parse_name(newest, &found->made_ms, &found->sequence); /* it is in the list */
      make_name(found->name, found->made_ms, found->sequence);
      if (fstatat(folder->fd, newest, &info, AT_SYMLINK_NOFOLLOW) == 0)
         found->bytes = (uint64_t)info.st_size;
   }
   free_list(names, count);
   return KV_OK;
}

enum kv_code kv_backup_folder_prune(struct kv_backup_folder *folder, uint64_t keep,
                                    int64_t oldest_ms, struct kv_status *status)
{
   struct dirent **names;
   int count;
   enum kv_code code = list(folder, &names, &count, status);
   if (code != KV_OK)
      return code;
   for (int i = 0; i + 1 < count; i++) {
      int64_t ms = 0;
      uint64_t sequence;
      (void)parse_name(names[i]->d_name, &ms, &sequence);
      bool beyond = keep > 0 && (uint64_t)(count - i) > keep;
      if ((beyond || ms < oldest_ms) && unlinkat(folder->fd, names[i]->d_name, 0) != 0 &&
          code == KV_OK)
         code = kv_fail_errno(status, errno, "cannot remove the old backup %s/%s", folder->path,
                              names[i]->d_name);
   }
   free_list(names, count);
   return code;
}

/* ---- Writing ---- */

struct output {
   int fd;
   const struct kv_backup_folder *folder;
   uint64_t bytes;
   enum kv_code (*pace)(void *context, uint64_t bytes, struct kv_status *status);
   void *context;
};

static enum kv_code put(void *context, const void *data, size_t size, struct kv_status *status)
{
   struct output *output = context;
   const char *from = data;
   for (size_t left = size; left > 0;) {
      ssize_t written = write(output->fd, from, left);
      if (written < 0 && errno == EINTR)
         continue;
      if (written < 0)
         return kv_fail_errno(status, errno, "cannot write a backup in %s", output->folder->path);
      from += written;
      left -= (size_t)written;
   }
   output->bytes += size;
   return output->pace(output->context, output->bytes, status);
}

static enum kv_code write_file(struct output *output, const struct kv_backup *backup,
                               struct kv_status *status)
{
   const struct kv_backup_sink sink = {put, output};
   const struct storage_backup_visitor nobody = {0};
   uint8_t digest[KV_BACKUP_DIGEST_SIZE];
   kvs_error error = {.size = sizeof error};
   if (kv_backup_write(backup, &sink, digest, status) != KV_OK)
      return status->code;
   if (fsync(output->fd) != 0)
      return kv_fail_errno(status, errno, "cannot sync a backup in %s", output->folder->path);
   (void)posix_fadvise(output->fd, 0, 0, POSIX_FADV_DONTNEED); /* a hint: read from the disk */
   if (storage_backup_read(output->fd, output->folder->path, &nobody, &error) != KVS_OK)
      return kv_fail(status, KV_DATA_LOSS, "a backup does not read back: %s", error.text);
   return KV_OK;
}

enum kv_code kv_backup_folder_write(struct kv_backup_folder *folder, const struct kv_backup *backup,
                                    enum kv_code (*pace)(void *context, uint64_t bytes,
                                                         struct kv_status *status),
                                    void *context, struct kv_status *status)
{
   static const char unfinished[] = PREFIX "own" UNFINISHED;
   char name[KV_BACKUP_NAME_SIZE];
   struct output output = {.folder = folder, .pace = pace, .context = context};
   if (check_access(folder, status) != KV_OK)
      return status->code;
   if (unlinkat(folder->fd, unfinished, 0) != 0 && errno != ENOENT)
      return kv_fail_errno(status, errno, "cannot remove %s/%s", folder->path, unfinished);
   output.fd = openat(folder->fd, unfinished, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
   if (output.fd < 0)
      return kv_fail_errno(status, errno, "cannot create %s/%s", folder->path, unfinished);
   enum kv_code code = write_file(&output, backup, status);
   close(output.fd); /* it was synced, or is of no use */
   make_name(name, kv_clock_unix_ms(), kv_backup_sequence(backup));
   if (code == KV_OK && renameat(folder->fd, unfinished, folder->fd, name) != 0)
      code = kv_fail_errno(status, errno, "cannot rename a backup to %s/%s", folder->path, name);
   if (code == KV_OK && fsync(folder->fd) != 0)
      code = kv_fail_errno(status, errno, "cannot sync the backup directory %s", folder->path);
   if (code != KV_OK)
      (void)unlinkat(folder->fd, unfinished, 0); /* the next one does it, too */
   return code;
}
