/* Addresses to listen on: resolves names, opens the sockets, says why one can not be had. */
#include "core/rpc/grpc/accept.h"
#include "core/rpc/grpc/internal.h"
#include "core/rpc/grpc/port_owner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_PREFIX "unix:"
#define NUMERIC_SIZE 80 /* "[address%scope]:port" */
#define NAME_SIZE 256   /* of a host: DNS allows 253 */

/* Listens there; *reason is errno's value when the system is against it. */
static bool open_socket(const struct sockaddr *address, socklen_t size, int *fd, int *reason)
{
   const int on = 1;
   *fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
   /* Each family has sockets of its own, so that neither takes a port from the other. */
   if (*fd >= 0 && setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
       (address->sa_family != AF_INET6 ||
        setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
       bind(*fd, address, size) == 0 && listen(*fd, SOMAXCONN) == 0)
      return true;
   *reason = errno;
   if (*fd >= 0)
      close(*fd);
   return false;
}

/* ---- host:port ---- */

/* Takes "host:port" or "[v6]:port" apart. */
static bool split(const char *address, char host[NAME_SIZE], unsigned *port)
{
   const char *colon = strrchr(address, ':');
   if (!colon)
      return false;
   const char *start = address, *end = colon;
   if (*start == '[') {
      start++;
      if (end - start < 1 || *--end != ']')
         return false;
   } else if (memchr(start, ':', (size_t)(end - start))) {
      return false;
   }
   size_t size = (size_t)(end - start), digits = strspn(colon + 1, "0123456789");
   if (size == 0 || size >= NAME_SIZE || digits == 0 || digits > 5 || colon[1 + digits] != '\0')
      return false;
   memcpy(host, start, size);
   host[size] = '\0';
   *port = (unsigned)strtoul(colon + 1, NULL, 10);
   return *port <= UINT16_MAX;
}

static void set_port(struct sockaddr *address, unsigned port)
{
   in_port_t value = htons((uint16_t)port);
   if (address->sa_family == AF_INET)
      ((struct sockaddr_in *)(void *)address)->sin_port = value;
   else
      ((struct sockaddr_in6 *)(void *)address)->sin6_port = value;
}

static unsigned get_port(const struct sockaddr *address)
{
   if (address->sa_family == AF_INET)
      return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
   return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
}

static void print_numeric(const struct addrinfo *info, char numeric[NUMERIC_SIZE], unsigned port)
{
   char host[NUMERIC_SIZE - 10];
   if (getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST) !=
       0)
      snprintf(host, sizeof host, "?");
   const char *format = info->ai_family == AF_INET6 ? "[%s]:%u" : "%s:%u";
   snprintf(numeric, NUMERIC_SIZE, format, host, port);
}

static bool is_repeated(const struct addrinfo *all, const struct addrinfo *info)
{
   for (const struct addrinfo *earlier = all; earlier != info; earlier = earlier->ai_next) {
      if (earlier->ai_addrlen == info->ai_addrlen &&
          memcmp(earlier->ai_addr, info->ai_addr, info->ai_addrlen) == 0)
         return true;
   }
   return false;
}

/* Listens on one numeric address; *reason is errno's value when the system is against it. */
static enum kv_code listen_numeric(struct kv_rpc *rpc, const struct addrinfo *info, unsigned *port,
                                   int *reason, struct kv_status *status)
{
   char numeric[NUMERIC_SIZE], owner[KV_PORT_OWNER_TEXT_SIZE];
   struct sockaddr_storage storage;
   struct sockaddr *address = (struct sockaddr *)&storage;
   memcpy(address, info->ai_addr, info->ai_addrlen);
   set_port(address, *port);
   print_numeric(info, numeric, *port);
   if (*port != 0 && kv_acceptor_covers(rpc->acceptor, address))
      return KV_OK; /* given twice, or by two names */
   int fd;
   socklen_t size = sizeof storage;
   if (open_socket(address, info->ai_addrlen, &fd, reason)) {
      if (getsockname(fd, address, &size) == 0)
         *port = get_port(address);
      return kv_acceptor_add(rpc->acceptor, fd, status);
   }
   if (*reason == EADDRINUSE && kv_acceptor_is_covered(rpc->acceptor, address))
      return kv_fail_errno(
          status, *reason,
          "cannot listen on %s: it includes an address given before it; leave that "
          "one out",
          numeric);
   if (*reason == EADDRINUSE) {
      kv_port_owner_of_address(address, owner);
      return kv_fail_errno(status, *reason,
                           "cannot listen on %s: it is %s; stop that one or choose another address",
                           numeric, owner);
   }
   return kv_fail_errno(status, *reason, "cannot listen on %s", numeric);
}

/* A name may stand for addresses of a family that this machine does not have: those are passed
 * over as long as another one works. */
static bool is_family_missing(int reason)
{
   return reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL;
}

/* Listens on all addresses that `host` stands for, and counts them; status->code says what the last
 * one met. */
static enum kv_code listen_host(struct kv_rpc *rpc, const char *address, const char *host,
                                unsigned *port, unsigned *listening, struct kv_status *status)
{
   const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
   struct addrinfo *all = NULL;
   int error = getaddrinfo(host, NULL, &hints, &all);
   if (error != 0)
      return kv_fail(status, KV_UNAVAILABLE,
                     "cannot listen on %s: the name \"%s\" means nothing: %s", address, host,
                     gai_strerror(error));
   enum kv_code code = KV_OK;
   for (const struct addrinfo *info = all; info && code == KV_OK; info = info->ai_next) {
      int reason = 0;
      if (is_repeated(all, info))
         continue;
      code = listen_numeric(rpc, info, port, &reason, status);
      if (code == KV_OK)
         (*listening)++;
      else if (is_family_missing(reason))
         code = KV_OK;
   }
   freeaddrinfo(all);
   return code;
}

static bool is_every_ipv6_address(const char *host)
{
   struct in6_addr parsed;
   return inet_pton(AF_INET6, host, &parsed) == 1 && IN6_IS_ADDR_UNSPECIFIED(&parsed);
}

static enum kv_code listen_tcp(struct kv_rpc *rpc, const char *address, int *port,
                               struct kv_status *status)
{
   char host[NAME_SIZE];
   unsigned number, listening = 0;
   if (!split(address, host, &number))
      return kv_fail(
          status, KV_INVALID_ARGUMENT,
          "\"%s\" is not an address to listen on; write host:port, [v6]:port with a port of "
          "at most 65535, or unix:PATH",
          address);
   enum kv_code code = listen_host(rpc, address, host, &number, &listening, status);
   /* "[::]" stands for every address there is, as it does elsewhere. */
   if (code == KV_OK && is_every_ipv6_address(host))
      code = listen_host(rpc, address, "0.0.0.0", &number, &listening, status);
   if (code == KV_OK && listening == 0)
      return status->code; /* of the last address; each had a family that is missing here */
   if (code == KV_OK && port)
      *port = (int)number;
   return code;
}

/* ---- unix:PATH ---- */

/* Makes sure that nothing is in the way: a live server's socket is refused, as is a file of
 * another kind; a socket that nobody serves any more is removed. */
static enum kv_code clear_path(const struct sockaddr_un *address, struct kv_status *status)
{
   const char *path = address->sun_path;
   struct stat file;
   if (lstat(path, &file) < 0) {
      if (errno == ENOENT)
         return KV_OK;
      return kv_fail_errno(status, errno, "cannot listen on unix:%s", path);
   }
   if (!S_ISSOCK(file.st_mode))
      return kv_fail(status, KV_ALREADY_EXISTS,
                     "cannot listen on unix:%s: a file that is not a socket is there; remove it or "
                     "choose another path",
                     path);
   int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
   if (fd < 0)
      return kv_fail_errno(status, errno, "cannot listen on unix:%s", path);
   enum kv_code code = KV_OK;
   if (connect(fd, (const struct sockaddr *)(const void *)address, sizeof *address) == 0) {
      char owner[KV_PORT_OWNER_TEXT_SIZE];
      kv_port_owner_of_peer(fd, owner);
      code = kv_fail_errno(
          status, EADDRINUSE,
          "cannot listen on unix:%s: it is %s; stop that one or choose another path", path, owner);
   } else if (errno == EAGAIN) {
      code = kv_fail_errno(
          status, EADDRINUSE,
          "cannot listen on unix:%s: it is held by a server that is too busy to answer", path);
   } else if (errno != ECONNREFUSED || (unlink(path) < 0 && errno != ENOENT)) {
      code = kv_fail_errno(status, errno, "cannot listen on unix:%s", path);
   }
   close(fd);
   return code;
}

/* Keeps others out, and remembers the file to remove it in the end. */
static enum kv_code take_over(struct kv_rpc *rpc, const char *path, struct kv_status *status)
{
   struct stat file;
   if (chmod(path, 0600) < 0 || lstat(path, &file) < 0)
      return kv_fail_errno(status, errno, "cannot make unix:%s private", path);
   struct kv_rpc_socket_file *socket_file = malloc(sizeof *socket_file + strlen(path) + 1);
   if (!socket_file)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory to listen on unix:%s", path);
   *socket_file = (struct kv_rpc_socket_file){
       .next = rpc->socket_files, .device = file.st_dev, .inode = file.st_ino};
   memcpy(socket_file->path, path, strlen(path) + 1);
   rpc->socket_files = socket_file;
   return KV_OK;
}

static enum kv_code listen_unix(struct kv_rpc *rpc, const char *path, struct kv_status *status)
{
   struct sockaddr_un address = {.sun_family = AF_UNIX};
   if (*path == '\0' || strlen(path) >= sizeof address.sun_path)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "cannot listen on unix:%s: the path has %zu bytes; write 1 to %zu", path,
                     strlen(path), sizeof address.sun_path - 1);
   memcpy(address.sun_path, path, strlen(path) + 1);
   if (kv_acceptor_covers(rpc->acceptor, (const struct sockaddr *)(const void *)&address))
      return KV_OK;
   if (clear_path(&address, status) != KV_OK)
      return status->code;
   int fd, reason;
   if (!open_socket((const struct sockaddr *)(const void *)&address, sizeof address, &fd, &reason))
      return kv_fail_errno(status, reason, "cannot listen on " UNIX_PREFIX "%s", path);
   if (kv_acceptor_add(rpc->acceptor, fd, status) != KV_OK)
      return status->code;
   return take_over(rpc, path, status);
}

enum kv_code kv_rpc_listen(struct kv_rpc *rpc, const char *address, int *port,
                           struct kv_status *status)
{
   if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) != 0)
      return listen_tcp(rpc, address, port, status);
   if (port)
      *port = 0;
   return listen_unix(rpc, address + strlen(UNIX_PREFIX), status);
}

void kv_rpc_remove_socket_files(struct kv_rpc *rpc)
{
   while (rpc->socket_files) {
      struct kv_rpc_socket_file *file = rpc->socket_files;
      struct stat now;
      if (lstat(file->path, &now) == 0 && now.st_dev == file->device && now.st_ino == file->inode)
         unlink(file->path);
      rpc->socket_files = file->next;
      free(file);
   }
}
