#include "core/host/stack.h"

#include "tests/support/temporary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct fixture {
   struct temporary directory;
   struct kv_plugin_library *library;
   struct kv_plugin_stack *stack;
   const kvs_stack *offered;
   const kvs_plugin *plugin;
   const kvs_setting *settings;
   size_t count;
   kvs_error error;
};

static void put(struct fixture *fixture, const char *name)
{
   char from[TEMPORARY_PATH_SIZE], file[64];
   snprintf(from, sizeof from, TEST_PLUGIN_DIR "/%s.so", name);
   snprintf(file, sizeof file, "%s.so", name);
   temporary_copy(&fixture->directory, from, file);
}

/* The stack of an instance of gated; faulty keeps each write, memory the last checkpoint. */
static int set_up(void **state)
{
   static struct fixture fixture;
   memset(&fixture, 0, sizeof fixture);
   fixture.error.size = sizeof fixture.error;
   temporary_create(&fixture.directory);
   put(&fixture, "gated");
   put(&fixture, "faulty");
   put(&fixture, "memory");
   struct kv_status status;
   const kvs_plugin *wrapper;
   fixture.library = kv_plugin_library_create(fixture.directory.path, &status);
   assert_non_null(fixture.library);
   assert_int_equal(kv_plugin_library_find(fixture.library, "gated", &wrapper, &status), KV_OK);
   fixture.stack = kv_plugin_stack_create(fixture.library, wrapper, NULL);
   assert_non_null(fixture.stack);
   fixture.offered = kv_plugin_stack_extension(fixture.stack);
   *state = &fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   kv_plugin_stack_destroy(fixture->stack);
   kv_plugin_library_destroy(fixture->library);
   temporary_remove(&fixture->directory);
   return 0;
}

static int find(struct fixture *fixture, const char *name, uint32_t promise)
{
   return fixture->offered->find(fixture->offered, name, promise, &fixture->plugin,
                                 &fixture->error);
}

/* Of faulty. */
static int set(struct fixture *fixture, const char *options)
{
   if (!fixture->plugin)
      assert_int_equal(find(fixture, "faulty", KVS_DURABLE), KVS_OK);
   return fixture->offered->settings(fixture->offered, fixture->plugin, options, &fixture->settings,
                                     &fixture->count, &fixture->error);
}

static void assert_said(const struct fixture *fixture, const char *part)
{
   if (!strstr(fixture->error.text, part))
      fail_msg("\"%s\" is not in: %s", part, fixture->error.text);
}

static const char *text_of(const struct fixture *fixture, const char *name)
{
   for (size_t i = 0; i < fixture->count; i++)
      if (strcmp(fixture->settings[i].name, name) == 0)
         return fixture->settings[i].text;
   fail_msg("there is no setting %s", name);
   return NULL;
}

/* ---- Finding ---- */

static void a_plug_in_that_promises_enough_is_found(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(find(fixture, "faulty", KVS_DURABLE), KVS_OK);
   assert_string_equal(fixture->plugin->name, "faulty");
   assert_int_equal(find(fixture, "memory", KVS_PERIODIC), KVS_OK);
   assert_string_equal(fixture->plugin->name, "memory");
}

static void one_that_promises_less_is_refused_with_those_that_do_not(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(find(fixture, "memory", KVS_DURABLE), KVS_INVALID);
   assert_said(fixture, "memory");
   assert_said(fixture, "only the last checkpoint");
   assert_said(fixture, "it can on: faulty");
}

static void a_plug_in_cannot_stack_on_itself(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(find(fixture, "gated", KVS_VOLATILE), KVS_INVALID);
   assert_said(fixture, "itself");
   assert_said(fixture, "it can on: faulty, memory");
}

static void an_unknown_name_or_a_path_is_refused(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(find(fixture, "nosuch", KVS_VOLATILE), KVS_INVALID);
   assert_said(fixture, "known: faulty, gated, memory");
   assert_int_equal(find(fixture, "../faulty", KVS_VOLATILE), KVS_INVALID);
   assert_said(fixture, "never a path");
}

/* The checks are those for a plug-in that the user names. */
static void a_file_that_others_may_write_is_refused(void **state)
{
   struct fixture *fixture = *state;
   char path[TEMPORARY_PATH_SIZE];
   assert_int_equal(chmod(temporary_path(&fixture->directory, "faulty.so", path), 0777), 0);
   assert_int_equal(find(fixture, "faulty", KVS_VOLATILE), KVS_INVALID);
   assert_said(fixture, "others could change it");
}

static void wrappers_over_wrappers_come_to_an_end(void **state)
{
   struct fixture *fixture = *state;
   for (int i = 0; i < KV_STACK_PLUGINS_MAX; i++)
      assert_int_equal(find(fixture, "faulty", KVS_DURABLE), KVS_OK);
   assert_int_equal(find(fixture, "faulty", KVS_DURABLE), KVS_INVALID);
   assert_said(fixture, "more than 8");
}

/* ---- The host below the wrapper ---- */

static int take(void *context, const kvs_host *host, const kvs_tick *tick, kvs_error *error)
{
   (void)host, (void)error;
   *(uint64_t *)context += tick->view_sequence;
   return KVS_OK;
}

struct wrapper_host {
   kvs_host host; /* first */
   const kvs_stack *stack;
};

static const void *extension_of(const kvs_host *host, const char *name)
{
   assert_string_equal(name, KVS_EXTENSION_STACK);
   return ((const struct wrapper_host *)host)->stack;
}

static void a_host_that_stands_in_is_found_under_any_name_and_takes_no_options(void **state)
{
   struct fixture *fixture = *state;
   const kvs_plugin *wrapper;
   struct kv_status status;
   uint64_t taken = 0;
   const struct kv_inner inner = {.context = &taken, .checkpoint = take};
   assert_int_equal(kv_plugin_library_find(fixture->library, "gated", &wrapper, &status), KV_OK);
   struct kv_plugin_stack *stack = kv_plugin_stack_create(fixture->library, wrapper, &inner);
   const kvs_stack *offered = kv_plugin_stack_extension(stack);
   const kvs_plugin *plugin;
   assert_false(kv_plugin_stack_is_used(stack));
   assert_int_equal(offered->find(offered, "nosuch", KVS_DURABLE, &plugin, &fixture->error),
                    KVS_OK);
   assert_true(kv_plugin_stack_is_used(stack));
   assert_true(plugin->promise == KVS_DURABLE && (plugin->flags & KVS_PLUGIN_COPIES));
   assert_int_equal(offered->settings(offered, plugin, "fsync=no,not even", &fixture->settings,
                                      &fixture->count, &fixture->error),
                    KVS_OK);
   assert_int_equal(fixture->count, 0);

   const struct wrapper_host host = {{.size = sizeof host.host, .extension = extension_of},
                                     offered};
   const kvs_tick tick = {.size = sizeof tick, .view_sequence = 7};
   void *self;
   assert_int_equal(plugin->open(&host.host, NULL, 0, &self, &fixture->error), KVS_OK);
   assert_int_equal(plugin->on_load(self, &fixture->error), KVS_OK);
   assert_int_equal(plugin->on_tick(self, &tick, &fixture->error), KVS_OK);
   assert_int_equal(taken, 7);
   /* What is written is not kept, and so not acknowledged. */
   assert_int_equal(plugin->on_write(self, NULL, 1, 0, &fixture->error), KVS_IO);
   plugin->close(self);
   const struct wrapper_host none = {.host = host.host};
   assert_int_equal(plugin->open(&none.host, NULL, 0, &self, &fixture->error), KVS_INVALID);
   kv_plugin_stack_destroy(stack);
}

/* ---- Settings ---- */

static void options_are_checked_and_defaults_filled_in(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(set(fixture, "record=good,loaded_to=7"), KVS_OK);
   assert_int_equal(fixture->count, fixture->plugin->option_count);
   assert_string_equal(text_of(fixture, "record"), "good");
   assert_string_equal(text_of(fixture, "loaded_to"), "7");
   assert_string_equal(text_of(fixture, "text"), "told to fail");
   assert_int_equal(set(fixture, ""), KVS_OK);
   assert_string_equal(text_of(fixture, "record"), "none");
}

static void values_may_hold_every_character(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(set(fixture, "text=a\\,b=c\\\\d\\e,loaded_to=1"), KVS_OK);
   assert_string_equal(text_of(fixture, "text"), "a,b=c\\d\\e");
   assert_int_equal(set(fixture, "text="), KVS_OK);
   assert_string_equal(text_of(fixture, "text"), "");
}

static void settings_live_as_long_as_the_stack(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(set(fixture, "text=first"), KVS_OK);
   const kvs_setting *first = fixture->settings;
   assert_int_equal(set(fixture, "text=second"), KVS_OK);
   fixture->settings = first;
   assert_string_equal(text_of(fixture, "text"), "first");
}

static void what_is_no_option_is_refused(void **state)
{
   static const struct {
      const char *options, *part;
   } wrong[] = {{"record", "name=value"},
                {"=good", "name=value"},
                {"record=good,", "name=value"},
                {"color=red", "no option \"color\""},
                {"record=good,record=good", "twice"},
                {"record=better", "none|good"},
                {"loaded_to=many", "whole number"}};
   struct fixture *fixture = *state;
   for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
      assert_int_equal(set(fixture, wrong[i].options), KVS_INVALID);
      assert_said(fixture, wrong[i].part);
   }
}

static void more_options_than_a_plug_in_can_have_are_refused(void **state)
{
   struct fixture *fixture = *state;
   char options[8 * 100] = "";
   for (int i = 0; i < 100; i++)
      snprintf(options + 6 * (size_t)i, 7, "a%03d=,", i);
   options[6 * 100 - 1] = '\0';
   assert_int_equal(set(fixture, options), KVS_INVALID);
   assert_said(fixture, "more than 64");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
   const struct CMUnitTest tests[] = {
       TEST(a_plug_in_that_promises_enough_is_found),
       TEST(one_that_promises_less_is_refused_with_those_that_do_not),
       TEST(a_plug_in_cannot_stack_on_itself),
       TEST(an_unknown_name_or_a_path_is_refused),
       TEST(a_host_that_stands_in_is_found_under_any_name_and_takes_no_options),
       TEST(a_file_that_others_may_write_is_refused),
       TEST(wrappers_over_wrappers_come_to_an_end),
       TEST(options_are_checked_and_defaults_filled_in),
       TEST(values_may_hold_every_character),
       TEST(settings_live_as_long_as_the_stack),
       TEST(what_is_no_option_is_refused),
       TEST(more_options_than_a_plug_in_can_have_are_refused),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
