/*
 * Who may change the data directory: anybody else who could write here could pass any data off as
 * the server's own, or have it write through a link to places that only the server may change.
 *
 * It belongs to the server's user, or to root. Others than the owner may write only as members of a
 * group that a server which is not root is in, as on a volume that belongs to root and is made for
 * such a group.
 */
#include "core/datadir/data_directory_internal.h"

#include "core/support/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static bool in_group(gid_t group)
{
   if (group == getegid())
      return true;
   int count = getgroups(0, NULL);
   gid_t *groups = count > 0 ? calloc((size_t)count, sizeof *groups) : NULL;
   bool found = false;
   if (groups) {
      count = getgroups(count, groups);
      for (int i = 0; i < count && !found; i++)
         found = groups[i] == group;
   }
   free(groups);
   return found;
}

static enum kv_code refuse_owner(const struct kv_data_directory *directory, uid_t owner,
                                 struct kv_status *status)
{
   unsigned user = (unsigned)owner, own = (unsigned)geteuid();
   if (own == 0)
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "the data directory %s belongs to user id %u, who could make a server that "
                     "runs as root read and write anywhere; start it with --user %u, or change the "
                     "owner with chown -R root",
                     directory->path, user, user);
   return kv_fail(status, KV_PERMISSION_DENIED,
                  "the data directory %s belongs to user id %u, and the server runs as user id %u; "
                  "start it as that user, or change the owner with chown -R",
                  directory->path, user, own);
}

static enum kv_code check_group(const struct kv_data_directory *directory, const struct stat *info,
                                struct kv_status *status)
{
   unsigned mode = (unsigned)(info->st_mode & 07777), group = (unsigned)info->st_gid;
   if (!(info->st_mode & S_IWGRP))
      return KV_OK;
   if (geteuid() == 0)
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "the members of group id %u may write into the data directory %s (mode "
                     "%04o), and the server runs as root; use chmod g-w, or start it with --user "
                     "as a user of that group",
                     group, directory->path, mode);
   if (!in_group(info->st_gid))
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "the members of group id %u, which the server is not in, may write into the "
                     "data directory %s (mode %04o); use chmod g-w, or start the server in that "
                     "group",
                     group, directory->path, mode);
   if (info->st_uid == geteuid())
      kv_log(KV_LOG_WARNING,
             "the members of group id %u may write into the data directory %s (mode %04o); unless "
             "that is meant, use chmod g-w",
             group, directory->path, mode);
   return KV_OK;
}

enum kv_code kv_data_directory_check_access(const struct kv_data_directory *directory,
                                            struct kv_status *status)
{
   struct stat info;
   if (fstat(directory->fd, &info) != 0)
      return kv_fail_errno(status, errno, "cannot examine the data directory %s", directory->path);
   if (info.st_uid != geteuid() && info.st_uid != 0)
      return refuse_owner(directory, info.st_uid, status);
   if (info.st_mode & S_IWOTH)
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "anyone may write into the data directory %s (mode %04o); use a directory "
                     "of its own, or chmod 700",
                     directory->path, (unsigned)(info.st_mode & 07777));
   if (check_group(directory, &info, status) != KV_OK)
      return status->code;
   if (info.st_uid == geteuid() ||
       faccessat(directory->fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) == 0)
      return KV_OK;
   return kv_fail(
       status, KV_PERMISSION_DENIED,
       "the data directory %s belongs to root (mode %04o, group id %u), and the server, "
       "which runs as user id %u, may not write into it; change its owner with chown -R %u, "
       "or to a group of the server's with chgrp and chmod 2770",
       directory->path, (unsigned)(info.st_mode & 07777), (unsigned)info.st_gid,
       (unsigned)geteuid(), (unsigned)geteuid());
}
