#include "core/net/listeners.h"

#include "core/support/size.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* Followed by the number of a socket that the service manager handed over. */
#define INHERITED "systemd:"

/* A socket that listens on the address, does not block, and closes on exec; -1 with errno. */
static int open_listener(const struct sockaddr *address, socklen_t size)
{
   const int on = 1;
   int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
   if (fd < 0)
      return -1;
   /* Each family has sockets of its own, so that neither takes a port from the other. */
   if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
       (address->sa_family != AF_INET6 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
       bind(fd, address, size) == 0 && listen(fd, SOMAXCONN) == 0)
      return fd;
   int reason = errno;
   close(fd);
   errno = reason;
   return -1;
}

/* The next free place; NULL with `status`. */
static struct kv_listener *place(struct kv_listeners *listeners, struct kv_status *status)
{
   if (listeners->count < KV_LISTENERS_MAX)
      return &listeners->items[listeners->count];
   kv_fail(status, KV_RESOURCE_EXHAUSTED, "more than %d addresses to listen on", KV_LISTENERS_MAX);
   return NULL;
}

/* Whether a connection to `address` would come in by a socket that is there; or, the other way
 * round, whether `address` includes that of such a socket. */
static bool is_taken(const struct kv_listeners *listeners, const struct sockaddr *address,
                     bool reverse)
{
   for (unsigned i = 0; i < listeners->count; i++) {
      const struct sockaddr *own = &listeners->items[i].address.any;
      if (reverse ? kv_address_covers(address, own) : kv_address_covers(own, address))
         return true;
   }
   return false;
}

/* ---- host:port ---- */

static enum kv_code refuse(const struct kv_listeners *listeners, const struct sockaddr *address,
                           socklen_t size, int reason, struct kv_status *status)
{
   char text[KV_ADDRESS_TEXT_SIZE];
   kv_address_print(address, size, text);
   if (reason != EADDRINUSE)
      return kv_fail_errno(status, reason, "cannot listen on %s", text);
   if (is_taken(listeners, address, true))
      return kv_fail_errno(
          status, reason,
          "cannot listen on %s: it includes an address given before it; leave that one out", text);
   return kv_fail_errno(status, reason,
                        "cannot listen on %s: another process does (\"ss -ltnp\" shows which); "
                        "stop it or choose another address",
                        text);
}

/* Listens on one address of the system; *reason is errno's value when the system is against it. */
static enum kv_code add_numeric(struct kv_listeners *listeners, const struct addrinfo *info,
                                unsigned *port, int *reason, struct kv_status *status)
{
   struct kv_listener *listener = place(listeners, status);
   if (!listener)
      return status->code;
   struct sockaddr *address = &listener->address.any;
   socklen_t size = info->ai_addrlen;
   memcpy(address, info->ai_addr, size);
   kv_address_set_port(address, *port);
   if (*port != 0 && is_taken(listeners, address, false))
      return KV_OK; /* given twice, or by two names */
   if (kv_admission_check(&listeners->admission, address, status) != KV_OK)
      return status->code;
   listener->fd = open_listener(address, size);
   if (listener->fd < 0 || getsockname(listener->fd, address, &size) < 0) {
      *reason = errno;
      if (listener->fd >= 0)
         close(listener->fd);
      return refuse(listeners, address, size, *reason, status);
   }
   *port = kv_address_port(address);
   listeners->count++;
   return KV_OK;
}

/* Listens on all addresses that `host` stands for; *any: one of them worked. status->code says what
 * the last one met. */
static enum kv_code add_host(struct kv_listeners *listeners, const char *text, const char *host,
                             unsigned *port, bool *any, struct kv_status *status)
{
   const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
   struct addrinfo *all = NULL;
   int error = getaddrinfo(host, NULL, &hints, &all);
   if (error != 0)
      return kv_fail(status, KV_UNAVAILABLE,
                     "cannot listen on %s: cannot resolve the name \"%s\": %s", text, host,
                     gai_strerror(error));
   enum kv_code code = KV_OK;
   for (const struct addrinfo *info = all; info && code == KV_OK; info = info->ai_next) {
      int reason = 0;
      code = add_numeric(listeners, info, port, &reason, status);
      *any |= code == KV_OK;
      /* Of a family that this machine does not have: passed over as long as another one works. */
      if (reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL)
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

static enum kv_code add_tcp(struct kv_listeners *listeners, const char *text,
                            struct kv_address *address, struct kv_status *status)
{
   bool any = false;
   enum kv_code code = add_host(listeners, text, address->host, &address->port, &any, status);
   /* "[::]" stands for every address there is, as it does elsewhere. */
   if (code == KV_OK && is_every_ipv6_address(address->host))
      code = add_host(listeners, text, "0.0.0.0", &address->port, &any, status);
   if (code == KV_OK && !any)
      return status->code; /* of the last address; each had a family that is missing here */
   return code;
}

/* ---- unix:PATH ---- */

static enum kv_code add_unix(struct kv_listeners *listeners, const char *path,
                             struct kv_status *status)
{
   for (unsigned i = 0; i < listeners->count; i++) {
      const struct sockaddr_un *own = &listeners->items[i].address.local;
      if (own->sun_family == AF_UNIX && strcmp(own->sun_path, path) == 0)
         return KV_OK;
   }
   struct kv_listener *listener = place(listeners, status);
   if (!listener ||
       kv_listener_open_unix(listener, path, listeners->admission.socket_mode, status) != KV_OK)
      return status->code;
   listeners->count++;
   return KV_OK;
}

/* ---- systemd:N ---- */

/* The service manager made the socket, and removes its file. */
static enum kv_code add_inherited(struct kv_listeners *listeners, const char *text,
                                  struct kv_status *status)
{
   uint64_t number;
   if (!kv_number_parse(text + strlen(INHERITED), &number) || number >= KV_LISTENERS_MAX)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "cannot listen on %s: what follows \"" INHERITED "\" is not a number below %d",
                     text, KV_LISTENERS_MAX);
   int fd = SD_LISTEN_FDS_START + (int)number;
   struct kv_listener *listener = place(listeners, status);
   if (!listener)
      return status->code;
   if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "cannot listen on %s: it is no stream socket that listens; give the socket "
                     "unit ListenStream= and Accept=no",
                     text);
   *listener = (struct kv_listener){.fd = fd};
   socklen_t size = sizeof listener->address;
   int flags = fcntl(fd, F_GETFL);
   if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
       getsockname(fd, &listener->address.any, &size) < 0)
      return kv_fail_errno(status, errno, "cannot listen on %s", text);
   if (kv_admission_check(&listeners->admission, &listener->address.any, status) != KV_OK)
      return status->code;
   listeners->count++;
   return KV_OK;
}

/* ---- All of them ---- */

enum kv_code kv_listeners_add(struct kv_listeners *listeners, const char *text, int *port,
                              struct kv_status *status)
{
   struct kv_address address;
   if (strncmp(text, INHERITED, strlen(INHERITED)) == 0) {
      if (port)
         *port = 0;
      return add_inherited(listeners, text, status);
   }
   enum kv_code code = kv_address_parse(text, &address, status);
   if (code == KV_OK && address.path)
      code = add_unix(listeners, address.path, status);
   else if (code == KV_OK)
      code = add_tcp(listeners, text, &address, status);
   if (code == KV_OK && port)
      *port = (int)address.port;
   return code;
}

void kv_listeners_close(struct kv_listeners *listeners)
{
   while (listeners->count > 0) {
      const struct kv_listener *listener = &listeners->items[--listeners->count];
      if (listener->address.any.sa_family == AF_UNIX)
         kv_listener_remove_file(listener);
      close(listener->fd);
   }
}
