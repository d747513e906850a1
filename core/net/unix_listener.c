/* Listening on a Unix socket: its file, who may be in the way, and who may connect. */
#include "core/net/listeners.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A server answers at the path. */
static enum kv_code refuse_taken(int fd, const char *path, struct kv_status *status)
{
   char process[32] = "another process"; /* the system has no number for one in another container */
   struct ucred peer;
   socklen_t size = sizeof peer;
   if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid != 0)
      snprintf(process, sizeof process, "process %ld", (long)peer.pid);
   return kv_fail_errno(status, EADDRINUSE,
                        "cannot listen on unix:%s: %s does; stop it or choose another path", path,
                        process);
}

/* Makes sure that nothing is in the way: a live server's socket is refused, as is a file of
 * another kind; a socket that nobody serves any more is removed. */
static enum kv_code clear_path(const struct kv_listener *listener, const char *path,
                               struct kv_status *status)
{
   struct stat file;
   if (lstat(path, &file) < 0)
      return errno == ENOENT ? KV_OK
                             : kv_fail_errno(status, errno, "cannot listen on unix:%s", path);
   if (!S_ISSOCK(file.st_mode))
      return kv_fail(status, KV_ALREADY_EXISTS,
                     "cannot listen on unix:%s: a file that is not a socket is there; remove it or "
                     "choose another path",
                     path);
   int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
   if (fd < 0)
      return kv_fail_errno(status, errno, "cannot listen on unix:%s", path);
   enum kv_code code = KV_OK;
   if (connect(fd, &listener->address.any, sizeof listener->address.local) == 0)
      code = refuse_taken(fd, path, status);
   else if (errno == EAGAIN)
      code =
          kv_fail_errno(status, EADDRINUSE,
                        "cannot listen on unix:%s: a server that is too busy to answer does", path);
   else if (errno != ECONNREFUSED || (unlink(path) < 0 && errno != ENOENT))
      code = kv_fail_errno(status, errno, "cannot listen on unix:%s", path);
   close(fd);
   return code;
}

/* Makes the file of `listener`, and listens. The file gets the mode of the socket, less what the
 * umask takes; chmod gives that back before listen() lets the first one connect. */
static bool serve_file(struct kv_listener *listener, mode_t mode)
{
   const struct sockaddr_un *address = &listener->address.local;
   struct stat file;
   if (fchmod(listener->fd, mode) < 0 ||
       bind(listener->fd, &listener->address.any, sizeof *address) < 0)
      return false;
   if (chmod(address->sun_path, mode) == 0 && lstat(address->sun_path, &file) == 0 &&
       listen(listener->fd, SOMAXCONN) == 0) {
      listener->device = file.st_dev;
      listener->inode = file.st_ino;
      return true;
   }
   int reason = errno;
   (void)unlink(address->sun_path);
   errno = reason;
   return false;
}

enum kv_code kv_listener_open_unix(struct kv_listener *listener, const char *path, mode_t mode,
                                   struct kv_status *status)
{
   listener->address.local = (struct sockaddr_un){.sun_family = AF_UNIX};
   memcpy(listener->address.local.sun_path, path, strlen(path) + 1);
   if (clear_path(listener, path, status) != KV_OK)
      return status->code;
   listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
   if (listener->fd >= 0 && serve_file(listener, mode))
      return KV_OK;
   kv_fail_errno(status, errno, "cannot listen on unix:%s", path);
   if (listener->fd >= 0)
      close(listener->fd);
   return status->code;
}

void kv_listener_remove_file(const struct kv_listener *listener)
{
   const char *path = listener->address.local.sun_path;
   struct stat now;
   if (lstat(path, &now) == 0 && now.st_dev == listener->device && now.st_ino == listener->inode)
      (void)unlink(path); /* the next server takes over what is left */
}
