#include "storage/folder.h"

#include "storage/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Failures ------------------------------------------------------------------------------ */

static void append(kvs_error *error, const char *text)
{
   size_t used = strlen(error->text);
   snprintf(error->text + used, sizeof error->text - used, "%s", text);
}

/* "PATH/NAME: cannot VERB" for the reason in errno; where access is denied, also the owner and the
 * remedy. `name` may be "". */
static int fail(const struct storage_folder *folder, const char *name, const char *verb,
                kvs_error *error)
{
   int reason = errno;
   const char *slash = name[0] != '\0' ? "/" : "";
   if (reason == ELOOP || reason == ENOTDIR)
      return storage_fail(
          error, KVS_CORRUPT,
          "%.300s%s%s: is %s, and links are not followed here; put back what belongs "
          "there",
          folder->path, slash, name, reason == ELOOP ? "a link" : "not a directory");
   int code =
       storage_fail_errno(error, reason, "%s%s%s: cannot %s", folder->path, slash, name, verb);
   if (reason != EACCES && reason != EPERM)
      return code;
   struct stat info;
   bool known = folder->fd >= 0 && name[0] != '\0'
                    ? fstatat(folder->fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0
                    : fstatat(AT_FDCWD, folder->path, &info, AT_SYMLINK_NOFOLLOW) == 0;
   char remedy[160];
   snprintf(remedy, sizeof remedy,
            "; it belongs to user id %u (mode %04o), and the server runs as user id %u: start it "
            "as that user, or use chown -R %u",
            known ? (unsigned)info.st_uid : 0, known ? (unsigned)(info.st_mode & 07777) : 0,
            (unsigned)geteuid(), (unsigned)geteuid());
   if (known && info.st_uid != geteuid())
      append(error, remedy);
   return code;
}

static int fail_kind(const struct storage_folder *folder, const char *name, kvs_error *error)
{
   return storage_fail(error, KVS_CORRUPT,
                       "%.300s/%s: is not a regular file; move it away, or restore the file from a "
                       "backup",
                       folder->path, name);
}

/* ---- Folders ------------------------------------------------------------------------------- */

static int open_at(int directory_fd, const char *name, int flags)
{
   int opened;
   do
      opened = openat(directory_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
   while (opened < 0 && errno == EINTR);
   return opened;
}

static int set_path(struct storage_folder *folder, const char *path, const char *name,
                    kvs_error *error)
{
   folder->fd = -1;
   int length = snprintf(folder->path, sizeof folder->path, "%s%s%s", path,
                         name[0] != '\0' ? "/" : "", name);
   if (length < 0 || (size_t)length >= sizeof folder->path)
      return storage_fail(error, KVS_INVALID, "%.300s...: the path is too long", path);
   return KVS_OK;
}

static int open_directory(int parent_fd, const char *name, struct storage_folder *folder,
                          kvs_error *error)
{
   folder->fd = open_at(parent_fd, name, O_RDONLY | O_DIRECTORY);
   return folder->fd >= 0 ? KVS_OK : fail(folder, "", "open the directory", error);
}

int storage_folder_open(const char *path, struct storage_folder *folder, kvs_error *error)
{
   int code = set_path(folder, path, "", error);
   return code == KVS_OK ? open_directory(AT_FDCWD, folder->path, folder, error) : code;
}

int storage_folder_enter(const struct storage_folder *parent, const char *name,
                         struct storage_folder *folder, kvs_error *error)
{
   int code = set_path(folder, parent->path, name, error);
   return code == KVS_OK ? open_directory(parent->fd, name, folder, error) : code;
}

void storage_folder_close(struct storage_folder *folder)
{
   if (folder->fd >= 0)
      close(folder->fd);
   folder->fd = -1;
}

void storage_folder_path(const struct storage_folder *folder, const char *name, char path[PATH_MAX])
{
   snprintf(path, PATH_MAX, "%s/%s", folder->path, name);
}

bool storage_resumed(const kvs_host *host)
{
   return host->size >= offsetof(kvs_host, resumed) + sizeof host->resumed && host->resumed;
}

/* Descends one part of `name` at a time, so that no link is followed on the way. */
static int open_below(int parent_fd, const char *name)
{
   char part[NAME_MAX + 1];
   int fd = -1;
   for (;;) {
      size_t length = strcspn(name, "/");
      snprintf(part, sizeof part, "%.*s", (int)length, name);
      int next = open_at(fd >= 0 ? fd : parent_fd, part, O_RDONLY | O_DIRECTORY);
      int error = errno;
      if (fd >= 0)
         close(fd);
      errno = error;
      if (next < 0 || name[length] == '\0')
         return next;
      fd = next;
      name += length + 1;
   }
}

/* Opens the host's directory, and sets the path of `folder` to one below it. */
static int open_top(const kvs_host *host, const char *name, struct storage_folder *top,
                    struct storage_folder *folder, kvs_error *error)
{
   int code = set_path(folder, host->directory, name, error);
   return code == KVS_OK ? storage_folder_open(host->directory, top, error) : code;
}

int storage_folder_find(const kvs_host *host, const char *name, struct storage_folder *folder,
                        kvs_error *error)
{
   struct storage_folder top;
   int code = open_top(host, name, &top, folder, error);
   if (code != KVS_OK)
      return code;
   folder->fd = open_below(top.fd, name);
   if (folder->fd < 0 && errno != ENOENT)
      code = fail(folder, "", "open the directory", error);
   storage_folder_close(&top);
   return code;
}

static int check_owner(const struct storage_folder *folder, kvs_error *error)
{
   struct stat info;
   if (fstat(folder->fd, &info) != 0)
      return fail(folder, "", "examine", error);
   if (info.st_uid == geteuid() || info.st_uid == 0)
      return KVS_OK;
   return storage_fail(error, KVS_INVALID,
                       "%.300s: belongs to user id %u, and the server runs as user id %u; start it "
                       "as that user, or use chown -R",
                       folder->path, (unsigned)info.st_uid, (unsigned)geteuid());
}

static int make_in(const struct storage_folder *top, const kvs_host *host, const char *name,
                   struct storage_folder *folder, kvs_error *error)
{
   folder->fd = open_at(top->fd, name, O_RDONLY | O_DIRECTORY);
   bool missing = folder->fd < 0 && errno == ENOENT;
   if (missing && storage_resumed(host))
      return storage_fail(error, KVS_CORRUPT,
                          "%.300s: this directory is missing, with all that was in it; restore it "
                          "from a backup",
                          folder->path);
   if (missing && mkdirat(top->fd, name, 0700) != 0)
      return fail(folder, "", "make the directory", error);
   if (missing)
      folder->fd = open_at(top->fd, name, O_RDONLY | O_DIRECTORY);
   if (folder->fd < 0)
      return fail(folder, "", "open the directory", error);
   if (missing && fchmod(folder->fd, 0700) != 0)
      return fail(folder, "", "set the directory's mode", error);
   return missing ? storage_sync_directory(top, error) : check_owner(folder, error);
}

int storage_folder_make(const kvs_host *host, const char *name, struct storage_folder *folder,
                        kvs_error *error)
{
   struct storage_folder top;
   int code = open_top(host, name, &top, folder, error);
   if (code != KVS_OK)
      return code;
   code = make_in(&top, host, name, folder, error);
   if (code != KVS_OK)
      storage_folder_close(folder);
   storage_folder_close(&top);
   return code;
}

/* ---- Whether a restart finds it ------------------------------------------------------------ */

/* Whether `path`, seen from the directory `from`, leads to `fd`, or with -1 to anything. */
static int check_same(const struct storage_folder *folder, const char *name, int from,
                      const char *path, int fd, kvs_error *error)
{
   struct stat info, held;
   if (fstatat(from, path, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
       (fd < 0 ||
        (fstat(fd, &held) == 0 && info.st_dev == held.st_dev && info.st_ino == held.st_ino)))
      return KVS_OK;
   return storage_fail(error, KVS_IO,
                       "%.300s%s%s: was removed, moved or replaced under the server; keep other "
                       "programs out of the data directory",
                       folder->path, name[0] != '\0' ? "/" : "", name);
}

int storage_folder_check(const struct storage_folder *folder, kvs_error *error)
{
   return check_same(folder, "", AT_FDCWD, folder->path, folder->fd, error);
}

int storage_folder_check_file(const struct storage_folder *folder, const char *name, int fd,
                              kvs_error *error)
{
   return check_same(folder, name, folder->fd, name, fd, error);
}

/* ---- What is in it ------------------------------------------------------------------------- */

static int visit_all(const struct storage_folder *folder, DIR *listing, storage_visit *visit,
                     void *context, kvs_error *error)
{
   int code = KVS_OK;
   const struct dirent *entry;
   while (code == KVS_OK && (errno = 0, entry = readdir(listing)))
      if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
         code = visit(context, entry->d_name, error);
   return code == KVS_OK && errno != 0 ? fail(folder, "", "read the directory", error) : code;
}

int storage_folder_each(const struct storage_folder *folder, storage_visit *visit, void *context,
                        kvs_error *error)
{
   if (folder->fd < 0)
      return KVS_OK;
   int fd = open_at(folder->fd, ".", O_RDONLY | O_DIRECTORY);
   DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;
   if (!listing) {
      int code = fail(folder, "", "read the directory", error);
      if (fd >= 0)
         close(fd);
      return code;
   }
   int code = visit_all(folder, listing, visit, context, error);
   closedir(listing);
   return code;
}

bool storage_folder_has(const struct storage_folder *folder, const char *name)
{
   struct stat info;
   return fstatat(folder->fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

uint64_t storage_folder_size_of(const struct storage_folder *folder, const char *name)
{
   struct stat info;
   bool known = fstatat(folder->fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
   return known ? (uint64_t)info.st_size : 0;
}

int storage_open(const struct storage_folder *folder, const char *name, int flags, int *fd,
                 uint64_t *size, kvs_error *error)
{
   struct stat info;
   int opened = open_at(folder->fd, name, flags | O_NONBLOCK | O_NOCTTY);
   if (opened < 0)
      return errno == ENXIO ? fail_kind(folder, name, error) : fail(folder, name, "open", error);
   int code = KVS_OK;
   if (fstat(opened, &info) != 0)
      code = fail(folder, name, "examine", error);
   else if (!S_ISREG(info.st_mode))
      code = fail_kind(folder, name, error);
   if (code != KVS_OK) {
      close(opened);
      return code;
   }
   if (size)
      *size = (uint64_t)info.st_size;
   *fd = opened;
   return KVS_OK;
}

int storage_create(const struct storage_folder *folder, const char *name, int *fd, kvs_error *error)
{
   const int flags = O_RDWR | O_CREAT | O_EXCL;
   int opened = open_at(folder->fd, name, flags);
   if (opened < 0 && errno == EEXIST && unlinkat(folder->fd, name, 0) == 0)
      opened = open_at(folder->fd, name, flags);
   if (opened < 0)
      return fail(folder, name, "create", error);
   if (fchmod(opened, 0600) != 0) {
      int code = fail(folder, name, "set the file's mode", error);
      close(opened);
      return code;
   }
   *fd = opened;
   return KVS_OK;
}

int storage_create_with(const struct storage_folder *folder, const char *name, void *data,
                        size_t size, int *fd, kvs_error *error)
{
   kvs_error ignored = {.size = sizeof ignored};
   char path[PATH_MAX];
   struct iovec part = {data, size};
   int code = storage_create(folder, name, fd, error);
   if (code != KVS_OK)
      return code;
   storage_folder_path(folder, name, path);
   code = storage_write_all(*fd, path, &part, 1, 0, error);
   if (code == KVS_OK)
      code = storage_sync(*fd, path, error);
   if (code != KVS_OK) {
      close(*fd);
      (void)storage_remove(folder, name, &ignored);
   }
   return code;
}

int storage_remove(const struct storage_folder *folder, const char *name, kvs_error *error)
{
   if (unlinkat(folder->fd, name, 0) != 0 && errno != ENOENT)
      return fail(folder, name, "remove", error);
   return KVS_OK;
}

int storage_sync_directory(const struct storage_folder *folder, kvs_error *error)
{
   if (fsync(folder->fd) != 0)
      return fail(folder, "", "flush the directory", error);
   return KVS_OK;
}

int storage_rename_durably(const struct storage_folder *folder, const char *from, const char *to,
                           kvs_error *error)
{
   if (renameat(folder->fd, from, folder->fd, to) != 0)
      return fail(folder, from, "rename", error);
   return storage_sync_directory(folder, error);
}
