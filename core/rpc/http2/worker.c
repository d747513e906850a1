#include "core/rpc/http2/worker.h"

#include "core/rpc/call.h"
#include "core/rpc/limits.h"
#include "core/support/clock.h"
#include "core/support/invariant.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Events taken from the system at a time. */
#define EVENTS_MAX 256
/* A turn ends after so many requests, though not all that has arrived was read: nobody waits long
 * for its end. */
#define HANDLED_MAX 512
#define NS_IN_A_MS 1000000u
/* For TLS handshakes in a round: one with an RSA key of 2048 bits, a dozen with P-256. */
#define HANDSHAKES_NS (1 * NS_IN_A_MS)
/* How often connections are looked at for time-outs, and the pool of calls is shrunk. */
#define LOOK_MS 2000
/* While a request waits for memory: how long until the next attempt. */
#define WAITING_MS 5

struct kv_http2_worker *kv_http2_worker_of(struct kv_rpc_worker *base)
{
   return (struct kv_http2_worker *)base; /* its first member */
}

bool kv_http2_worker_is_current(const struct kv_http2_worker *worker)
{
   return pthread_equal(worker->self, pthread_self()) != 0;
}

/* ---- For other threads ---- */

static void wake(struct kv_http2_worker *worker)
{
   int error = eventfd_write(worker->wake, 1);
   KV_INVARIANT(error == 0);
}

void kv_http2_worker_bring(struct kv_http2_worker *worker, struct kv_http2_call *call)
{
   struct kv_http2_call *first = atomic_load_explicit(&worker->brought, memory_order_relaxed);
   do
      call->next = first;
   while (!atomic_compare_exchange_weak(&worker->brought, &first, call));
   if (!first)
      wake(worker);
}

void kv_http2_worker_give(struct kv_http2_worker *worker, struct kv_http2_connection *connection)
{
   struct kv_http2_connection *first = atomic_load_explicit(&worker->given, memory_order_relaxed);
   do
      connection->next = first;
   while (!atomic_compare_exchange_weak(&worker->given, &first, connection));
   if (!first)
      wake(worker);
}

void kv_http2_worker_ask(struct kv_http2_worker *worker, enum kv_http2_stage stage)
{
   worker->asks++;
   atomic_store(&worker->asked_stage, (int)stage);
   wake(worker);
}

static void see_wakes(struct kv_http2_worker *worker)
{
   eventfd_t count;
   if (eventfd_read(worker->wake, &count) == 0)
      worker->wakes_seen += count;
}

/* ---- Ends ---- */

void kv_http2_worker_release_done(struct kv_http2_worker *worker)
{
   while (worker->done) {
      struct kv_http2_call *call = worker->done;
      worker->done = call->next_done;
      kv_http2_call_release_if_done(call);
   }
}

static void close_all(struct kv_http2_worker *worker)
{
   while (!LIST_EMPTY(&worker->connections))
      kv_http2_connection_close(LIST_FIRST(&worker->connections));
   kv_http2_worker_release_done(worker);
}

/* ---- What other threads bring ---- */

static void take_given(struct kv_http2_worker *worker)
{
   struct kv_http2_connection *next, *connection = NULL;
   if (atomic_load_explicit(&worker->given, memory_order_relaxed))
      connection = atomic_exchange(&worker->given, NULL);
   worker->wakes_due += connection != NULL;
   for (; connection; connection = next) {
      next = connection->next;
      kv_http2_connection_join(connection, worker);
   }
}

void kv_http2_worker_close_given(struct kv_http2_worker *worker)
{
   take_given(worker);
   close_all(worker);
}

/* Those brought first are done first. */
static void take_brought(struct kv_http2_worker *worker)
{
   struct kv_http2_call *next, *call = NULL, *first = NULL;
   if (atomic_load_explicit(&worker->brought, memory_order_relaxed))
      call = atomic_exchange(&worker->brought, NULL);
   worker->wakes_due += call != NULL;
   for (; call; call = next) {
      next = call->next;
      call->next = first;
      first = call;
   }
   for (call = first; call; call = next) {
      next = call->next; /* which whoever brings it again may change */
      kv_http2_call_do_asked(call);
   }
}

/* ---- A turn ---- */

static void flush_touched(struct kv_http2_worker *worker)
{
   struct kv_http2_connection *last = TAILQ_LAST(&worker->touched, kv_http2_touched);
   while (!TAILQ_EMPTY(&worker->touched)) {
      struct kv_http2_connection *connection = TAILQ_FIRST(&worker->touched);
      bool was_last = connection == last; /* what is touched meanwhile has its turn later */
      kv_http2_connection_flush(connection);
      if (was_last)
         return;
   }
}

static void end_turn(struct kv_http2_worker *worker)
{
   worker->handled = 0;
   kv_turn_answer(&worker->base);
   flush_touched(worker);
   kv_turn_end(&worker->base);
   flush_touched(worker);
   kv_http2_worker_release_done(worker);
}

static void read_all(struct kv_http2_worker *worker)
{
   struct kv_http2_connection *connection;
   size_t count = 0;
   TAILQ_FOREACH (connection, &worker->reading, reading)
      count++;
   for (; count > 0 && !TAILQ_EMPTY(&worker->reading); count--) {
      kv_http2_connection_read(TAILQ_FIRST(&worker->reading));
      if (worker->handled >= HANDLED_MAX)
         end_turn(worker);
   }
}

/* A handshake costs as much as hundreds of calls. However many there are, the calls of other
 * connections have all of the time but this in each round. */
static void shake_hands(struct kv_http2_worker *worker)
{
   if (TAILQ_EMPTY(&worker->shaking))
      return;
   uint64_t until_ns = kv_clock_monotonic_ns() + HANDSHAKES_NS;
   do
      kv_http2_connection_read(TAILQ_FIRST(&worker->shaking));
   while (!TAILQ_EMPTY(&worker->shaking) && kv_clock_monotonic_ns() < until_ns);
}

/* ---- Time, and the stop ---- */

static void look(struct kv_http2_worker *worker)
{
   struct kv_http2_connection *connection, *next;
   if (worker->now_ms < worker->look_at_ms)
      return;
   worker->look_at_ms = worker->now_ms + LOOK_MS;
   kv_http2_call_pool_shrink(worker);
   for (connection = LIST_FIRST(&worker->connections); connection; connection = next) {
      next = LIST_NEXT(connection, siblings);
      kv_http2_connection_look(connection);
   }
}

static void try_waiting(struct kv_http2_worker *worker)
{
   while (!TAILQ_EMPTY(&worker->waiting) &&
          kv_http2_request_try_again(TAILQ_FIRST(&worker->waiting)))
      ;
}

static void take_stage(struct kv_http2_worker *worker)
{
   struct kv_http2_connection *connection;
   enum kv_http2_stage stage = (enum kv_http2_stage)atomic_load(&worker->asked_stage);
   if (stage == worker->stage)
      return;
   worker->stage = stage;
   take_given(worker); /* the last ones */
   worker->ends_at_ms = worker->now_ms + (stage == KV_HTTP2_ENDS ? KV_RPC_FAREWELL_MS : 0);
   LIST_FOREACH (connection, &worker->connections, siblings)
      if (stage == KV_HTTP2_DRAINS)
         kv_http2_connection_drain(connection);
      else
         kv_http2_connection_farewell(connection);
   flush_touched(worker);
}

static bool is_over(struct kv_http2_worker *worker)
{
   if (worker->stage < KV_HTTP2_ENDS)
      return false;
   if (worker->now_ms >= worker->ends_at_ms)
      close_all(worker);
   return LIST_EMPTY(&worker->connections) && atomic_load(&worker->base.calls) == 0 &&
          atomic_load(&worker->base.following) == 0;
}

/* ---- The loop ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
   return a < b ? a : b;
}

/* In milliseconds, as epoll_wait has it. */
static int time_to_wait(struct kv_http2_worker *worker, uint64_t now_ms)
{
   if (!TAILQ_EMPTY(&worker->reading) || !TAILQ_EMPTY(&worker->shaking) ||
       !TAILQ_EMPTY(&worker->touched))
      return 0;
   uint64_t until = (uint64_t)kv_turn_wait_until(&worker->base);
   if (until == 0)
      return 0;
   if (!LIST_EMPTY(&worker->connections) || worker->pool)
      until = earlier(until, worker->look_at_ms);
   if (!TAILQ_EMPTY(&worker->waiting))
      until = earlier(until, now_ms + WAITING_MS);
   if (worker->stage >= KV_HTTP2_ENDS && !LIST_EMPTY(&worker->connections))
      until = earlier(until, worker->ends_at_ms);
   if (until == (uint64_t)KV_TURN_FOREVER)
      return -1;
   return until <= now_ms ? 0 : (int)(until - now_ms);
}

static void note_event(struct kv_http2_worker *worker, const struct epoll_event *event)
{
   struct kv_http2_connection *connection = event->data.ptr;
   if (!connection) {
      see_wakes(worker);
      return;
   }
   if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
      kv_http2_connection_hung_up(connection);
   else if (event->events & EPOLLIN)
      kv_http2_connection_readable(connection);
   if ((event->events & EPOLLOUT) && connection->unsent)
      kv_http2_connection_touch(connection);
}

static void await_events(struct kv_http2_worker *worker)
{
   struct epoll_event events[EVENTS_MAX];
   uint64_t before_ns = kv_clock_monotonic_ns();
   int count =
       epoll_wait(worker->epoll, events, EVENTS_MAX, time_to_wait(worker, before_ns / NS_IN_A_MS));
   KV_INVARIANT(count >= 0 || errno == EINTR);
   uint64_t now_ns = kv_clock_monotonic_ns();
   worker->balance.waited_ns += now_ns - before_ns;
   worker->now_ms = now_ns / NS_IN_A_MS;
   kv_observe_round(&worker->base, now_ns);
   for (int i = 0; i < count; i++)
      note_event(worker, &events[i]);
}

bool kv_http2_worker_round(struct kv_http2_worker *worker)
{
   take_given(worker);
   take_stage(worker);
   take_brought(worker);
   read_all(worker);
   shake_hands(worker);
   try_waiting(worker);
   look(worker);
   end_turn(worker);
   kv_balance_round(worker);
   return !is_over(worker);
}

static void *work(void *argument)
{
   struct kv_http2_worker *worker = argument;
   worker->self = pthread_self();
   worker->now_ms = kv_clock_monotonic_ms();
   kv_observe_thread(&worker->base);
   do
      await_events(worker);
   while (kv_http2_worker_round(worker));
   return NULL;
}

/* ---- Its life ---- */

struct kv_http2_worker *kv_http2_worker_create(bool tls, struct kv_status *status)
{
   struct epoll_event event = {.events = EPOLLIN};
   struct kv_http2_worker *worker = aligned_alloc(KV_CACHE_LINE, sizeof *worker);
   if (!worker) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for a worker");
      return NULL;
   }
   memset(worker, 0, sizeof *worker);
   if (tls)
      worker->secure = malloc(sizeof *worker->secure);
   LIST_INIT(&worker->connections);
   TAILQ_INIT(&worker->reading);
   TAILQ_INIT(&worker->touched);
   TAILQ_INIT(&worker->shaking);
   TAILQ_INIT(&worker->waiting);
   worker->epoll = epoll_create1(EPOLL_CLOEXEC);
   worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
   if (tls && !worker->secure) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for a worker");
      kv_http2_worker_destroy(worker);
      return NULL;
   }
   if (worker->epoll >= 0 && worker->wake >= 0 &&
       epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->wake, &event) == 0)
      return worker;
   kv_fail_errno(status, errno, "cannot prepare to wait for connections");
   kv_http2_worker_destroy(worker);
   return NULL;
}

void kv_http2_worker_destroy(struct kv_http2_worker *worker)
{
   kv_http2_call_pool_destroy(worker);
   if (worker->epoll >= 0)
      close(worker->epoll);
   if (worker->wake >= 0)
      close(worker->wake);
   free(worker->secure);
   free(worker);
}

enum kv_code kv_http2_worker_start(struct kv_http2_worker *worker, struct kv_status *status)
{
   int error = pthread_create(&worker->thread, NULL, work, worker);
   if (error != 0)
      return kv_fail_errno(status, error, "cannot start a worker's thread");
   worker->running = true;
   return KV_OK;
}

/* Whoever has brought the last calls may still be about to wake the worker for them. */
static void await_wakes(struct kv_http2_worker *worker)
{
   struct pollfd wait = {.fd = worker->wake, .events = POLLIN};
   see_wakes(worker);
   while (worker->wakes_seen < worker->asks + worker->wakes_due) {
      int count = poll(&wait, 1, -1);
      KV_INVARIANT(count >= 0 || errno == EINTR);
      see_wakes(worker);
   }
}

void kv_http2_worker_join(struct kv_http2_worker *worker)
{
   if (worker->running)
      pthread_join(worker->thread, NULL);
   else
      work(worker); /* its thread could not be started, but connections may have been given */
   worker->running = false;
   await_wakes(worker);
}
