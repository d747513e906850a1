/* What observers of calls are told, and what the wire counts. */
#include "tests/support/rpc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORKERS 2
#define MEMORY ((size_t)64 << 20)
#define SEEN_MAX 64

/* ---- The observer ---- */

struct seen {
   char path[64]; /* "": an unknown method */
   size_t index;
   unsigned worker, thread;
   enum kv_code code;
   uint64_t elapsed_ns;
   size_t request_size;
   char key[32], user[32];
};

static struct {
   pthread_mutex_t lock;
   pthread_cond_t changed;
   struct seen calls[SEEN_MAX];
   unsigned count;
} observer = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void note(void *context, const struct kv_rpc_answer *answer)
{
   const struct kv_rpc_subject *subject = kv_call_subject(answer->call);
   struct seen seen = {.index = answer->method_index,
                       .worker = answer->worker,
                       .thread = answer->thread,
                       .code = answer->code,
                       .elapsed_ns = answer->elapsed_ns,
                       .request_size = answer->request_size};
   assert_ptr_equal(context, &observer);
   snprintf(seen.path, sizeof seen.path, "%s", answer->method ? answer->method->path : "");
   snprintf(seen.key, sizeof seen.key, "%.*s", (int)subject->key.size,
            (const char *)subject->key.data);
   snprintf(seen.user, sizeof seen.user, "%s", subject->user);
   pthread_mutex_lock(&observer.lock);
   assert_true(observer.count < SEEN_MAX);
   observer.calls[observer.count++] = seen;
   pthread_cond_broadcast(&observer.changed);
   pthread_mutex_unlock(&observer.lock);
}

/* The calls are reported before their answers leave, but one that is cancelled later. */
static struct seen await_seen(unsigned number)
{
   pthread_mutex_lock(&observer.lock);
   while (observer.count <= number)
      pthread_cond_wait(&observer.changed, &observer.lock);
   struct seen seen = observer.calls[number];
   pthread_mutex_unlock(&observer.lock);
   return seen;
}

/* ---- The service ---- */

static void echo(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   kv_call_set_subject(call, request);
   kv_call_set_caller(call, "somebody", "something");
   put_message(call, request);
   kv_call_reply(call);
}

static void refuse(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service, (void)request;
   kv_call_fail(call, KV_ABORTED, "on purpose");
}

static void *reply(void *call)
{
   kv_call_reply(call);
   return NULL;
}

static void reply_beside(void *service, struct kv_call *call, struct kv_slice request)
{
   pthread_t thread;
   (void)service, (void)request;
   put_message(call, kv_slice(NULL, 0));
   assert_int_equal(pthread_create(&thread, NULL, reply, call), 0);
   pthread_join(thread, NULL);
}

static void hold(void *context, struct kv_call *call, struct kv_slice request)
{
   struct service *service = context;
   (void)request;
   pthread_mutex_lock(&service->lock);
   service->held[service->held_count++] = call;
   service->requests++;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
}

static void send_one(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   put_message(call, request);
   kv_call_send(call);
}

static void finish(void *service, struct kv_call *call)
{
   (void)service;
   kv_call_finish(call);
}

enum { ECHO, FAIL, BESIDE, HOLD, STREAM, METHODS };

static struct kv_rpc *create_observed(struct service *service,
                                      void (*answered)(void *, const struct kv_rpc_answer *))
{
   const struct kv_rpc_method methods[METHODS] = {
       [ECHO] = {.path = "/test.Test/Echo", .request = echo},
       [FAIL] = {.path = "/test.Test/Fail", .request = refuse},
       [BESIDE] = {.path = "/test.Test/Beside", .request = reply_beside},
       [HOLD] = {.path = "/test.Test/Hold", .service = service, .request = hold},
       [STREAM] = {.path = "/test.Test/Stream",
                   .kind = KV_RPC_SERVER_STREAM,
                   .request = send_one,
                   .sent = finish},
   };
   const struct kv_rpc_options options = {.wire = tested_wire(),
                                          .workers = WORKERS,
                                          .receive_message_max = LIMIT,
                                          .memory_max = MEMORY,
                                          .reader_timeout_ms = 30000,
                                          .answered = answered,
                                          .observer = &observer};
   struct kv_status status;
   struct kv_rpc *rpc = kv_rpc_create(&options, methods, METHODS, &status);
   assert_non_null(rpc);
   return rpc;
}

static struct kv_rpc *create(struct service *service)
{
   return create_observed(service, note);
}

static struct kv_rpc *create_unobserved(struct service *service)
{
   return create_observed(service, NULL);
}

static int set_up(void **state)
{
   observer.count = 0;
   return rpc_set_up_with(state, create, "127.0.0.1:0");
}

static void call_and_end(struct world *world, const char *path, const char *request,
                         enum kv_code code)
{
   struct caller caller;
   begin_call(&caller, world, path, kv_slice_of(request));
   while (receive_message(&caller))
      ;
   assert_ends(&caller, code, NULL);
}

/* ---- Answers ---- */

static void an_answer_is_reported_with_its_method_code_time_and_subject(void **state)
{
   call_and_end(*state, "/test.Test/Echo", "a key", KV_OK);
   struct seen seen = await_seen(0);
   assert_string_equal(seen.path, "/test.Test/Echo");
   assert_int_equal(seen.index, ECHO);
   assert_int_equal(seen.code, KV_OK);
   assert_int_equal(seen.request_size, strlen("a key"));
   assert_string_equal(seen.key, "a key");
   assert_string_equal(seen.user, "somebody");
   assert_true(seen.worker < WORKERS);
   assert_int_equal(seen.thread, seen.worker);
   assert_in_range(seen.elapsed_ns, 1, UINT64_C(1000000000) * PATIENCE_S);
}

static void a_call_does_not_have_the_subject_of_an_earlier_one(void **state)
{
   call_and_end(*state, "/test.Test/Echo", "a key", KV_OK);
   call_and_end(*state, "/test.Test/Fail", "", KV_ABORTED);
   assert_string_equal(await_seen(1).key, "");
   assert_string_equal(await_seen(1).user, "");
}

static void a_failure_is_reported_with_its_code(void **state)
{
   call_and_end(*state, "/test.Test/Fail", "", KV_ABORTED);
   assert_int_equal(await_seen(0).index, FAIL);
   assert_int_equal(await_seen(0).code, KV_ABORTED);
}

static void an_answer_from_another_thread_is_reported_as_of_none_of_the_workers(void **state)
{
   call_and_end(*state, "/test.Test/Beside", "", KV_OK);
   assert_int_equal(await_seen(0).thread, WORKERS);
   assert_true(await_seen(0).worker < WORKERS);
}

static void a_stream_is_reported_once_at_its_end(void **state)
{
   call_and_end(*state, "/test.Test/Stream", "x", KV_OK);
   call_and_end(*state, "/test.Test/Echo", "", KV_OK);
   assert_int_equal(await_seen(0).index, STREAM);
   assert_int_equal(await_seen(0).code, KV_OK);
   assert_int_equal(await_seen(1).index, ECHO);
}

static void an_unknown_method_is_reported_behind_those_of_the_table(void **state)
{
   call_and_end(*state, "/test.Test/Nothing", "", KV_UNIMPLEMENTED);
   struct seen seen = await_seen(0);
   assert_string_equal(seen.path, "");
   assert_int_equal(seen.index, METHODS);
   assert_int_equal(seen.code, KV_UNIMPLEMENTED);
}

static void a_call_that_is_answered_late_took_as_long(void **state)
{
   struct world *world = *state;
   struct caller caller;
   begin_call(&caller, world, "/test.Test/Hold", kv_slice_of(""));
   await_count(&world->service, &world->service.requests, 1);
   call_and_end(world, "/test.Test/Echo", "", KV_OK);
   struct seen before = await_seen(0);
   put_message(world->service.held[0], kv_slice(NULL, 0));
   kv_call_reply(world->service.held[0]);
   assert_answered(&caller);
   struct seen seen = await_seen(1);
   assert_int_equal(before.index, ECHO);
   assert_int_equal(seen.index, HOLD);
   assert_int_equal(seen.thread, WORKERS);
   assert_true(seen.elapsed_ns > 0);
}

static void each_answer_is_reported_exactly_once(void **state)
{
   for (int i = 0; i < 30; i++)
      call_and_end(*state, "/test.Test/Echo", "", KV_OK);
   call_and_end(*state, "/test.Test/Fail", "", KV_ABORTED);
   assert_int_equal(await_seen(30).index, FAIL);
   assert_int_equal(observer.count, 31);
}

static void without_an_observer_calls_are_answered_all_the_same(void **state)
{
   void *world;
   (void)state;
   observer.count = 0;
   rpc_set_up_with(&world, create_unobserved, "127.0.0.1:0");
   call_and_end(world, "/test.Test/Echo", "", KV_OK);
   call_and_end(world, "/test.Test/Beside", "", KV_OK);
   call_and_end(world, "/test.Test/Nothing", "", KV_UNIMPLEMENTED);
   rpc_tear_down(&world);
   assert_int_equal(observer.count, 0);
}

/* ---- Figures ---- */

static void connections_and_refused_calls_are_counted(void **state)
{
   struct world *world = *state;
   struct kv_rpc_statistics figures;
   call_and_end(world, "/test.Test/Echo", "", KV_OK);
   call_and_end(world, "/test.Test/Nothing", "", KV_UNIMPLEMENTED);
   kv_rpc_read_statistics(world->rpc, &figures);
   assert_int_equal(figures.accepted_connections, 1);
   assert_int_equal(figures.refused_connections, 0);
   assert_int_equal(figures.refused_calls, 1);
   assert_int_equal(figures.memory_max, MEMORY);
   assert_int_equal(figures.knows_connections, strcmp(tested_wire(), "grpc") != 0);
   if (figures.knows_connections)
      assert_int_equal(figures.open_connections, 1);
}

/* Of a call that waits for its request, and of a stream that was never opened. */
static void resets_are_counted(void **state)
{
   struct world *world = *state;
   struct kv_rpc_statistics figures;
   if (!engine_sees_all())
      return;
   struct http2_client *client = http2_open(world->port);
   http2_begin(client, 1, "/test.Test/Echo", NULL);
   http2_reset(client, 1);
   http2_reset(client, 3);
   assert_true(http2_await_pong(client));
   kv_rpc_read_statistics(world->rpc, &figures);
   assert_int_equal(figures.resets, 2);
   assert_int_equal(figures.ended_connections, 0);
   http2_close(client);
}

static void connections_that_are_ended_for_their_faults_are_counted(void **state)
{
   struct world *world = *state;
   struct kv_rpc_statistics figures;
   if (!engine_sees_all())
      return;
   struct http2_client *client = http2_open(world->port);
   http2_send_frame(client, HTTP2_DATA, 0, 0, kv_slice_of("of no stream"));
   http2_await_close(client);
   http2_close(client);
   kv_rpc_read_statistics(world->rpc, &figures);
   assert_int_equal(figures.ended_connections, 1);
}

static void what_calls_hold_in_memory_is_told(void **state)
{
   struct world *world = *state;
   struct kv_rpc_statistics figures;
   struct caller caller;
   begin_call(&caller, world, "/test.Test/Hold", kv_slice_of(""));
   await_count(&world->service, &world->service.requests, 1);
   kv_rpc_read_statistics(world->rpc, &figures);
   assert_in_range(figures.memory_held, 1, MEMORY);
   put_message(world->service.held[0], kv_slice(NULL, 0));
   kv_call_reply(world->service.held[0]);
   assert_answered(&caller);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, rpc_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(an_answer_is_reported_with_its_method_code_time_and_subject),
       CASE(a_call_does_not_have_the_subject_of_an_earlier_one),
       CASE(a_failure_is_reported_with_its_code),
       CASE(an_answer_from_another_thread_is_reported_as_of_none_of_the_workers),
       CASE(a_stream_is_reported_once_at_its_end),
       CASE(an_unknown_method_is_reported_behind_those_of_the_table),
       CASE(a_call_that_is_answered_late_took_as_long),
       CASE(each_answer_is_reported_exactly_once),
       cmocka_unit_test(without_an_observer_calls_are_answered_all_the_same),
       CASE(connections_and_refused_calls_are_counted),
       CASE(resets_are_counted),
       CASE(connections_that_are_ended_for_their_faults_are_counted),
       CASE(what_calls_hold_in_memory_is_told),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
