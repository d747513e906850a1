#include "core/rpc/grpc/accept.h"
#include "core/rpc/grpc/monopoly.h"

#include "core/support/clock.h"
#include "core/support/invariant.h"
#include "core/support/log.h"

#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A name may stand for several addresses. */
#define LISTENERS_MAX 64
/* Descriptors kept free for files: log segments, snapshots, plug-ins. */
#define RESERVED_MAX 64
/* How long to leave waiting connections alone when the system could not accept one. */
#define RETRY_MS 100

struct kv_acceptor {
   grpc_server *servers[KV_RPC_WORKERS_MAX];
   unsigned server_count, next_server;
   grpc_server_credentials *credentials;
   struct pollfd polled[LISTENERS_MAX + 1]; /* the first is `wake`; then listening sockets */
   nfds_t count;
   int wake;
   bool running, full;
   struct kv_monopoly *monopoly;
   bool looks; /* there was a connection to look after */
   uint64_t looked_ms;
   pthread_t thread;
};

struct kv_acceptor *kv_acceptor_create(struct kv_monopoly *monopoly, struct kv_status *status)
{
   struct kv_acceptor *acceptor = calloc(1, sizeof *acceptor);
   int wake = acceptor ? eventfd(0, EFD_CLOEXEC) : -1;
   if (wake < 0) {
      kv_fail_errno(status, errno, "cannot prepare to accept connections");
      free(acceptor);
      return NULL;
   }
   acceptor->credentials = grpc_insecure_server_credentials_create();
   acceptor->monopoly = monopoly;
   acceptor->wake = wake;
   acceptor->polled[0] = (struct pollfd){.fd = wake, .events = POLLIN};
   acceptor->count = 1;
   return acceptor;
}

void kv_acceptor_serve(struct kv_acceptor *acceptor, grpc_server *server)
{
   KV_INVARIANT(acceptor->server_count < KV_RPC_WORKERS_MAX);
   acceptor->servers[acceptor->server_count++] = server;
}

enum kv_code kv_acceptor_add(struct kv_acceptor *acceptor, int fd, struct kv_status *status)
{
   if (acceptor->count == LISTENERS_MAX + 1) {
      close(fd);
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "more than %d addresses to listen on",
                     LISTENERS_MAX);
   }
   acceptor->polled[acceptor->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
   return KV_OK;
}

static bool covers(const struct sockaddr *a, const struct sockaddr *b)
{
   if (a->sa_family != b->sa_family)
      return false;
   if (a->sa_family == AF_INET) {
      const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
      return x->sin_port == y->sin_port &&
             (x->sin_addr.s_addr == htonl(INADDR_ANY) || x->sin_addr.s_addr == y->sin_addr.s_addr);
   }
   if (a->sa_family == AF_INET6) {
      const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
      return x->sin6_port == y->sin6_port && (IN6_IS_ADDR_UNSPECIFIED(&x->sin6_addr) ||
                                              (IN6_ARE_ADDR_EQUAL(&x->sin6_addr, &y->sin6_addr) &&
                                               x->sin6_scope_id == y->sin6_scope_id));
   }
   const struct sockaddr_un *x = (const void *)a, *y = (const void *)b;
   return a->sa_family == AF_UNIX && strcmp(x->sun_path, y->sun_path) == 0;
}

/* The address that a listener has; cleared where the system does not tell. */
static void get_address(const struct pollfd *listener, struct sockaddr_storage *address)
{
   socklen_t size = sizeof *address;
   memset(address, 0, sizeof *address);
   if (getsockname(listener->fd, (struct sockaddr *)address, &size) != 0)
      address->ss_family = AF_UNSPEC;
}

bool kv_acceptor_covers(const struct kv_acceptor *acceptor, const struct sockaddr *address)
{
   struct sockaddr_storage own;
   for (nfds_t i = 1; i < acceptor->count; i++) {
      get_address(&acceptor->polled[i], &own);
      if (covers((const struct sockaddr *)&own, address))
         return true;
   }
   return false;
}

bool kv_acceptor_is_covered(const struct kv_acceptor *acceptor, const struct sockaddr *address)
{
   struct sockaddr_storage own;
   for (nfds_t i = 1; i < acceptor->count; i++) {
      get_address(&acceptor->polled[i], &own);
      if (covers(address, (const struct sockaddr *)&own))
         return true;
   }
   return false;
}

/* Descriptors are given lowest first: one from here on means that hardly any is left. */
static int first_reserved(void)
{
   struct rlimit limit;
   if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX)
      return INT32_MAX;
   int all = (int)limit.rlim_cur;
   return all - (all / 4 < RESERVED_MAX ? all / 4 : RESERVED_MAX);
}

static void note_full(struct kv_acceptor *acceptor, bool full)
{
   if (full && !acceptor->full)
      kv_log(KV_LOG_WARNING,
             "connections are refused: the process has nearly all the files open that "
             "it may (ulimit -n)");
   acceptor->full = full;
}

static void take_in(struct kv_acceptor *acceptor, int fd)
{
   bool full = fd >= first_reserved();
   note_full(acceptor, full);
   if (full) {
      close(fd);
      return;
   }
   int on = 1;
   (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a Unix socket */
   grpc_server *server = acceptor->servers[acceptor->next_server];
   acceptor->next_server = (acceptor->next_server + 1) % acceptor->server_count;
   kv_monopoly_note(acceptor->monopoly, fd);
   acceptor->looks = true;
   grpc_server_add_channel_from_fd(server, fd, acceptor->credentials);
}

/* Accepts one connection, so that a stream of them keeps neither the other listeners nor a stop
 * waiting. False when the system can not accept now. */
static bool accept_one(struct kv_acceptor *acceptor, int listener)
{
   int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
   if (fd >= 0)
      take_in(acceptor, fd);
   /* Anything else concerns that one connection. */
   return fd >= 0 || (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM);
}

/* At connections that keep a worker from others. */
static void look(struct kv_acceptor *acceptor)
{
   uint64_t now = kv_clock_monotonic_ms();
   if (!acceptor->looks || now - acceptor->looked_ms < KV_MONOPOLY_LOOK_MS)
      return;
   acceptor->looked_ms = now;
   kv_monopoly_look(acceptor->monopoly);
}

static void *run(void *argument)
{
   struct kv_acceptor *acceptor = argument;
   for (;;) {
      int ready =
          poll(acceptor->polled, acceptor->count, acceptor->looks ? KV_MONOPOLY_LOOK_MS : -1);
      look(acceptor);
      if (ready <= 0)
         continue;
      if (acceptor->polled[0].revents != 0)
         return NULL;
      bool able = true;
      for (nfds_t i = 1; i < acceptor->count; i++)
         if (acceptor->polled[i].revents != 0)
            able &= accept_one(acceptor, acceptor->polled[i].fd);
      if (!able) {
         note_full(acceptor, true);
         poll(acceptor->polled, 1, RETRY_MS);
      }
   }
}

enum kv_code kv_acceptor_start(struct kv_acceptor *acceptor, struct kv_status *status)
{
   int error = pthread_create(&acceptor->thread, NULL, run, acceptor);
   if (error != 0)
      return kv_fail_errno(status, error, "cannot start the thread for connections");
   acceptor->running = true;
   return KV_OK;
}

void kv_acceptor_stop(struct kv_acceptor *acceptor)
{
   if (acceptor->running) {
      eventfd_write(acceptor->wake, 1);
      pthread_join(acceptor->thread, NULL);
      acceptor->running = false;
   }
   while (acceptor->count > 1)
      close(acceptor->polled[--acceptor->count].fd);
}

void kv_acceptor_destroy(struct kv_acceptor *acceptor)
{
   kv_acceptor_stop(acceptor);
   close(acceptor->wake);
   grpc_server_credentials_release(acceptor->credentials);
   free(acceptor);
}
