/* The health service without a wire: what watchers receive, and when. */
#include "core/service/health.h"
#include "tests/support/fake_rpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { WATCHERS = 5 };

/* HealthCheckResponse with status SERVING and NOT_SERVING, as protobuf encodes it. */
static const char serving[] = "\x08\x01", not_serving[] = "\x08\x02";

struct fixture {
   struct kv_health *health;
   struct kv_rpc_method methods[KV_HEALTH_METHODS];
   struct kv_call *calls[WATCHERS];
   struct fake_answer answers[WATCHERS];
};

static int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   struct kv_status status;
   assert_non_null(fixture);
   fixture->health = kv_health_create(&status);
   assert_non_null(fixture->health);
   assert_int_equal(kv_health_methods(fixture->health, fixture->methods), KV_HEALTH_METHODS);
   *state = fixture;
   return 0;
}

static void leave(struct fixture *fixture, size_t i)
{
   if (fixture->calls[i])
      fake_call_end(fixture->calls[i]);
   fixture->calls[i] = NULL;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   for (size_t i = 0; i < WATCHERS; i++) {
      leave(fixture, i);
      fake_answer_deinit(&fixture->answers[i]);
   }
   kv_health_destroy(fixture->health);
   free(fixture);
   return 0;
}

/* Starts a watch of the server as a whole. */
static void watch(struct fixture *fixture, size_t i)
{
   fixture->calls[i] =
       fake_call_begin(&fixture->methods[1], kv_slice(NULL, 0), NULL, &fixture->answers[i]);
}

static void assert_told(const struct fixture *fixture, size_t i, size_t count, const char *last)
{
   assert_int_equal(fixture->answers[i].count, count);
   const struct kv_slice *message = &fixture->answers[i].messages[count - 1];
   assert_int_equal(message->size, 2);
   assert_memory_equal(message->data, last, 2);
}

static void a_watcher_learns_the_state_at_once_and_each_change(void **state)
{
   struct fixture *fixture = *state;
   watch(fixture, 0);
   assert_told(fixture, 0, 1, not_serving);
   assert_true(fake_call_sent(fixture->calls[0]));
   kv_health_set(fixture->health, KV_HEALTH_SERVER, true);
   assert_told(fixture, 0, 2, serving);
   assert_true(fake_call_sent(fixture->calls[0]));
   kv_health_set(fixture->health, KV_HEALTH_SERVER, true);
   kv_health_set(fixture->health, KV_HEALTH_STORE, true);
   assert_false(fake_call_sent(fixture->calls[0]));
   assert_int_equal(fixture->answers[0].count, 2);
}

static void a_change_while_a_message_is_in_flight_is_sent_after_it(void **state)
{
   struct fixture *fixture = *state;
   watch(fixture, 0);
   kv_health_set(fixture->health, KV_HEALTH_SERVER, true);
   assert_told(fixture, 0, 1, not_serving);
   assert_true(fake_call_sent(fixture->calls[0]));
   assert_told(fixture, 0, 2, serving);
}

static void changes_that_cancel_out_while_a_message_is_in_flight_are_not_sent(void **state)
{
   struct fixture *fixture = *state;
   watch(fixture, 0);
   kv_health_set(fixture->health, KV_HEALTH_SERVER, true);
   kv_health_set(fixture->health, KV_HEALTH_SERVER, false);
   assert_true(fake_call_sent(fixture->calls[0]));
   assert_int_equal(fixture->answers[0].count, 1);
}

static void a_drain_is_sent_and_then_ends_the_call(void **state)
{
   struct fixture *fixture = *state;
   kv_health_set(fixture->health, KV_HEALTH_SERVER, true);
   watch(fixture, 0);
   assert_true(fake_call_sent(fixture->calls[0]));
   kv_health_drain(fixture->health);
   assert_told(fixture, 0, 2, not_serving);
   assert_false(fixture->answers[0].ended);
   assert_true(fake_call_sent(fixture->calls[0]));
   assert_true(fixture->answers[0].ended);
}

/* Whatever the order in which three watchers leave, the others keep receiving changes. */
static void watchers_may_leave_in_any_order(void **state)
{
   struct fixture *fixture = *state;
   static const size_t orders[][3] = {{0, 1, 2}, {2, 3, 4}, {1, 3, 2}, {4, 0, 2}, {3, 2, 1}};
   bool up = false;
   for (size_t order = 0; order < sizeof orders / sizeof orders[0]; order++) {
      for (size_t i = 0; i < WATCHERS; i++) {
         fake_answer_deinit(&fixture->answers[i]);
         watch(fixture, i);
         assert_true(fake_call_sent(fixture->calls[i]));
      }
      for (size_t left = 0; left < 3; left++) {
         leave(fixture, orders[order][left]);
         up = !up;
         kv_health_set(fixture->health, KV_HEALTH_SERVER, up);
         for (size_t i = 0; i < WATCHERS; i++) {
            if (!fixture->calls[i])
               continue;
            assert_told(fixture, i, left + 2, up ? serving : not_serving);
            assert_true(fake_call_sent(fixture->calls[i]));
         }
      }
      for (size_t i = 0; i < WATCHERS; i++)
         leave(fixture, i);
      kv_health_set(fixture->health, KV_HEALTH_SERVER, false); /* nobody is there */
      up = false;
   }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_watcher_learns_the_state_at_once_and_each_change),
       TEST(a_change_while_a_message_is_in_flight_is_sent_after_it),
       TEST(changes_that_cancel_out_while_a_message_is_in_flight_are_not_sent),
       TEST(a_drain_is_sent_and_then_ends_the_call),
       TEST(watchers_may_leave_in_any_order),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
