/* ListPlugins, Save and GetStatus: what each answers, and how it refuses. */
#include "tests/support/service_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* ---- ListPlugins ---- */

static const Kvstore__V1__Plugin *find_plugin(const Kvstore__V1__ListPluginsResponse *reply,
                                              const char *name)
{
   for (size_t i = 0; i < reply->n_plugins; i++)
      if (reply->plugins[i]->name.len == strlen(name) &&
          memcmp(reply->plugins[i]->name.data, name, strlen(name)) == 0)
         return reply->plugins[i];
   fail_msg("plug-in %s is not listed", name);
   return NULL;
}

static void plugins_are_listed_with_their_options_or_why_they_cannot_be_loaded(void **state)
{
   const Kvstore__V1__ListPluginsRequest request = KVSTORE__V1__LIST_PLUGINS_REQUEST__INIT;
   Kvstore__V1__ListPluginsResponse *reply = service_reply(
       *state, "ListPlugins", &request.base, &kvstore__v1__list_plugins_response__descriptor);
   assert_true(find_plugin(reply, "none")->active);
   const Kvstore__V1__Plugin *aof = find_plugin(reply, "aof");
   assert_false(aof->active);
   assert_int_equal(aof->promise, KVSTORE__V1__PLUGIN__PROMISE__PROMISE_DURABLE);
   assert_true(aof->version.len > 0 && aof->description.len > 0 && aof->error.len == 0);
   const Kvstore__V1__Plugin__Option *fsync_option = aof->options[0];
   service_assert_text(fsync_option->name, "fsync");
   service_assert_text(fsync_option->type, "choice");
   service_assert_text(fsync_option->default_value, "always");
   assert_int_equal(fsync_option->n_choices, 3);
   service_assert_text(fsync_option->choices[1], "everysec");
   service_assert_text(aof->options[1]->type, "size");
   assert_int_equal(aof->options[1]->minimum, 4096);
   const Kvstore__V1__Plugin *bad = find_plugin(reply, "other_abi");
   assert_non_null(memmem(bad->error.data, bad->error.len, "plug-in ABI 99", 14));
   assert_int_equal(bad->n_options, 0);
   kvstore__v1__list_plugins_response__free_unpacked(reply, NULL);
}

/* ---- Save ---- */

static const Kvstore__V1__SaveRequest save = KVSTORE__V1__SAVE_REQUEST__INIT;

static void save_answers_up_to_where_everything_is_in_the_checkpoint(void **state)
{
   service_configure(*state, "snapshot", NULL, NULL);
   service_set(*state, "a", "v");
   service_set(*state, "b", "v");
   Kvstore__V1__SaveResponse *reply =
       service_reply(*state, "Save", &save.base, &kvstore__v1__save_response__descriptor);
   assert_int_equal(reply->version, 2);
   kvstore__v1__save_response__free_unpacked(reply, NULL);
   Kvstore__V1__GetStatusResponse *status = service_status(*state);
   assert_int_equal(status->last_save_version, 2);
   assert_true(status->last_save_unix_ms > 0);
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
}

static void save_is_refused_in_a_mode_that_keeps_nothing(void **state)
{
   service_refused(*state, "Save", &save.base, KV_FAILED_PRECONDITION, "mode \"none\"",
                   "kvstore-cli configure hybrid", NULL);
}

static void a_checkpoint_that_fails_is_the_answer_and_the_last_error(void **state)
{
   (void)state;
   static const struct kv_mode_option options[] = {{"tick", "io"}};
   const struct service_setup setup = {.mode = "faulty", .options = options, .option_count = 1};
   struct service_fixture *fixture = service_fixture_create(&setup);
   service_refused(fixture, "Save", &save.base, KV_UNAVAILABLE, "told to fail", NULL);
   Kvstore__V1__GetStatusResponse *status = service_status(fixture);
   assert_non_null(memmem(status->last_error.data, status->last_error.len, "told to fail", 12));
   assert_true(status->last_error_count > 0 && status->last_error_unix_ms > 0);
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
   service_fixture_destroy(fixture);
}

/* ---- GetStatus ---- */

static void status_shows_the_store_and_the_hooks(void **state)
{
   service_configure(*state, "aof", "fsync", "no");
   service_set(*state, "key", "value");
   Kvstore__V1__GetStatusResponse *status = service_status(*state);
   service_assert_text(status->plugin, "aof");
   assert_int_equal(status->generation, 2);
   assert_int_equal(status->version, 1);
   assert_int_equal(status->keys, 1);
   assert_int_equal(status->bytes, 8);
   assert_int_equal(status->store_id.len, 36);
   assert_true(status->server_version.len > 0);
   assert_false(status->read_only);
   assert_int_equal(status->last_error.len, 0);
   assert_int_equal(status->n_overdue, 0);
   assert_non_null(status->recovery);
   bool written = false;
   for (size_t i = 0; i < status->n_hooks; i++)
      if (status->hooks[i]->name.len == 8 && !memcmp(status->hooks[i]->name.data, "on_write", 8))
         written = status->hooks[i]->calls == 1 && status->hooks[i]->errors == 0;
   assert_true(written);
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
}

static void the_last_error_shows_no_private_path(void **state)
{
   const struct service_fixture *fixture = *state;
   char text[TEMPORARY_PATH_SIZE];
   snprintf(text, sizeof text, "no space below %s/data", fixture->folder.path);
   Kvstore__V1__MapEntry write = KVSTORE__V1__MAP_ENTRY__INIT, why = KVSTORE__V1__MAP_ENTRY__INIT;
   Kvstore__V1__MapEntry *options[] = {&write, &why};
   write.key = service_text("write");
   write.value = service_text("no_space");
   why.key = service_text("text");
   why.value = service_text(text);
   Kvstore__V1__ConfigureRequest configure = KVSTORE__V1__CONFIGURE_REQUEST__INIT;
   configure.plugin = service_text("faulty");
   configure.n_options = 2;
   configure.options = options;
   protobuf_c_message_free_unpacked(service_reply(fixture, "Configure", &configure.base,
                                                  &kvstore__v1__configure_response__descriptor),
                                    NULL);
   Kvstore__SetRequest set = KVSTORE__SET_REQUEST__INIT;
   set.key = service_text("k");
   service_refused(fixture, "Set", &set.base, KV_RESOURCE_EXHAUSTED, "no space below", NULL);
   Kvstore__V1__GetStatusResponse *status = service_status(fixture);
   assert_int_equal(status->refused_writes, 1);
   assert_non_null(
       memmem(status->last_error.data, status->last_error.len, "no space below DATA_DIR/data", 28));
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
}

#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, service_fixture_set_up, service_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(plugins_are_listed_with_their_options_or_why_they_cannot_be_loaded),
       TEST(save_answers_up_to_where_everything_is_in_the_checkpoint),
       TEST(save_is_refused_in_a_mode_that_keeps_nothing),
       cmocka_unit_test(a_checkpoint_that_fails_is_the_answer_and_the_last_error),
       TEST(status_shows_the_store_and_the_hooks),
       TEST(the_last_error_shows_no_private_path),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
