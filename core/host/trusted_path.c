#include "core/host/trusted_path.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel's */

/* A directory on the way, and what of the way is left. */
struct walk {
   int fd;              /* -1: not begun */
   char path[PATH_MAX]; /* of fd, without links */
   char left[PATH_MAX]; /* may begin with a '/' */
   unsigned links;
   struct kv_status *status;
};

static enum kv_code fail_long(struct kv_status *status)
{
   return kv_fail(status, KV_FAILED_PRECONDITION, "a path to the plug-ins is longer than %d bytes",
                  PATH_MAX - 1);
}

/* ---- Owners and modes ---- */

static bool is_trusted_owner(const struct stat *info)
{
   return info->st_uid == 0 || info->st_uid == geteuid();
}

static enum kv_code fail_owner(const char *path, const struct stat *info, struct kv_status *status)
{
   return kv_fail(status, KV_PERMISSION_DENIED,
                  "%s belongs to user id %u; plug-ins are loaded only where root or the server's "
                  "user (id %u) owns the file and every directory above it: use chown",
                  path, (unsigned)info->st_uid, (unsigned)geteuid());
}

/* Whether the file's group has its owner's name and nobody else in it. */
static bool is_private_group(const struct stat *info)
{
   char user_texts[1024], group_texts[4096];
   struct passwd user_entry, *user;
   struct group group_entry, *group;
   if (getpwuid_r(info->st_uid, &user_entry, user_texts, sizeof user_texts, &user) != 0 || !user ||
       getgrgid_r(info->st_gid, &group_entry, group_texts, sizeof group_texts, &group) != 0 ||
       !group)
      return false;
   if (user->pw_gid != info->st_gid || strcmp(user->pw_name, group->gr_name) != 0)
      return false;
   for (char **member = group->gr_mem; *member; member++)
      if (strcmp(*member, user->pw_name) != 0)
         return false;
   return true;
}

/* Whether others than the owner can replace what is in a directory on the way. */
static bool is_open_to_others(const struct stat *info)
{
   if (info->st_mode & S_ISVTX)
      return false;
   return info->st_mode & S_IWOTH || (info->st_mode & S_IWGRP && !is_private_group(info));
}

static enum kv_code fail_writable(const char *path, const struct stat *info,
                                  struct kv_status *status)
{
   return kv_fail(status, KV_PERMISSION_DENIED,
                  "%s may be written by others than its owner (mode %04o); plug-ins are not "
                  "loaded from there: use chmod go-w",
                  path, (unsigned)(info->st_mode & 07777));
}

/* The plug-in's file and its directory. */
static enum kv_code check_strictly(const char *path, const struct stat *info,
                                   struct kv_status *status)
{
   if (!is_trusted_owner(info))
      return fail_owner(path, info, status);
   return info->st_mode & (S_IWGRP | S_IWOTH) ? fail_writable(path, info, status) : KV_OK;
}

static enum kv_code check_on_the_way(const char *path, const struct stat *info,
                                     struct kv_status *status)
{
   if (!is_trusted_owner(info))
      return fail_owner(path, info, status);
   return is_open_to_others(info) ? fail_writable(path, info, status) : KV_OK;
}

/* ---- The way ---- */

/* Appends to a path; returns false when it gets too long. */
static bool append(char path[PATH_MAX], const char *component)
{
   size_t used = strlen(path);
   int size = snprintf(path + used, PATH_MAX - used, "%s%s", used > 1 ? "/" : "", component);
   return size >= 0 && (size_t)size < PATH_MAX - used;
}

/* Makes `fd` the place where the walk is. It takes over `fd`. */
static enum kv_code stand_on(struct walk *walk, int fd)
{
   struct stat info;
   if (walk->fd >= 0)
      close(walk->fd);
   walk->fd = fd;
   if (fstat(fd, &info) != 0)
      return kv_fail_errno(walk->status, errno, "cannot examine %s", walk->path);
   if (!S_ISDIR(info.st_mode))
      return kv_fail_errno(walk->status, ENOTDIR, "cannot use %s as a plug-in directory",
                           walk->path);
   return check_on_the_way(walk->path, &info, walk->status);
}

static enum kv_code go_to_root(struct walk *walk)
{
   strcpy(walk->path, "/");
   int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
   return fd < 0 ? kv_fail_errno(walk->status, errno, "cannot examine /") : stand_on(walk, fd);
}

static enum kv_code go_up(struct walk *walk)
{
   int fd = openat(walk->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
   if (fd < 0)
      return kv_fail_errno(walk->status, errno, "cannot examine the directory above %s",
                           walk->path);
   char *slash = strrchr(walk->path, '/');
   slash[slash == walk->path ? 1 : 0] = '\0';
   return stand_on(walk, fd);
}

/* Puts where the link leads before what is left of the way. */
static enum kv_code follow(struct walk *walk, int link, const char *name)
{
   char target[PATH_MAX], left[PATH_MAX];
   struct stat info;
   ssize_t size = readlinkat(link, "", target, sizeof target - 1);
   if (size < 0 || fstat(link, &info) != 0)
      return kv_fail_errno(walk->status, errno, "cannot read the link %s in %s", name, walk->path);
   target[size] = '\0';
   if (!is_trusted_owner(&info))
      return append(walk->path, name) ? fail_owner(walk->path, &info, walk->status)
                                      : fail_long(walk->status);
   if (++walk->links > LINKS_MAX)
      return kv_fail_errno(walk->status, ELOOP, "cannot follow the link %s in %s", name,
                           walk->path);
   int needed = snprintf(left, sizeof left, "%s/%s", target, walk->left);
   if (needed < 0 || (size_t)needed >= sizeof left)
      return fail_long(walk->status);
   strcpy(walk->left, left);
   return target[0] == '/' ? go_to_root(walk) : KV_OK;
}

/* Takes one step, to `name` in the directory where the walk is. */
static enum kv_code step(struct walk *walk, const char *name)
{
   if (strcmp(name, "..") == 0)
      return go_up(walk);
   int fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
   struct stat info;
   if (fd < 0 || fstat(fd, &info) != 0) {
      int reason = errno;
      if (fd >= 0)
         close(fd);
      return reason == ENOENT
                 ? KV_NOT_FOUND
                 : kv_fail_errno(walk->status, reason, "cannot examine %s in %s", name, walk->path);
   }
   if (S_ISLNK(info.st_mode)) {
      enum kv_code code = follow(walk, fd, name);
      close(fd);
      return code;
   }
   if (!append(walk->path, name)) {
      close(fd);
      return fail_long(walk->status);
   }
   return stand_on(walk, fd);
}

/* Walks all that is left. */
static enum kv_code go_on(struct walk *walk)
{
   enum kv_code code = walk->left[0] == '/' ? go_to_root(walk) : KV_OK;
   while (code == KV_OK) {
      char name[PATH_MAX];
      size_t skipped = strspn(walk->left, "/");
      size_t size = strcspn(walk->left + skipped, "/");
      if (size == 0)
         break;
      memcpy(name, walk->left + skipped, size);
      name[size] = '\0';
      memmove(walk->left, walk->left + skipped + size, strlen(walk->left + skipped + size) + 1);
      if (strcmp(name, ".") != 0)
         code = step(walk, name);
   }
   return code;
}

/* Walks to a directory that nobody else may write to itself, sticky or not. */
static enum kv_code walk_to(struct walk *walk, const char *path)
{
   struct stat info;
   if (strlen(path) >= sizeof walk->left)
      return fail_long(walk->status);
   strcpy(walk->left, path);
   enum kv_code code = go_on(walk);
   if (code == KV_OK && fstat(walk->fd, &info) != 0)
      code = kv_fail_errno(walk->status, errno, "cannot examine %s", walk->path);
   return code == KV_OK ? check_strictly(walk->path, &info, walk->status) : code;
}

/* ---- The file ---- */

static enum kv_code fail_outside(const struct walk *walk, const char *target)
{
   return kv_fail(walk->status, KV_PERMISSION_DENIED,
                  "the plug-in file is a link that leaves its directory, to %s; put the file "
                  "itself into %s",
                  target, walk->path);
}

/* Whether what stands before the last slash of a link is the directory itself. */
static bool leads_here(const struct walk *walk, const char *target, const char *slash)
{
   char directory[PATH_MAX];
   struct stat there, here;
   size_t size = slash > target ? (size_t)(slash - target) : 1;
   memcpy(directory, target, size);
   directory[size] = '\0';
   return fstatat(walk->fd, directory, &there, 0) == 0 && fstat(walk->fd, &here) == 0 &&
          there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

/* Replaces `name`, while it is a link, by the name in the same directory that it leads to. */
static enum kv_code resolve(const struct walk *walk, char name[PATH_MAX])
{
   for (unsigned links = 0; links < LINKS_MAX; links++) {
      char target[PATH_MAX];
      ssize_t size = readlinkat(walk->fd, name, target, sizeof target - 1);
      if (size < 0) {
         if (errno == EINVAL)
            return KV_OK; /* no link */
         return errno == ENOENT
                    ? KV_NOT_FOUND
                    : kv_fail_errno(walk->status, errno, "cannot examine the plug-in file %s in %s",
                                    name, walk->path);
      }
      target[size] = '\0';
      char *slash = strrchr(target, '/');
      if (slash && !leads_here(walk, target, slash))
         return fail_outside(walk, target);
      strcpy(name, slash ? slash + 1 : target);
   }
   return kv_fail_errno(walk->status, ELOOP, "cannot follow the link %s in %s", name, walk->path);
}

static enum kv_code open_in(const struct walk *walk, const char *given,
                            struct kv_trusted_file *file)
{
   char name[PATH_MAX];
   if (strlen(given) >= sizeof name)
      return fail_long(walk->status);
   strcpy(name, given);
   enum kv_code code = resolve(walk, name);
   if (code != KV_OK)
      return code;
   strcpy(file->path, walk->path);
   if (!append(file->path, name))
      return fail_long(walk->status);
   struct stat info;
   /* Without waiting, in case it is a pipe. */
   file->fd = openat(walk->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
   if (file->fd < 0)
      return errno == ENOENT ? KV_NOT_FOUND
                             : kv_fail_errno(walk->status, errno, "cannot open the plug-in file %s",
                                             file->path);
   if (fstat(file->fd, &info) != 0)
      code = kv_fail_errno(walk->status, errno, "cannot examine the plug-in file %s", file->path);
   else if (!S_ISREG(info.st_mode))
      code = kv_fail(walk->status, KV_FAILED_PRECONDITION,
                     "%s cannot be a plug-in: it is not a regular file", file->path);
   else
      code = check_strictly(file->path, &info, walk->status);
   if (code != KV_OK)
      close(file->fd);
   return code;
}

enum kv_code kv_trusted_file_open(const char *directory, const char *name,
                                  struct kv_trusted_file *file, struct kv_status *status)
{
   struct walk walk = {.fd = -1, .status = status};
   enum kv_code code = walk_to(&walk, directory);
   if (code == KV_OK)
      code = open_in(&walk, name, file);
   if (walk.fd >= 0)
      close(walk.fd);
   return code;
}

void kv_trusted_file_close(struct kv_trusted_file *file)
{
   close(file->fd);
}
