/* WaitDurable over real plug-ins; only the wire is a stand-in. */
#include "tests/support/service_fixture.h"

#include "kvstore/v1/key_value.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define DURABILITY(level) KVSTORE__V1__DURABILITY__DURABILITY_##level

static struct service_fixture *create(const char *mode, const char *fsync)
{
   const struct kv_mode_option option = {"fsync", fsync};
   const struct service_setup setup = {
       .mode = mode, .options = &option, .option_count = fsync ? 1 : 0};
   struct service_fixture *fixture = service_fixture_create(&setup);
   service_set(fixture, "a", "v");
   return fixture;
}

static uint64_t wait_for(const struct service_fixture *fixture, uint64_t version,
                         Kvstore__V1__Durability durability)
{
   Kvstore__V1__WaitDurableRequest request = KVSTORE__V1__WAIT_DURABLE_REQUEST__INIT;
   request.version = version;
   request.durability = durability;
   Kvstore__V1__WaitDurableResponse *reply =
       service_reply(fixture, "KeyValueService/WaitDurable", &request.base,
                     &kvstore__v1__wait_durable_response__descriptor);
   uint64_t reached = reply->version;
   kvstore__v1__wait_durable_response__free_unpacked(reply, NULL);
   return reached;
}

static uint64_t saved_version(const struct service_fixture *fixture)
{
   Kvstore__V1__GetStatusResponse *status = service_status(fixture);
   uint64_t version = status->last_save_version;
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
   return version;
}

static void what_is_in_memory_is_so_at_once(void **state)
{
   struct service_fixture *fixture = create("none", NULL);
   assert_int_equal(wait_for(fixture, 0, DURABILITY(MEMORY)), 1);
   assert_int_equal(wait_for(fixture, 1, DURABILITY(MEMORY)), 1);
   service_fixture_destroy(fixture);
   (void)state;
}

static void a_mode_that_keeps_nothing_offers_nothing_else(void **state)
{
   struct service_fixture *fixture = create("none", NULL);
   Kvstore__V1__WaitDurableRequest request = KVSTORE__V1__WAIT_DURABLE_REQUEST__INIT;
   service_refused(fixture, "KeyValueService/WaitDurable", &request.base, KV_FAILED_PRECONDITION,
                   "durability: ", "configure", NULL);
   request.durability = DURABILITY(WRITTEN);
   service_refused(fixture, "KeyValueService/WaitDurable", &request.base, KV_FAILED_PRECONDITION,
                   "durability: ", NULL);
   request.durability = 7;
   service_refused(fixture, "KeyValueService/WaitDurable", &request.base, KV_INVALID_ARGUMENT,
                   "durability: ", NULL);
   service_fixture_destroy(fixture);
   (void)state;
}

static void a_version_that_is_not_reached_is_out_of_range(void **state)
{
   struct service_fixture *fixture = create("none", NULL);
   Kvstore__V1__WaitDurableRequest request = KVSTORE__V1__WAIT_DURABLE_REQUEST__INIT;
   request.version = 2;
   service_refused(fixture, "KeyValueService/WaitDurable", &request.base, KV_OUT_OF_RANGE,
                   "version: 2 given, and the last change has version 1", NULL);
   service_fixture_destroy(fixture);
   (void)state;
}

static void a_mode_that_syncs_each_write_has_synced_it(void **state)
{
   struct service_fixture *fixture = create("aof", "always");
   assert_int_equal(wait_for(fixture, 0, DURABILITY(UNSPECIFIED)), 1);
   assert_int_equal(wait_for(fixture, 1, DURABILITY(WRITTEN)), 1);
   assert_int_equal(saved_version(fixture), 0);
   service_fixture_destroy(fixture);
   (void)state;
}

static void a_mode_that_syncs_by_itself_is_waited_for(void **state)
{
   struct service_fixture *fixture = create("aof", "everysec");
   assert_int_equal(wait_for(fixture, 1, DURABILITY(WRITTEN)), 1);
   assert_int_equal(wait_for(fixture, 0, DURABILITY(SYNCED)), 1);
   assert_int_equal(wait_for(fixture, 1, DURABILITY(SYNCED)), 1);
   assert_int_equal(saved_version(fixture), 0);
   service_fixture_destroy(fixture);
   (void)state;
}

static void a_mode_that_never_syncs_by_itself_is_told_to(void **state)
{
   struct service_fixture *fixture = create("aof", "no");
   assert_int_equal(wait_for(fixture, 1, DURABILITY(WRITTEN)), 1);
   assert_int_equal(saved_version(fixture), 0);
   assert_int_equal(wait_for(fixture, 0, DURABILITY(SYNCED)), 1);
   assert_int_equal(wait_for(fixture, 1, DURABILITY(SYNCED)), 1);
   assert_int_equal(saved_version(fixture), 0);
   service_fixture_destroy(fixture);
   (void)state;
}

static void a_mode_of_checkpoints_makes_one(void **state)
{
   struct service_fixture *fixture = create("snapshot", NULL);
   assert_int_equal(wait_for(fixture, 0, DURABILITY(WRITTEN)), 1);
   assert_int_equal(saved_version(fixture), 1);
   service_set(fixture, "b", "v");
   assert_int_equal(wait_for(fixture, 1, DURABILITY(SYNCED)), 1);
   assert_int_equal(saved_version(fixture), 1);
   assert_int_equal(wait_for(fixture, 2, DURABILITY(SYNCED)), 2);
   assert_int_equal(saved_version(fixture), 2);
   service_fixture_destroy(fixture);
   (void)state;
}

#define MANY 50

static void many_that_wait_are_all_answered(void **state)
{
   struct service_fixture *fixture = create("snapshot", NULL);
   struct fake_answer answers[MANY];
   struct kv_call *calls[MANY];
   const Kvstore__V1__WaitDurableRequest request = KVSTORE__V1__WAIT_DURABLE_REQUEST__INIT;
   for (size_t i = 0; i < MANY; i++)
      calls[i] = service_begin(fixture, "KeyValueService/WaitDurable", &request.base, &answers[i]);
   for (size_t i = 0; i < MANY; i++) {
      fake_call_wait(calls[i]);
      fake_call_end(calls[i]);
      assert_int_equal(answers[i].code, KV_OK);
      fake_answer_deinit(&answers[i]);
   }
   service_fixture_destroy(fixture);
   (void)state;
}

static void a_call_that_is_cancelled_does_not_wait(void **state)
{
   struct service_fixture *fixture = create("aof", "everysec");
   struct fake_answer answer;
   const Kvstore__V1__WaitDurableRequest request = KVSTORE__V1__WAIT_DURABLE_REQUEST__INIT;
   struct kv_call *call =
       service_begin(fixture, "KeyValueService/WaitDurable", &request.base, &answer);
   fake_call_cancel(call);
   fake_call_wait(call);
   fake_call_end(call);
   assert_int_equal(answer.code, KV_CANCELLED);
   fake_answer_deinit(&answer);
   service_fixture_destroy(fixture);
   (void)state;
}

/* Unless the second is over before the switch is. */
static void a_switch_to_a_mode_that_keeps_nothing_ends_the_wait(void **state)
{
   struct service_fixture *fixture = create("aof", "everysec");
   struct fake_answer answer;
   const Kvstore__V1__WaitDurableRequest request = KVSTORE__V1__WAIT_DURABLE_REQUEST__INIT;
   struct kv_call *call =
       service_begin(fixture, "KeyValueService/WaitDurable", &request.base, &answer);
   service_configure(fixture, "none", NULL, NULL);
   fake_call_wait(call);
   fake_call_end(call);
   assert_true(answer.code == KV_FAILED_PRECONDITION || answer.code == KV_OK);
   fake_answer_deinit(&answer);
   service_fixture_destroy(fixture);
   (void)state;
}

static void a_server_that_stops_ends_what_waits(void **state)
{
   struct service_fixture *fixture = create("aof", "everysec");
   struct fake_answer answer;
   const Kvstore__V1__WaitDurableRequest request = KVSTORE__V1__WAIT_DURABLE_REQUEST__INIT;
   struct kv_call *call =
       service_begin(fixture, "KeyValueService/WaitDurable", &request.base, &answer);
   kv_service_drain(fixture->service);
   fake_call_wait(call);
   fake_call_end(call);
   assert_int_equal(answer.code, KV_UNAVAILABLE);
   fake_answer_deinit(&answer);
   service_refused(fixture, "KeyValueService/WaitDurable", &request.base, KV_UNAVAILABLE,
                   "stopping", NULL);
   service_fixture_destroy(fixture);
   (void)state;
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(what_is_in_memory_is_so_at_once),
       cmocka_unit_test(a_mode_that_keeps_nothing_offers_nothing_else),
       cmocka_unit_test(a_version_that_is_not_reached_is_out_of_range),
       cmocka_unit_test(a_mode_that_syncs_each_write_has_synced_it),
       cmocka_unit_test(a_mode_that_syncs_by_itself_is_waited_for),
       cmocka_unit_test(a_mode_that_never_syncs_by_itself_is_told_to),
       cmocka_unit_test(a_mode_of_checkpoints_makes_one),
       cmocka_unit_test(many_that_wait_are_all_answered),
       cmocka_unit_test(a_call_that_is_cancelled_does_not_wait),
       cmocka_unit_test(a_switch_to_a_mode_that_keeps_nothing_ends_the_wait),
       cmocka_unit_test(a_server_that_stops_ends_what_waits),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
