#include "core/rpc/grpc/monopoly.h"

#include "core/rpc/grpc/connections.h"
#include "core/rpc/grpc/server.h"
#include "core/support/log.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

/* A worker is busy when it has run for this part of the time between two looks. */
#define BUSY_PART 4

/* By its descriptor's number, which gRPC closes when it likes: the cookie tells whether it is still
 * the same connection. */
struct connection {
   uint64_t cookie; /* 0: none */
   uint64_t bytes;  /* received when the measurement began */
};

struct seen {
   unsigned waits;
   uint64_t run_ns;
};

struct kv_monopoly {
   struct kv_grpc_server *server;
   struct connection *connections;
   size_t count;
   bool measures;
   struct seen seen[KV_RPC_WORKERS_MAX];
};

struct kv_monopoly *kv_monopoly_create(struct kv_grpc_server *server, struct kv_status *status)
{
   struct kv_monopoly *monopoly = calloc(1, sizeof *monopoly);
   if (monopoly)
      monopoly->server = server;
   else
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory to watch connections");
   return monopoly;
}

void kv_monopoly_destroy(struct kv_monopoly *monopoly)
{
   free(monopoly->connections);
   free(monopoly);
}

static uint64_t cookie_of(int fd)
{
   uint64_t cookie = 0;
   socklen_t size = sizeof cookie;
   return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

/* Those that there is no memory for are not looked after. */
void kv_monopoly_note(struct kv_monopoly *monopoly, int fd)
{
   size_t number = (size_t)fd;
   struct connection *table =
       kv_table_extend(monopoly->connections, sizeof *table, &monopoly->count, number);
   if (!table)
      return;
   monopoly->connections = table;
   table[number] = (struct connection){.cookie = cookie_of(fd)};
}

/* A descriptor of our own for it, as gRPC may close its one at any moment; -1 when it is closed.
 * What else has its number by now is not duplicated: with the copy of a file the locks go (fcntl)
 * that a plug-in has on it. */
static int hold(struct kv_monopoly *monopoly, size_t number)
{
   struct connection *connection = &monopoly->connections[number];
   bool present = connection->cookie && cookie_of((int)number) == connection->cookie;
   int own = present ? fcntl((int)number, F_DUPFD_CLOEXEC, 0) : -1;
   if (present && (own < 0 || cookie_of(own) == connection->cookie))
      return own;
   if (own >= 0)
      close(own);
   connection->cookie = 0;
   return -1;
}

/* 0 for a Unix socket, which only the server's own user can use. */
static uint64_t bytes_received(int fd)
{
   struct tcp_info info = {0};
   socklen_t size = sizeof info;
   return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

static void begin_to_measure(struct kv_monopoly *monopoly)
{
   for (size_t i = 0; i < monopoly->count; i++) {
      int own = hold(monopoly, i);
      if (own < 0)
         continue;
      monopoly->connections[i].bytes = bytes_received(own);
      close(own);
   }
   monopoly->measures = true;
}

/* Ends the connection that has sent the most since, if that is too much. */
static void end_worst(struct kv_monopoly *monopoly)
{
   uint64_t most = monopoly->server->rpc->options.memory_max;
   int worst = -1;
   for (size_t i = 0; i < monopoly->count; i++) {
      int own = hold(monopoly, i);
      if (own < 0)
         continue;
      uint64_t sent = bytes_received(own) - monopoly->connections[i].bytes;
      int other = own;
      if (sent > most) {
         most = sent;
         other = worst;
         worst = own;
      }
      if (other >= 0)
         close(other);
   }
   if (worst < 0)
      return;
   kv_log(KV_LOG_WARNING,
          "a connection was ended that kept a worker from the others: it sent %llu bytes without "
          "completing a request",
          (unsigned long long)most);
   shutdown(worst, SHUT_RDWR);
   close(worst);
   monopoly->measures = false;
}

static uint64_t run_ns(const struct kv_grpc_worker *worker)
{
   clockid_t clock;
   struct timespec time;
   if (pthread_getcpuclockid(worker->thread, &clock) != 0 || clock_gettime(clock, &time) != 0)
      return 0;
   return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Whether the worker has been busy since the last look within one wait for an event. */
static bool is_kept(const struct kv_grpc_worker *worker, struct seen *seen)
{
   struct seen now = {atomic_load_explicit(&worker->waits, memory_order_relaxed), run_ns(worker)};
   bool kept = now.waits % 2 == 1 && now.waits == seen->waits &&
               now.run_ns - seen->run_ns >= KV_MONOPOLY_LOOK_MS * UINT64_C(1000000) / BUSY_PART;
   *seen = now;
   return kept;
}

void kv_monopoly_look(struct kv_monopoly *monopoly)
{
   bool any = false;
   for (unsigned i = 0; i < monopoly->server->worker_count; i++)
      any |= is_kept(&monopoly->server->workers[i], &monopoly->seen[i]);
   if (!any)
      monopoly->measures = false;
   else if (!monopoly->measures)
      begin_to_measure(monopoly);
   else
      end_worst(monopoly);
}
