/* Config, which is frozen: what its modes, numbers and defaults come to. */
#include "tests/support/service_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static Kvstore__ConfigRequest config_of(Kvstore__StorageMode mode)
{
   Kvstore__ConfigRequest request = KVSTORE__CONFIG_REQUEST__INIT;
   request.storage_mode = mode;
   return request;
}

static void config(const struct service_fixture *fixture, const Kvstore__ConfigRequest *request)
{
   Kvstore__ConfigResponse *reply =
       service_reply(fixture, "Config", &request->base, &kvstore__config_response__descriptor);
   assert_true(reply->success);
   kvstore__config_response__free_unpacked(reply, NULL);
}

static void assert_plugin(const struct service_fixture *fixture, const char *expected)
{
   Kvstore__V1__GetStatusResponse *status = service_status(fixture);
   service_assert_text(status->plugin, expected);
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
}

static void each_mode_is_a_plugin_with_its_defaults_and_keeps_the_data(void **state)
{
   static const struct {
      Kvstore__StorageMode mode;
      const char *plugin;
      const char *option, *value, *other_option, *other_value;
   } modes[] = {
       {KVSTORE__STORAGE_MODE__AOF, "aof", "aof_max_size", "10485760", "fsync", "always"},
       {KVSTORE__STORAGE_MODE__HYBRID, "hybrid", "snapshot_interval", "300", "aof_max_size",
        "10485760"},
       {KVSTORE__STORAGE_MODE__SNAPSHOT, "snapshot", "snapshot_interval", "300", "max_snapshots",
        "5"},
       {KVSTORE__STORAGE_MODE__NON_PERSISTENT, "none", NULL, NULL, NULL, NULL},
   };
   service_set(*state, "k", "v");
   for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
      const Kvstore__ConfigRequest request = config_of(modes[i].mode);
      config(*state, &request);
      assert_plugin(*state, modes[i].plugin);
      if (modes[i].option) {
         service_assert_option(*state, modes[i].option, modes[i].value);
         service_assert_option(*state, modes[i].other_option, modes[i].other_value);
      }
      service_assert_value(*state, "k", "v");
   }
}

static void numbers_are_options_of_the_mode(void **state)
{
   Kvstore__ConfigRequest request = config_of(KVSTORE__STORAGE_MODE__HYBRID);
   request.snapshot_interval = 60;
   request.max_snapshots = 2;
   request.aof_max_size = 1 << 20;
   config(*state, &request);
   service_assert_option(*state, "snapshot_interval", "60");
   service_assert_option(*state, "max_snapshots", "2");
   service_assert_option(*state, "aof_max_size", "1048576");
   const Kvstore__ConfigRequest defaults = config_of(KVSTORE__STORAGE_MODE__HYBRID);
   config(*state, &defaults);
   service_assert_option(*state, "snapshot_interval", "300");
}

static void a_number_beyond_its_limits_becomes_the_nearest_one(void **state)
{
   Kvstore__ConfigRequest request = config_of(KVSTORE__STORAGE_MODE__SNAPSHOT);
   request.snapshot_interval = INT32_MAX;
   request.max_snapshots = INT32_MAX;
   config(*state, &request);
   service_assert_option(*state, "snapshot_interval", "31536000");
   service_assert_option(*state, "max_snapshots", "1000");
   request = config_of(KVSTORE__STORAGE_MODE__AOF);
   request.aof_max_size = 1;
   config(*state, &request);
   service_assert_option(*state, "aof_max_size", "4096");
   request.aof_max_size = INT64_MAX;
   config(*state, &request);
   service_assert_option(*state, "aof_max_size", "1099511627776");
}

static void a_number_that_the_mode_has_no_use_for_is_ignored(void **state)
{
   Kvstore__ConfigRequest request = config_of(KVSTORE__STORAGE_MODE__AOF);
   request.snapshot_interval = -1;
   request.max_snapshots = 7;
   config(*state, &request);
   assert_plugin(*state, "aof");
   request = config_of(KVSTORE__STORAGE_MODE__NON_PERSISTENT);
   request.aof_max_size = -1;
   config(*state, &request);
   assert_plugin(*state, "none");
}

static void a_negative_number_and_an_unknown_mode_are_refused_and_change_nothing(void **state)
{
   Kvstore__ConfigRequest request = config_of(KVSTORE__STORAGE_MODE__SNAPSHOT);
   request.max_snapshots = -3;
   service_refused(*state, "Config", &request.base, KV_INVALID_ARGUMENT,
                   "max_snapshots: -3 is negative", "0 for the default", NULL);
   request = config_of(KVSTORE__STORAGE_MODE__HYBRID);
   request.aof_max_size = INT64_MIN;
   service_refused(*state, "Config", &request.base, KV_INVALID_ARGUMENT, "aof_max_size: ", NULL);
   request = config_of((Kvstore__StorageMode)4);
   service_refused(*state, "Config", &request.base, KV_INVALID_ARGUMENT,
                   "storage_mode: 4 is not a mode", "3 (NON_PERSISTENT)", NULL);
   request = config_of((Kvstore__StorageMode)-1);
   service_refused(*state, "Config", &request.base, KV_INVALID_ARGUMENT, "storage_mode: -1", NULL);
   assert_plugin(*state, "none");
}

static void what_is_in_force_already_is_not_begun_anew(void **state)
{
   const Kvstore__ConfigRequest request = config_of(KVSTORE__STORAGE_MODE__SNAPSHOT);
   config(*state, &request);
   Kvstore__V1__GetStatusResponse *before = service_status(*state);
   config(*state, &request);
   Kvstore__V1__GetStatusResponse *after = service_status(*state);
   assert_int_equal(after->generation, before->generation);
   kvstore__v1__get_status_response__free_unpacked(before, NULL);
   kvstore__v1__get_status_response__free_unpacked(after, NULL);
}

#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, service_fixture_set_up, service_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(each_mode_is_a_plugin_with_its_defaults_and_keeps_the_data),
       TEST(numbers_are_options_of_the_mode),
       TEST(a_number_beyond_its_limits_becomes_the_nearest_one),
       TEST(a_number_that_the_mode_has_no_use_for_is_ignored),
       TEST(a_negative_number_and_an_unknown_mode_are_refused_and_change_nothing),
       TEST(what_is_in_force_already_is_not_begun_anew),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
