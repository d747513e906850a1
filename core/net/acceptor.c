#include "core/net/acceptor.h"

#include "core/net/listeners.h"
#include "core/support/clock.h"
#include "core/support/log.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors kept free for files: log segments, snapshots, plug-ins. */
#define RESERVED_MAX 64
/* How long to leave waiting connections alone when the system could not accept one. */
#define RETRY_MS 100

struct kv_acceptor {
   struct kv_acceptor_handler handler;
   struct kv_listeners listeners;
   int wake;
   bool running;
   pthread_t thread;
   _Atomic uint64_t accepted, refused;
   /* Its thread's. */
   bool full, ticks;
   uint64_t ticked_ms;
};

struct kv_acceptor *kv_acceptor_create(const struct kv_acceptor_handler *handler,
                                       const struct kv_admission *admission,
                                       struct kv_status *status)
{
   struct kv_acceptor *acceptor = calloc(1, sizeof *acceptor);
   int wake = acceptor ? eventfd(0, EFD_CLOEXEC) : -1;
   if (wake < 0) {
      kv_fail_errno(status, errno, "cannot prepare to accept connections");
      free(acceptor);
      return NULL;
   }
   acceptor->handler = *handler;
   acceptor->listeners.admission = *admission;
   acceptor->wake = wake;
   return acceptor;
}

enum kv_code kv_acceptor_listen(struct kv_acceptor *acceptor, const char *address, int *port,
                                struct kv_status *status)
{
   return kv_listeners_add(&acceptor->listeners, address, port, status);
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
      atomic_fetch_add_explicit(&acceptor->refused, 1, memory_order_relaxed);
      close(fd);
      return;
   }
   atomic_fetch_add_explicit(&acceptor->accepted, 1, memory_order_relaxed);
   const int on = 1;
   (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a Unix socket */
   acceptor->ticks = acceptor->handler.tick;
   acceptor->handler.connected(acceptor->handler.context, fd);
}

/* Accepts one connection, so that a stream of them keeps neither the other listeners nor a stop
 * waiting. False when the system cannot accept now. */
static bool accept_one(struct kv_acceptor *acceptor, int listener)
{
   int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
   if (fd >= 0)
      take_in(acceptor, fd);
   /* Anything else concerns that one connection. */
   return fd >= 0 || (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM);
}

static void tick(struct kv_acceptor *acceptor)
{
   uint64_t now = kv_clock_monotonic_ms();
   if (!acceptor->ticks || now - acceptor->ticked_ms < (uint64_t)acceptor->handler.tick_ms)
      return;
   acceptor->ticked_ms = now;
   acceptor->handler.tick(acceptor->handler.context);
}

static void *run(void *argument)
{
   struct kv_acceptor *acceptor = argument;
   const struct kv_listeners *listeners = &acceptor->listeners;
   struct pollfd polled[1 + KV_LISTENERS_MAX] = {{.fd = acceptor->wake, .events = POLLIN}};
   for (unsigned i = 0; i < listeners->count; i++)
      polled[1 + i] = (struct pollfd){.fd = listeners->items[i].fd, .events = POLLIN};
   for (;;) {
      int ready =
          poll(polled, 1 + listeners->count, acceptor->ticks ? acceptor->handler.tick_ms : -1);
      tick(acceptor);
      if (ready <= 0)
         continue;
      if (polled[0].revents != 0)
         return NULL;
      bool able = true;
      for (unsigned i = 1; i <= listeners->count; i++)
         if (polled[i].revents != 0)
            able &= accept_one(acceptor, polled[i].fd);
      if (!able) {
         note_full(acceptor, true);
         poll(polled, 1, RETRY_MS);
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
   kv_listeners_close(&acceptor->listeners);
}

void kv_acceptor_destroy(struct kv_acceptor *acceptor)
{
   kv_acceptor_stop(acceptor);
   close(acceptor->wake);
   free(acceptor);
}

void kv_acceptor_read_statistics(struct kv_acceptor *acceptor,
                                 struct kv_acceptor_statistics *statistics)
{
   *statistics = (struct kv_acceptor_statistics){
       .accepted = atomic_load_explicit(&acceptor->accepted, memory_order_relaxed),
       .refused = atomic_load_explicit(&acceptor->refused, memory_order_relaxed),
   };
}
