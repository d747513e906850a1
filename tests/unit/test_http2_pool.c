/* The pool of calls of the engine http2: it keeps what is used again, and no more. */
#include "core/rpc/http2/worker.h"
#include "core/rpc/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define BURST 100

static void request(void *service, struct kv_call *call, struct kv_slice message)
{
   (void)service;
   (void)message;
   kv_call_reply(call);
}

static const struct kv_rpc_method method = {.path = "/test/Unary", .request = request};

/* Calls that are there at the same time, and are over. Their connection has no session, so it goes
 * with the last. */
static void have_calls(struct kv_http2_worker *worker, int32_t count)
{
   struct kv_http2_call *calls[BURST];
   struct kv_http2_connection *connection = kv_http2_connection_create(worker, -1, 1);
   assert_non_null(connection);
   for (int32_t i = 0; i < count; i++) {
      calls[i] = kv_http2_call_create(connection, 1 + 2 * i);
      assert_non_null(calls[i]);
   }
   for (int32_t i = 0; i < count; i++) {
      kv_http2_call_stream_closed(calls[i]);
      kv_http2_call_release_if_done(calls[i]);
   }
   worker->done = NULL;
}

static void what_a_burst_needed_is_freed_when_it_was_not_needed_again(void **state)
{
   (void)state;
   const struct kv_rpc_options options = {.wire = "http2",
                                          .workers = 1,
                                          .receive_message_max = 1024,
                                          .memory_max = 1 << 20,
                                          .reader_timeout_ms = 1000};
   struct kv_status status;
   struct kv_rpc *rpc = kv_rpc_create(&options, &method, 1, &status);
   assert_non_null(rpc);
   struct kv_http2_worker *worker = kv_http2_worker_of(rpc->workers[0]);

   have_calls(worker, BURST);
   kv_http2_call_pool_shrink(worker);
   assert_int_equal(worker->pool_size, BURST);
   have_calls(worker, 3);
   kv_http2_call_pool_shrink(worker);
   assert_int_equal(worker->pool_size, 3);
   kv_http2_call_pool_shrink(worker);
   assert_int_equal(worker->pool_size, 0);

   kv_rpc_destroy(rpc);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(what_a_burst_needed_is_freed_when_it_was_not_needed_again),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
