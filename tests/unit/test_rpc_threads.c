/* Calls that other threads answer, while clients reset them, go away, or the server is stopped. */
#include "core/support/clock.h"
#include "tests/support/wire_fixture.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- The service: threads that answer ---- */

#define ANSWERERS 3

/* A call to be answered; a stream's stays until it is closed. */
struct job {
   STAILQ_ENTRY(job) next;
   struct pool *pool;
   pthread_mutex_t lock; /* of a stream: taken while its call is used, and as it closes */
   struct kv_call *call; /* NULL: closed */
   bool stream, reads;   /* reads: the next request is to be asked for, not a message sent */
   unsigned left;        /* messages */
   unsigned users;       /* the call, and the queue; by the pool's lock */
};

struct pool {
   pthread_mutex_t lock;
   pthread_cond_t changed;
   STAILQ_HEAD(, job) jobs;
   bool ended;
   unsigned calls, streams, closed, made, released;
   pthread_t threads[ANSWERERS];
};

/* Of the test that runs: its service's methods know it. */
static struct pool *the_pool;

static void count(struct pool *pool, unsigned *counter)
{
   pthread_mutex_lock(&pool->lock);
   (*counter)++;
   pthread_cond_broadcast(&pool->changed);
   pthread_mutex_unlock(&pool->lock);
}

static void enqueue(struct job *job)
{
   struct pool *pool = job->pool;
   pthread_mutex_lock(&pool->lock);
   job->users++;
   STAILQ_INSERT_TAIL(&pool->jobs, job, next);
   pthread_cond_broadcast(&pool->changed);
   pthread_mutex_unlock(&pool->lock);
}

static void drop(struct job *job)
{
   pthread_mutex_lock(&job->pool->lock);
   bool last = --job->users == 0;
   pthread_mutex_unlock(&job->pool->lock);
   if (!last)
      return;
   pthread_mutex_destroy(&job->lock);
   free(job);
}

static struct job *make_job(struct pool *pool, struct kv_call *call, bool stream)
{
   struct job *job = calloc(1, sizeof *job);
   *job = (struct job){.pool = pool, .call = call, .stream = stream, .left = 3};
   pthread_mutex_init(&job->lock, NULL);
   count(pool, &pool->calls);
   return job;
}

static void note_released(void *pool)
{
   count(pool, &((struct pool *)pool)->released);
}

static void put_answer(struct pool *pool, struct kv_call *call, unsigned chosen)
{
   static const char piece[100000];
   put_message(call, kv_slice_of("an answer"));
   if (chosen % 3 == 0 &&
       kv_call_insert(call, 3, kv_slice(piece, sizeof piece), note_released, pool))
      count(pool, &pool->made);
}

static void answer_stream(struct job *job, unsigned chosen)
{
   if (job->reads) {
      job->reads = false;
      kv_call_read_next(job->call);
   } else if (job->left > 0) {
      job->left--;
      put_answer(job->pool, job->call, chosen);
      kv_call_send(job->call);
   } else if (chosen % 2 == 0) {
      kv_call_finish(job->call);
   } else {
      kv_call_fail(job->call, KV_ABORTED, "enough");
   }
}

static void answer(struct job *job, unsigned chosen)
{
   pthread_mutex_lock(&job->lock);
   if (job->stream && job->call)
      answer_stream(job, chosen);
   pthread_mutex_unlock(&job->lock);
   if (!job->stream && chosen % 5 == 0) {
      kv_call_fail(job->call, KV_ABORTED, "by chance");
   } else if (!job->stream) {
      put_answer(job->pool, job->call, chosen);
      kv_call_reply(job->call);
   }
   drop(job);
}

static struct job *dequeue(struct pool *pool)
{
   pthread_mutex_lock(&pool->lock);
   while (STAILQ_EMPTY(&pool->jobs) && !pool->ended)
      pthread_cond_wait(&pool->changed, &pool->lock);
   struct job *job = STAILQ_FIRST(&pool->jobs);
   if (job)
      STAILQ_REMOVE_HEAD(&pool->jobs, next);
   pthread_mutex_unlock(&pool->lock);
   return job;
}

static void *answer_all(void *pool)
{
   struct job *job;
   for (unsigned chosen = 0; (job = dequeue(pool)) != NULL; chosen++)
      answer(job, chosen);
   return NULL;
}

static void take_unary(void *pool, struct kv_call *call, struct kv_slice request)
{
   (void)request;
   enqueue(make_job(pool, call, false));
}

static struct job *job_of(struct pool *pool, struct kv_call *call)
{
   struct job *job = *kv_call_state(call);
   if (job)
      return job;
   job = make_job(pool, call, true);
   job->users = 1;
   *kv_call_state(call) = job;
   count(pool, &pool->streams);
   return job;
}

static void take_stream(void *pool, struct kv_call *call, struct kv_slice request)
{
   (void)request;
   enqueue(job_of(pool, call));
}

static void stream_sent(void *pool, struct kv_call *call)
{
   (void)pool;
   enqueue(*kv_call_state(call));
}

static void chat_sent(void *pool, struct kv_call *call)
{
   struct job *job = *kv_call_state(call);
   (void)pool;
   pthread_mutex_lock(&job->lock);
   bool reads = job->reads = job->left % 2 == 0;
   pthread_mutex_unlock(&job->lock);
   if (reads)
      enqueue(job);
   else
      kv_call_read_next(call);
}

static void chat_half_closed(void *pool, struct kv_call *call)
{
   struct job *job = job_of(pool, call);
   pthread_mutex_lock(&job->lock);
   job->left = 0;
   pthread_mutex_unlock(&job->lock);
   enqueue(job);
}

static void stream_closed(void *pool, struct kv_call *call)
{
   struct job *job = *kv_call_state(call);
   pthread_mutex_lock(&job->lock);
   job->call = NULL;
   pthread_mutex_unlock(&job->lock);
   drop(job);
   count(pool, &((struct pool *)pool)->closed);
}

static struct kv_rpc *create(struct service *service)
{
   (void)service;
   const struct kv_rpc_method methods[] = {
       {.path = "/test.Test/Unary", .service = the_pool, .request = take_unary},
       {.path = "/test.Test/Slow", .slow = true, .service = the_pool, .request = take_unary},
       {.path = "/test.Test/Stream",
        .kind = KV_RPC_SERVER_STREAM,
        .service = the_pool,
        .request = take_stream,
        .sent = stream_sent,
        .closed = stream_closed},
       {.path = "/test.Test/Chat",
        .kind = KV_RPC_BIDI,
        .service = the_pool,
        .request = take_stream,
        .sent = chat_sent,
        .half_closed = chat_half_closed,
        .closed = stream_closed},
   };
   return wire_create(methods, sizeof methods / sizeof methods[0], 2);
}

static int set_up(void **state)
{
   struct pool *pool = the_pool = calloc(1, sizeof *pool);
   pthread_mutex_init(&pool->lock, NULL);
   kv_clock_init_condition(&pool->changed);
   STAILQ_INIT(&pool->jobs);
   for (size_t i = 0; i < ANSWERERS; i++)
      assert_int_equal(pthread_create(&pool->threads[i], NULL, answer_all, pool), 0);
   return wire_set_up_with(state, create);
}

#define PATIENCE_MS 60000

/* Also behind the end of the server: threads of the C core may still hold what it has sent. */
static void await_released(struct pool *pool)
{
   const uint64_t until = kv_clock_monotonic_ms() + PATIENCE_MS;
   pthread_mutex_lock(&pool->lock);
   while (pool->released < pool->made && kv_clock_wait(&pool->changed, &pool->lock, until))
      ;
   unsigned released = pool->released;
   pthread_mutex_unlock(&pool->lock);
   assert_int_equal(released, pool->made);
}

static int tear_down(void **state)
{
   struct pool *pool = the_pool;
   kv_rpc_stop(((struct wire *)*state)->rpc, 0);
   pthread_mutex_lock(&pool->lock);
   pool->ended = true;
   pthread_cond_broadcast(&pool->changed);
   pthread_mutex_unlock(&pool->lock);
   for (size_t i = 0; i < ANSWERERS; i++)
      pthread_join(pool->threads[i], NULL);
   wire_tear_down(state);
   assert_int_equal(pool->streams, pool->closed);
   await_released(pool);
   pthread_cond_destroy(&pool->changed);
   pthread_mutex_destroy(&pool->lock);
   free(pool);
   return 0;
}

/* ---- Clients ---- */

#define CLIENTS 4
#define ROUNDS 25
#define CALLS 32

struct customer {
   pthread_t thread;
   const struct wire *wire;
   struct http2_client *client;
   unsigned seed;
};

static unsigned choose(struct customer *customer, unsigned below)
{
   customer->seed = customer->seed * 1664525 + 1013904223;
   return (customer->seed >> 16) % below;
}

static void begin(struct customer *customer, uint32_t stream)
{
   static const char *const paths[] = {"/test.Test/Unary", "/test.Test/Stream", "/test.Test/Chat",
                                       "/test.Test/Slow"};
   static const char message[10];
   unsigned path = choose(customer, 4);
   http2_begin(customer->client, stream, paths[path], NULL);
   http2_send_frame(customer->client, HTTP2_DATA, path == 2 ? 0 : HTTP2_END_STREAM, stream,
                    kv_slice(message, 5));
   if (path == 2) /* two messages more, and the end */
      http2_send_frame(customer->client, HTTP2_DATA, HTTP2_END_STREAM, stream,
                       kv_slice(message, 10));
}

/* Begins calls, resets some, awaits some, and goes away. */
static void *buy(void *argument)
{
   struct customer *customer = argument;
   for (unsigned round = 0; round < ROUNDS; round++) {
      bool wide = choose(customer, 2) == 0;
      customer->client = wide ? wire_connect(customer->wire) : http2_open(customer->wire->port);
      bool reset[CALLS] = {false};
      for (uint32_t i = 0; i < CALLS; i++) {
         begin(customer, 2 * i + 1);
         uint32_t other = choose(customer, i + 1);
         if (choose(customer, 3) == 0 && !reset[other]) {
            reset[other] = true;
            http2_reset(customer->client, 2 * other + 1);
         }
      }
      for (uint32_t i = 0; wide && i < CALLS; i++)
         if (!reset[i] && choose(customer, 2) == 0)
            assert_true(http2_await_end(customer->client, 2 * i + 1));
      if (choose(customer, 2) == 0)
         http2_close(customer->client);
      else
         http2_vanish(customer->client);
   }
   return NULL;
}

/* Until the server goes. */
static void *buy_for_ever(void *argument)
{
   struct customer *customer = argument;
   for (uint32_t stream = 1; stream < 2000; stream += 2) {
      begin(customer, stream);
      if (choose(customer, 3) == 0)
         http2_reset(customer->client, stream);
      else if (choose(customer, 3) == 0 && !http2_await_end(customer->client, stream))
         return NULL;
   }
   http2_await_close(customer->client);
   return NULL;
}

static void begin_customers(struct customer customers[CLIENTS], struct wire *wire,
                            void *(*run)(void *argument), bool connected)
{
   for (unsigned i = 0; i < CLIENTS; i++) {
      customers[i] = (struct customer){.wire = wire, .seed = i};
      customers[i].client = connected ? wire_connect(wire) : NULL;
   }
   for (unsigned i = 0; i < CLIENTS; i++)
      assert_int_equal(pthread_create(&customers[i].thread, NULL, run, &customers[i]), 0);
}

static void calls_are_answered_by_other_threads_while_clients_reset_them_and_go(void **state)
{
   struct customer customers[CLIENTS];
   begin_customers(customers, *state, buy, false);
   for (size_t i = 0; i < CLIENTS; i++)
      pthread_join(customers[i].thread, NULL);
}

static void calls_are_answered_by_other_threads_while_the_server_stops(void **state)
{
   struct wire *wire = *state;
   struct customer customers[CLIENTS];
   begin_customers(customers, wire, buy_for_ever, true);
   pthread_mutex_lock(&the_pool->lock);
   while (the_pool->calls < 300)
      pthread_cond_wait(&the_pool->changed, &the_pool->lock);
   pthread_mutex_unlock(&the_pool->lock);
   kv_rpc_stop(wire->rpc, 0);
   for (size_t i = 0; i < CLIENTS; i++) {
      pthread_join(customers[i].thread, NULL);
      http2_close(customers[i].client);
   }
}

/* The worker is about to do the first when the second is asked for, or has just done it. */
static void a_message_and_an_end_may_be_given_one_right_after_the_other(void **state)
{
   void *memory;
   (void)state;
   wire_set_up(&memory);
   struct wire *wire = memory;
   struct service *service = &wire->service;
   struct http2_client *client = wire_connect(wire);
   for (size_t i = 0; i < MANY_CALLS; i++) {
      /* One after the other: the C core may hand over calls in another order than they came in. */
      http2_call(client, (uint32_t)(2 * i + 1), "/test.Test/HoldStream", 1, kv_slice_of("x"));
      await_count(service, &service->requests, (unsigned)(i + 1));
      put_message(service->held[i], kv_slice_of("last words"));
      kv_call_send(service->held[i]);
      if (i % 2 == 0)
         assert_true(http2_await_size(client, (uint32_t)(2 * i + 1), 5 + strlen("last words")));
      kv_call_fail(service->held[i], KV_ABORTED, "enough");
   }
   for (uint32_t i = 0; i < MANY_CALLS; i++) {
      assert_true(http2_await_end(client, 2 * i + 1));
      assert_true(http2_has_field(client, 2 * i + 1, "grpc-status: 10"));
      assert_true(wire_has_message(client, 2 * i + 1, kv_slice_of("last words")));
   }
   http2_close(client);
   wire_tear_down(&memory);
}

/* ---- The end of a server ---- */

#define SERVERS 50

static _Thread_local bool is_late;
static sem_t is_waking;

int __real_eventfd_write(int fd, eventfd_t value);
int __wrap_eventfd_write(int fd, eventfd_t value);

/* Between having brought a call to its worker and waking it: for longer than a stop takes. */
int __wrap_eventfd_write(int fd, eventfd_t value)
{
   const struct timespec a_while = {.tv_nsec = 300 * 1000000};
   if (is_late) {
      sem_post(&is_waking);
      nanosleep(&a_while, NULL);
   }
   return __real_eventfd_write(fd, value);
}

static void *reply_late(void *call)
{
   is_late = true;
   kv_call_reply(call);
   return NULL;
}

static void a_server_may_be_destroyed_as_soon_as_its_last_call_is_answered(void **state)
{
   (void)state;
   assert_int_equal(sem_init(&is_waking, 0, 0), 0);
   for (int i = 0; i < 3; i++) {
      void *memory;
      pthread_t thread;
      wire_set_up(&memory);
      struct wire *wire = memory;
      struct http2_client *client = wire_connect(wire);
      http2_call(client, 1, "/test.Test/Hold", 1, kv_slice_of("x"));
      await_count(&wire->service, &wire->service.requests, 1);
      assert_int_equal(pthread_create(&thread, NULL, reply_late, wire->service.held[0]), 0);
      if (engine_sees_all()) /* else it wakes nobody by itself */
         assert_int_equal(sem_wait(&is_waking), 0);
      kv_rpc_stop(wire->rpc, PATIENCE_S * 1000);
      wire_tear_down(&memory);
      pthread_join(thread, NULL);
      http2_close(client);
   }
}

static void connections_that_come_as_the_server_stops_are_closed(void **state)
{
   enum { CONNECTIONS = 100 };
   (void)state;
   for (int i = 0; i < SERVERS; i++) {
      void *memory;
      int fds[CONNECTIONS];
      char greeting[256];
      wire_set_up(&memory);
      struct wire *wire = memory;
      for (size_t j = 0; j < CONNECTIONS; j++)
         fds[j] = connect_raw(wire->port);
      wire_tear_down(&memory);
      for (size_t j = 0; j < CONNECTIONS; j++) {
         ssize_t got;
         while ((got = recv(fds[j], greeting, sizeof greeting, 0)) > 0)
            ;
         assert_false(got < 0 && errno == EAGAIN);
         close(fds[j]);
      }
   }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(calls_are_answered_by_other_threads_while_clients_reset_them_and_go),
       CASE(calls_are_answered_by_other_threads_while_the_server_stops),
       cmocka_unit_test(a_message_and_an_end_may_be_given_one_right_after_the_other),
       cmocka_unit_test(a_server_may_be_destroyed_as_soon_as_its_last_call_is_answered),
       cmocka_unit_test(connections_that_come_as_the_server_stops_are_closed),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
