/* Configure: what it answers and refuses, and how calls wait for the control thread. */
#include "tests/support/service_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Configure ---- */

#define OPTIONS_MAX 2

struct configure {
   Kvstore__V1__ConfigureRequest request;
   Kvstore__V1__MapEntry entries[OPTIONS_MAX], *pointers[OPTIONS_MAX];
};

static void begin_configure(struct configure *configure, const char *plugin)
{
   kvstore__v1__configure_request__init(&configure->request);
   configure->request.plugin = service_text(plugin);
   configure->request.options = configure->pointers;
}

static void add_option(struct configure *configure, const char *name, const char *value)
{
   size_t i = configure->request.n_options++;
   assert_true(i < OPTIONS_MAX);
   kvstore__v1__map_entry__init(&configure->entries[i]);
   configure->entries[i].key = service_text(name);
   configure->entries[i].value = service_text(value);
   configure->pointers[i] = &configure->entries[i];
}

static Kvstore__V1__ConfigureResponse *run_configure(const struct service_fixture *fixture,
                                                     const struct configure *configure)
{
   return service_reply(fixture, "Configure", &configure->request.base,
                        &kvstore__v1__configure_response__descriptor);
}

static void refuse_configure(const struct service_fixture *fixture,
                             const struct configure *configure, enum kv_code code, const char *part,
                             const char *other_part)
{
   service_refused(fixture, "Configure", &configure->request.base, code, part, other_part, NULL);
}

static void configure_answers_what_is_in_force(void **state)
{
   struct configure configure;
   service_set(*state, "k", "v");
   begin_configure(&configure, "snapshot");
   add_option(&configure, "max_snapshots", "7");
   Kvstore__V1__ConfigureResponse *reply = run_configure(*state, &configure);
   service_assert_text(reply->plugin, "snapshot");
   assert_int_equal(reply->generation, 2);
   assert_int_equal(reply->version, 1);
   assert_null(reply->shadow);
   assert_int_equal(reply->n_options, 3);
   service_assert_text(reply->options[1]->key, "max_snapshots");
   service_assert_text(reply->options[1]->value, "7");
   kvstore__v1__configure_response__free_unpacked(reply, NULL);
   service_assert_option(*state, "max_snapshots", "7");
}

static void what_configure_cannot_switch_to_is_refused_and_changes_nothing(void **state)
{
   struct configure configure;
   begin_configure(&configure, "");
   refuse_configure(*state, &configure, KV_INVALID_ARGUMENT, "plugin: is empty", "ListPlugins");
   begin_configure(&configure, "a\xff");
   refuse_configure(*state, &configure, KV_INVALID_ARGUMENT, "plugin: byte 0xff at offset 1",
                    "UTF-8");
   begin_configure(&configure, "missing");
   refuse_configure(*state, &configure, KV_NOT_FOUND, "no plug-in \"missing\"", "known: ");
   begin_configure(&configure, "snapshot");
   add_option(&configure, "\xff", "1");
   refuse_configure(*state, &configure, KV_INVALID_ARGUMENT, "options key: byte 0xff", "UTF-8");
   begin_configure(&configure, "snapshot");
   add_option(&configure, "max_snapshots", "\xff");
   refuse_configure(*state, &configure, KV_INVALID_ARGUMENT, "options value: byte 0xff", "UTF-8");
   begin_configure(&configure, "snapshot");
   add_option(&configure, "color", "1");
   refuse_configure(*state, &configure, KV_INVALID_ARGUMENT, "has no option \"color\"",
                    "it has: snapshot_interval");
   begin_configure(&configure, "snapshot");
   add_option(&configure, "max_snapshots", "many");
   refuse_configure(*state, &configure, KV_INVALID_ARGUMENT, "max_snapshots", "\"many\"");
   begin_configure(&configure, "faulty");
   add_option(&configure, "open", "io");
   refuse_configure(*state, &configure, KV_UNAVAILABLE, "plug-in faulty", "told to fail");
   Kvstore__V1__GetStatusResponse *status = service_status(*state);
   service_assert_text(status->plugin, "none");
   assert_int_equal(status->generation, 1);
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
}

static void validate_only_answers_what_would_be_in_force(void **state)
{
   struct configure configure;
   begin_configure(&configure, "snapshot");
   configure.request.validate_only = true;
   add_option(&configure, "max_snapshots", "7");
   Kvstore__V1__ConfigureResponse *reply = run_configure(*state, &configure);
   service_assert_text(reply->plugin, "snapshot");
   assert_int_equal(reply->generation, 1);
   service_assert_text(reply->options[1]->value, "7");
   kvstore__v1__configure_response__free_unpacked(reply, NULL);
   begin_configure(&configure, "faulty");
   configure.request.validate_only = true;
   add_option(&configure, "open", "io");
   refuse_configure(*state, &configure, KV_UNAVAILABLE, "told to fail", "plug-in faulty");
   Kvstore__V1__GetStatusResponse *status = service_status(*state);
   service_assert_text(status->plugin, "none");
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
}

static void refuse_etag(const struct service_fixture *fixture, const struct configure *configure)
{
   refuse_configure(fixture, configure, KV_FAILED_PRECONDITION,
                    "etag: the configuration is another one by now", "GetStatus");
}

static void an_etag_lets_only_the_configuration_that_was_seen_be_changed(void **state)
{
   Kvstore__V1__GetStatusResponse *first = service_status(*state);
   assert_int_equal(first->etag.len, 32);
   struct configure configure;
   begin_configure(&configure, "snapshot");
   configure.request.etag = first->etag;
   configure.request.validate_only = true;
   Kvstore__V1__ConfigureResponse *reply = run_configure(*state, &configure);
   assert_memory_equal(reply->etag.data, first->etag.data, 32); /* of what is in force */
   kvstore__v1__configure_response__free_unpacked(reply, NULL);
   configure.request.validate_only = false;
   reply = run_configure(*state, &configure);
   assert_int_equal(reply->etag.len, 32);
   assert_memory_not_equal(reply->etag.data, first->etag.data, 32);

   add_option(&configure, "max_snapshots", "7");
   refuse_etag(*state, &configure);
   configure.request.validate_only = true;
   refuse_etag(*state, &configure);
   configure.request.validate_only = false;
   configure.request.shadow = true;
   refuse_etag(*state, &configure);
   configure.request.shadow = false;
   configure.request.etag = service_text("no etag");
   refuse_etag(*state, &configure);
   service_assert_option(*state, "max_snapshots", "5");

   configure.request.etag = reply->etag; /* that of the answer is good for the next change */
   kvstore__v1__configure_response__free_unpacked(run_configure(*state, &configure), NULL);
   service_assert_option(*state, "max_snapshots", "7");
   configure.request.n_options = 0; /* another option of the same plug-in is another one too */
   refuse_etag(*state, &configure);
   kvstore__v1__configure_response__free_unpacked(reply, NULL);
   kvstore__v1__get_status_response__free_unpacked(first, NULL);
}

/* ---- Configure with shadow ---- */

static void begin_shadow(struct configure *configure, const char *plugin)
{
   begin_configure(configure, plugin);
   configure->request.shadow = true;
   configure->request.shadow_time_case = KVSTORE__V1__CONFIGURE_REQUEST__SHADOW_TIME_SHADOW_SECONDS;
}

static void a_shadow_run_reports_and_leaves_the_mode_alone(void **state)
{
   struct configure configure;
   service_set(*state, "k", "v");
   begin_shadow(&configure, "aof");
   add_option(&configure, "fsync", "no");
   Kvstore__V1__ConfigureResponse *reply = run_configure(*state, &configure);
   const Kvstore__V1__ShadowReport *report = reply->shadow;
   service_assert_text(reply->plugin, "none");
   assert_non_null(report);
   assert_int_equal(report->outcome, KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_EQUAL);
   service_assert_text(report->plugin, "aof");
   service_assert_text(report->options[0]->value, "no");
   assert_int_equal(report->keys, 1);
   assert_int_equal(report->loaded_keys, 1);
   assert_int_equal(report->bytes, 2);
   assert_int_equal(report->live_digest.len, 32);
   assert_memory_equal(report->live_digest.data, report->loaded_digest.data, 32);
   assert_int_equal(report->differences, 0);
   assert_null(report->first_difference);
   service_assert_text(report->candidate_writes->name, "on_write");
   kvstore__v1__configure_response__free_unpacked(reply, NULL);
}

static void a_shadow_run_that_loses_a_key_names_it(void **state)
{
   struct configure configure;
   service_set(*state, "a key", "v");
   begin_shadow(&configure, "faulty"); /* promises to keep all, and keeps nothing */
   Kvstore__V1__ConfigureResponse *reply = run_configure(*state, &configure);
   assert_int_equal(reply->shadow->outcome, KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_DIFFERENT);
   assert_int_equal(reply->shadow->differences, 1);
   assert_int_equal(reply->shadow->first_difference->kind,
                    KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_MISSING);
   service_assert_text(reply->shadow->first_difference->key, "a key");
   assert_int_equal(reply->shadow->first_difference->key_size, 5);
   kvstore__v1__configure_response__free_unpacked(reply, NULL);
}

static void a_shadow_run_whose_plugin_fails_says_how(void **state)
{
   struct configure configure;
   begin_shadow(&configure, "faulty");
   add_option(&configure, "tick", "io");
   Kvstore__V1__ConfigureResponse *reply = run_configure(*state, &configure);
   assert_int_equal(reply->shadow->outcome, KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_FAILED);
   assert_non_null(memmem(reply->shadow->error.data, reply->shadow->error.len, "told to fail", 12));
   kvstore__v1__configure_response__free_unpacked(reply, NULL);
}

static void a_shadow_run_that_cannot_be_is_refused(void **state)
{
   struct configure configure;
   begin_shadow(&configure, "aof");
   configure.request.shadow = false;
   refuse_configure(*state, &configure, KV_INVALID_ARGUMENT, "shadow_seconds: ", "without shadow");
   begin_shadow(&configure, "aof");
   configure.request.shadow_seconds = 86401;
   refuse_configure(*state, &configure, KV_INVALID_ARGUMENT, "shadow_seconds: 86401", "86400");
   begin_shadow(&configure, "missing");
   refuse_configure(*state, &configure, KV_NOT_FOUND, "no plug-in \"missing\"", "known: ");
}

/* ---- Calls that wait for one another ---- */

static const Kvstore__V1__SaveRequest save = KVSTORE__V1__SAVE_REQUEST__INIT;

/* The control thread, held in a checkpoint; let go of by closing `gate`. */
struct held {
   const struct service_fixture *fixture;
   struct kv_call *save;
   struct fake_answer answer;
   int gate;
};

static void hold(struct held *held, const struct service_fixture *fixture)
{
   char path[TEMPORARY_PATH_SIZE];
   temporary_path(&fixture->folder, "gate", path);
   service_configure(fixture, "gated", "checkpoint_gate", path);
   service_set(fixture, "k", "v"); /* it waits behind the first entry of the view */
   assert_int_equal(mkfifo(path, 0600), 0);
   held->fixture = fixture;
   held->save = service_begin(fixture, "Save", &save.base, &held->answer);
   held->gate = open(path, O_WRONLY); /* returns when the plug-in has come to the gate */
   assert_true(held->gate >= 0);
   assert_int_equal(unlink(path), 0);
}

static void let_go(struct held *held)
{
   assert_int_equal(close(held->gate), 0);
   fake_call_wait(held->save);
   assert_int_equal(held->answer.code, KV_OK);
   fake_call_end(held->save);
   fake_answer_deinit(&held->answer);
}

static void end_call(struct kv_call *call, struct fake_answer *answer, enum kv_code expected)
{
   fake_call_wait(call);
   assert_int_equal(answer->code, expected);
   fake_call_end(call);
   fake_answer_deinit(answer);
}

static void saves_that_wait_are_answered_together(void **state)
{
   struct held held;
   struct fake_answer answers[3];
   struct kv_call *calls[3];
   hold(&held, *state);
   service_set(*state, "later", "v");
   for (size_t i = 0; i < 3; i++)
      calls[i] = service_begin(*state, "Save", &save.base, &answers[i]);
   let_go(&held);
   for (size_t i = 0; i < 3; i++) {
      fake_call_wait(calls[i]);
      Kvstore__V1__SaveResponse *reply = kvstore__v1__save_response__unpack(
          NULL, answers[i].messages[0].size, answers[i].messages[0].data);
      assert_int_equal(reply->version, 2);
      kvstore__v1__save_response__free_unpacked(reply, NULL);
      end_call(calls[i], &answers[i], KV_OK);
   }
}

static void a_call_that_is_cancelled_while_it_waits_does_nothing(void **state)
{
   struct held held;
   struct configure configure;
   const Kvstore__V1__ListPluginsRequest list = KVSTORE__V1__LIST_PLUGINS_REQUEST__INIT;
   struct fake_answer switched, listed;
   hold(&held, *state);
   begin_configure(&configure, "none");
   struct kv_call *switches =
       service_begin(*state, "Configure", &configure.request.base, &switched);
   struct kv_call *lists = service_begin(*state, "ListPlugins", &list.base, &listed);
   fake_call_cancel(switches);
   fake_call_cancel(lists);
   let_go(&held);
   end_call(switches, &switched, KV_CANCELLED);
   end_call(lists, &listed, KV_CANCELLED);
   Kvstore__V1__GetStatusResponse *status = service_status(*state);
   service_assert_text(status->plugin, "gated");
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
}

static void
configures_that_ask_for_the_same_are_answered_together_and_others_on_their_own(void **state)
{
   enum { CALLS = 4 };
   static const char *const numbers[CALLS] = {"7", "7", "8", "x"};
   struct held held;
   struct fake_answer answers[CALLS];
   struct kv_call *calls[CALLS];
   hold(&held, *state);
   for (size_t i = 0; i < CALLS; i++) {
      struct configure configure;
      begin_configure(&configure, "snapshot");
      add_option(&configure, "max_snapshots", numbers[i]);
      calls[i] = service_begin(*state, "Configure", &configure.request.base, &answers[i]);
   }
   let_go(&held);
   for (size_t i = 0; i < CALLS - 1; i++) {
      fake_call_wait(calls[i]);
      Kvstore__V1__ConfigureResponse *reply = kvstore__v1__configure_response__unpack(
          NULL, answers[i].messages[0].size, answers[i].messages[0].data);
      service_assert_text(reply->options[1]->value, numbers[i]);
      assert_int_equal(reply->generation, i < 2 ? 3 : 4);
      kvstore__v1__configure_response__free_unpacked(reply, NULL);
      end_call(calls[i], &answers[i], KV_OK);
   }
   end_call(calls[CALLS - 1], &answers[CALLS - 1], KV_INVALID_ARGUMENT);
}

static void too_many_calls_that_wait_are_refused_at_once(void **state)
{
   enum { CALLS = 512 };
   const Kvstore__V1__ListPluginsRequest list = KVSTORE__V1__LIST_PLUGINS_REQUEST__INIT;
   static struct fake_answer answers[CALLS]; /* large */
   struct kv_call *calls[CALLS];
   struct held held;
   size_t count = 0;
   hold(&held, *state);
   do {
      assert_true(count < CALLS);
      calls[count] = service_begin(*state, "ListPlugins", &list.base, &answers[count]);
   } while (!fake_call_is_answered(calls[count++]));
   assert_non_null(strstr(answers[count - 1].text, "too many requests are waiting"));
   end_call(calls[count - 1], &answers[count - 1], KV_RESOURCE_EXHAUSTED);
   let_go(&held);
   for (size_t i = 0; i + 1 < count; i++)
      end_call(calls[i], &answers[i], KV_OK);
}

#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, service_fixture_set_up, service_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(configure_answers_what_is_in_force),
       TEST(what_configure_cannot_switch_to_is_refused_and_changes_nothing),
       TEST(validate_only_answers_what_would_be_in_force),
       TEST(an_etag_lets_only_the_configuration_that_was_seen_be_changed),
       TEST(a_shadow_run_reports_and_leaves_the_mode_alone),
       TEST(a_shadow_run_that_loses_a_key_names_it),
       TEST(a_shadow_run_whose_plugin_fails_says_how),
       TEST(a_shadow_run_that_cannot_be_is_refused),
       TEST(saves_that_wait_are_answered_together),
       TEST(a_call_that_is_cancelled_while_it_waits_does_nothing),
       TEST(configures_that_ask_for_the_same_are_answered_together_and_others_on_their_own),
       TEST(too_many_calls_that_wait_are_refused_at_once),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
