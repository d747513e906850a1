#include "core/host/instance.h"

#include "core/host/plugin_library.h"
#include "core/support/text.h"
#include "tests/support/temporary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A store, and one plug-in instance over a directory that only its name matters of. */
struct fixture {
   struct temporary plugins;
   struct kv_plugin_library *library;
   struct kv_store *store;
   struct kv_instance *instance;
   struct kv_status status;
   uint64_t sequence; /* what load told */
   unsigned wakes;
   bool give_up;
   struct kv_hook_timing *timing;
   uint64_t saved;
   char history[128]; /* what was told of it */
};

static int set_up(void **state)
{
   static struct fixture fixture;
   memset(&fixture, 0, sizeof fixture);
   temporary_create(&fixture.plugins);
   temporary_copy(&fixture.plugins, TEST_PLUGIN_DIR "/memory.so", "memory.so");
   temporary_copy(&fixture.plugins, TEST_PLUGIN_DIR "/faulty.so", "faulty.so");
   fixture.library = kv_plugin_library_create(fixture.plugins.path, &fixture.status);
   assert_non_null(fixture.library);
   fixture.store = kv_store_create();
   assert_non_null(fixture.store);
   *state = &fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   if (fixture->instance)
      kv_instance_close(fixture->instance);
   kv_store_destroy(fixture->store);
   kv_plugin_library_destroy(fixture->library);
   temporary_remove(&fixture->plugins);
   return 0;
}

static void count_wake(void *context)
{
   struct fixture *fixture = context;
   fixture->wakes++;
}

static void note_saved(void *context, uint64_t sequence)
{
   struct fixture *fixture = context;
   fixture->saved = sequence;
}

static bool is_given_up(void *context)
{
   const struct fixture *fixture = context;
   return fixture->give_up;
}

static void note_history(void *context, uint64_t sequence)
{
   struct fixture *fixture = context;
   sprintf(fixture->history + strlen(fixture->history), "above %u: ", (unsigned)sequence);
}

static void note_change(void *context, const kvs_record *record, const struct kv_entry *previous)
{
   struct fixture *fixture = context;
   const struct kv_slice before = previous ? kv_entry_value(previous) : kv_slice_of("-");
   sprintf(fixture->history + strlen(fixture->history), "%u %s=%s after %.*s, ",
           (unsigned)record->sequence, (const char *)record->key.data,
           (const char *)record->value.data, (int)before.size, (const char *)before.data);
}

static enum kv_code open_with(struct fixture *fixture, const char *name,
                              const struct kv_mode_option *options, size_t count)
{
   struct kv_instance_config config = {
       .directory = fixture->plugins.path,
       .store_id = {1, 2, 3},
       .observer = {.context = fixture,
                    .wake = count_wake,
                    .saved = note_saved,
                    .give_up = is_given_up,
                    .complete_above = note_history,
                    .loaded = note_change},
       .timing = fixture->timing,
   };
   assert_int_equal(
       kv_plugin_library_find(fixture->library, name, &config.plugin, &fixture->status), KV_OK);
   assert_int_equal(
       kv_settings_create(config.plugin, options, count, &config.settings, &fixture->status),
       KV_OK);
   return kv_instance_open(&config, &fixture->instance, &fixture->status);
}

/* The faulty plug-in with one option. */
static enum kv_code open_faulty(struct fixture *fixture, const char *option, const char *value)
{
   const struct kv_mode_option options[] = {{option, value}};
   return open_with(fixture, "faulty", options, 1);
}

static void reopen(struct fixture *fixture, const char *option, const char *value)
{
   if (fixture->instance)
      kv_instance_close(fixture->instance);
   fixture->instance = NULL;
   assert_int_equal(open_faulty(fixture, option, value), KV_OK);
}

/* Loads into a new store; nothing is published upon failure. */
static enum kv_code load(struct fixture *fixture)
{
   kv_store_destroy(fixture->store);
   fixture->store = kv_store_create();
   assert_non_null(fixture->store);
   struct kv_transaction *transaction = kv_store_begin(fixture->store);
   assert_non_null(transaction);
   enum kv_code code =
       kv_instance_load(fixture->instance, transaction, &fixture->sequence, &fixture->status);
   if (code == KV_OK)
      kv_transaction_commit(transaction, fixture->sequence);
   else
      kv_transaction_abort(transaction);
   return code;
}

static kvs_record set_record(uint64_t sequence, const char *key, const char *value)
{
   return (kvs_record){.sequence = sequence,
                       .kind = KVS_SET,
                       .key = {key, strlen(key)},
                       .value = {value, strlen(value)}};
}

static enum kv_code write_records(struct fixture *fixture, const kvs_record *records, size_t count)
{
   return kv_instance_write(fixture->instance, records, count, 0, &fixture->status);
}

static enum kv_code tick(struct fixture *fixture, uint32_t reason)
{
   struct kv_store_view *view = kv_store_view_create(fixture->store);
   assert_non_null(view);
   enum kv_code code = kv_instance_tick(fixture->instance, reason, view, &fixture->status);
   kv_store_view_destroy(view);
   return code;
}

/* "key=value " for all that the store holds. */
static void assert_store_holds(struct fixture *fixture, const char *expected)
{
   char text[512] = "";
   size_t used = 0;
   struct kv_store_view *view = kv_store_view_create(fixture->store);
   assert_non_null(view);
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   kv_cursor_seek(&cursor, kv_store_view_version(view), kv_slice(NULL, 0));
   while ((entry = kv_cursor_next(&cursor))) {
      const struct kv_slice key = kv_entry_key(entry), value = kv_entry_value(entry);
      used += (size_t)snprintf(text + used, sizeof text - used, "%.*s=%.*s ", (int)key.size,
                               (const char *)key.data, (int)value.size, (const char *)value.data);
   }
   kv_store_view_destroy(view);
   assert_string_equal(text, expected);
}

static void what_was_written_is_loaded_again(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(open_with(fixture, "memory", NULL, 0), KV_OK);
   assert_string_equal(kv_instance_plugin(fixture->instance)->name, "memory");
   assert_int_equal(kv_settings_count(kv_instance_settings(fixture->instance)), 0);
   assert_int_equal(load(fixture), KV_OK);
   assert_int_equal(fixture->sequence, 0);
   kvs_record records[] = {set_record(1, "a", "1"), set_record(2, "b", "2"),
                           set_record(3, "a", "3"), set_record(5, "b", "")};
   records[3].kind = KVS_DELETE;
   assert_int_equal(write_records(fixture, records, 4), KV_OK);
   kv_instance_close(fixture->instance);

   assert_int_equal(open_with(fixture, "memory", NULL, 0), KV_OK);
   assert_int_equal(load(fixture), KV_OK);
   assert_int_equal(fixture->sequence, 5);
   assert_store_holds(fixture, "a=3 ");
}

static void a_view_is_read_whole_and_in_order_in_small_steps(void **state)
{
   struct fixture *fixture = *state;
   struct kv_transaction *transaction = kv_store_begin(fixture->store);
   char key[16];
   for (int i = 9; i >= 0; i--) {
      snprintf(key, sizeof key, "k%d", i);
      assert_true(kv_transaction_set(transaction, kv_slice_of(key), kv_slice_of("v"), 0, 40));
   }
   kv_transaction_commit(transaction, 40);

   assert_int_equal(open_with(fixture, "memory", NULL, 0), KV_OK);
   assert_int_equal(kv_instance_load(fixture->instance, NULL, &fixture->sequence, &fixture->status),
                    KV_OK);
   assert_int_equal(tick(fixture, KVS_TICK_CHECKPOINT), KV_OK);
   assert_int_equal(fixture->saved, 40);
   kv_instance_close(fixture->instance);

   assert_int_equal(open_with(fixture, "memory", NULL, 0), KV_OK);
   assert_int_equal(load(fixture), KV_OK);
   assert_int_equal(fixture->sequence, 40);
   assert_store_holds(fixture, "k0=v k1=v k2=v k3=v k4=v k5=v k6=v k7=v k8=v k9=v ");
}

static void a_plug_in_can_ask_for_a_tick(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(open_with(fixture, "memory", NULL, 0), KV_OK);
   const kvs_record record = set_record(1, "a", "1");
   assert_int_equal(write_records(fixture, &record, 1), KV_OK);
   assert_int_equal(fixture->wakes, 1);
}

static void a_failed_open_says_which_plug_in_and_why(void **state)
{
   struct fixture *fixture = *state;
   static const struct {
      const char *word;
      enum kv_code code;
   } cases[] = {
       {"invalid", KV_INVALID_ARGUMENT}, {"no_space", KV_RESOURCE_EXHAUSTED},
       {"io", KV_UNAVAILABLE},           {"corrupt", KV_DATA_LOSS},
       {"unknown", KV_INTERNAL},
   };
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      assert_int_equal(open_faulty(fixture, "open", cases[i].word), cases[i].code);
      assert_null(fixture->instance);
      assert_non_null(strstr(fixture->status.text, "plug-in faulty: "));
      assert_non_null(strstr(fixture->status.text, "told to fail"));
   }
   assert_non_null(strstr(fixture->status.text, "open returned the unknown code 77"));
}

static void a_failed_write_is_a_rejected_batch_or_a_failed_instance(void **state)
{
   struct fixture *fixture = *state;
   static const struct {
      const char *word;
      enum kv_code code;
   } cases[] = {
       {"ok", KV_OK},
       {"invalid", KV_INVALID_ARGUMENT},
       {"no_space", KV_RESOURCE_EXHAUSTED},
       {"io", KV_UNAVAILABLE},
       {"corrupt", KV_DATA_LOSS},
       {"unknown", KV_INTERNAL},
   };
   const kvs_record record = set_record(1, "a", "1");
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      reopen(fixture, "write", cases[i].word);
      assert_int_equal(write_records(fixture, &record, 1), cases[i].code);
   }
}

static void a_failed_tick_is_reported(void **state)
{
   struct fixture *fixture = *state;
   reopen(fixture, "tick", "io");
   assert_int_equal(tick(fixture, KVS_TICK_PERIODIC), KV_UNAVAILABLE);
   assert_string_equal(fixture->status.text, "plug-in faulty: told to fail");
   reopen(fixture, "tick", "ok");
   assert_int_equal(tick(fixture, KVS_TICK_PERIODIC), KV_OK);
}

static void a_failed_load_stops(void **state)
{
   struct fixture *fixture = *state;
   reopen(fixture, "load", "corrupt");
   assert_int_equal(load(fixture), KV_DATA_LOSS);
   assert_string_equal(fixture->status.text, "plug-in faulty: told to fail");
   reopen(fixture, "load", "invalid");
   assert_int_equal(load(fixture), KV_INVALID_ARGUMENT);
}

static void a_load_that_is_given_up_fails_whatever_the_plug_in_says(void **state)
{
   struct fixture *fixture = *state;
   reopen(fixture, "record", "good");
   fixture->give_up = true;
   assert_int_equal(load(fixture), KV_CANCELLED);
   assert_non_null(strstr(fixture->status.text, "cancelled"));
   reopen(fixture, "record", "none");
   assert_int_equal(load(fixture), KV_OK);
}

static uint64_t calls_of(const struct fixture *fixture, enum kv_hook hook, uint64_t *errors)
{
   struct kv_hook_figures figures;
   kv_hook_timing_read(fixture->timing, hook, &figures);
   *errors = figures.errors;
   return figures.calls;
}

static void each_hook_is_timed(void **state)
{
   struct fixture *fixture = *state;
   const kvs_record record = set_record(1, "a", "1");
   uint64_t errors;
   fixture->timing = kv_hook_timing_create("faulty", 0);
   assert_non_null(fixture->timing);
   const struct kv_mode_option options[] = {{"write", "io"}, {"healthy_writes", "1"}};
   assert_int_not_equal(open_faulty(fixture, "open", "io"), KV_OK);
   assert_int_equal(open_with(fixture, "faulty", options, 2), KV_OK);
   assert_int_equal(load(fixture), KV_OK);
   assert_int_equal(write_records(fixture, &record, 1), KV_OK);
   assert_int_not_equal(write_records(fixture, &record, 1), KV_OK);
   assert_int_equal(tick(fixture, KVS_TICK_PERIODIC), KV_OK);
   assert_int_equal(tick(fixture, KVS_TICK_CHECKPOINT), KV_OK);
   assert_int_equal(tick(fixture, KVS_TICK_SHUTDOWN), KV_OK);
   kv_instance_close(fixture->instance);
   fixture->instance = NULL;
   const struct {
      enum kv_hook hook;
      uint64_t calls, errors;
   } wanted[] = {{KV_HOOK_OPEN, 2, 1}, {KV_HOOK_LOAD, 1, 0},       {KV_HOOK_WRITE, 2, 1},
                 {KV_HOOK_TICK, 1, 0}, {KV_HOOK_CHECKPOINT, 2, 0}, {KV_HOOK_CLOSE, 1, 0}};
   for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
      assert_int_equal(calls_of(fixture, wanted[i].hook, &errors), wanted[i].calls);
      assert_int_equal(errors, wanted[i].errors);
   }
   kv_hook_timing_destroy(fixture->timing);
}

static void a_failure_without_a_reason_still_says_what_failed(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_mode_option options[] = {{"tick", "io"}, {"text", ""}};
   assert_int_equal(open_with(fixture, "faulty", options, 2), KV_OK);
   assert_int_equal(tick(fixture, KVS_TICK_PERIODIC), KV_UNAVAILABLE);
   assert_string_equal(fixture->status.text,
                       "plug-in faulty: on_tick failed with code 3 and gave no reason");
}

static void garbage_in_an_error_text_does_no_harm(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_mode_option options[] = {{"tick", "io"}, {"text", "garbage"}};
   assert_int_equal(open_with(fixture, "faulty", options, 2), KV_OK);
   assert_int_equal(tick(fixture, KVS_TICK_PERIODIC), KV_UNAVAILABLE);
   assert_true(kv_text_is_printable(fixture->status.text));
   assert_int_equal(strlen(fixture->status.text),
                    strlen("plug-in faulty: ") + KVS_ERROR_TEXT_SIZE - 1);
}

static void an_unacceptable_record_stops_the_load_whatever_the_plug_in_says(void **state)
{
   struct fixture *fixture = *state;
   static const struct {
      const char *word, *part;
   } cases[] = {
       {"no_sequence", "sequence is out of range"},
       {"no_key", "key is not of 1 to 65536 bytes"},
       {"long_key", "key is not of 1 to 65536 bytes"},
       {"kind", "neither sets nor deletes"},
       {"expires_early", "time of expiry is out of range"},
       {"expires_late", "time of expiry is out of range"},
       {"delete_expires", "deletes and expires"},
       {"delete_with_value", "deletes and has a value"},
       {"high_sequence", "sequence is out of range"},
   };
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      reopen(fixture, "record", cases[i].word);
      assert_int_equal(load(fixture), KV_DATA_LOSS);
      assert_non_null(strstr(fixture->status.text, "plug-in faulty: "));
      assert_non_null(strstr(fixture->status.text, cases[i].part));
   }
   reopen(fixture, "record", "good");
   assert_int_equal(load(fixture), KV_OK);
   assert_int_equal(fixture->sequence, 7);
   assert_store_holds(fixture, "key=value ");
}

static void assert_entry(struct fixture *fixture, const char *key, uint64_t version,
                         int64_t expires_at)
{
   struct kv_store_view *view = kv_store_view_create(fixture->store);
   assert_non_null(view);
   const struct kv_entry *entry = kv_version_find(kv_store_view_version(view), kv_slice_of(key));
   assert_non_null(entry);
   assert_int_equal(kv_entry_version(entry), version);
   assert_true(kv_entry_expires_at(entry) == expires_at);
   kv_store_view_destroy(view);
}

static void a_loaded_entry_has_the_sequence_and_the_expiry_of_its_record(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_mode_option options[] = {{"record", "expires"}, {"loaded_to", "9"}};
   assert_int_equal(open_with(fixture, "faulty", options, 2), KV_OK);
   assert_int_equal(load(fixture), KV_OK);
   assert_int_equal(fixture->sequence, 9);
   assert_entry(fixture, "key", 7, KV_EXPIRES_AT_MAX);
}

static void a_view_says_when_its_entries_expire(void **state)
{
   struct fixture *fixture = *state;
   struct kv_transaction *transaction = kv_store_begin(fixture->store);
   assert_true(kv_transaction_set(transaction, kv_slice_of("expires"), kv_slice_of("v"), 77, 1));
   assert_true(kv_transaction_set(transaction, kv_slice_of("stays"), kv_slice_of("v"), 0, 2));
   kv_transaction_commit(transaction, 2);
   assert_int_equal(open_with(fixture, "memory", NULL, 0), KV_OK);
   assert_int_equal(kv_instance_load(fixture->instance, NULL, &fixture->sequence, &fixture->status),
                    KV_OK);
   assert_int_equal(tick(fixture, KVS_TICK_CHECKPOINT), KV_OK);
   kv_instance_close(fixture->instance);

   assert_int_equal(open_with(fixture, "memory", NULL, 0), KV_OK);
   assert_int_equal(load(fixture), KV_OK);
   assert_entry(fixture, "expires", 2, 77);
   assert_entry(fixture, "stays", 2, 0);
}

static void a_history_is_shown_change_by_change_as_it_is_loaded(void **state)
{
   struct fixture *fixture = *state;
   reopen(fixture, "record", "good");
   assert_int_equal(load(fixture), KV_OK);
   assert_string_equal(fixture->history, "");
   reopen(fixture, "history", "whole");
   assert_int_equal(load(fixture), KV_OK);
   assert_string_equal(fixture->history, "above 1: 2 b=2 after -, 3 a=3 after 1, ");
}

static void a_history_that_begins_anew_replaces_the_one_before(void **state)
{
   struct fixture *fixture = *state;
   reopen(fixture, "history", "twice");
   assert_int_equal(load(fixture), KV_OK);
   assert_string_equal(fixture->history,
                       "above 0: 1 a=1 after -, above 1: 2 b=2 after -, 3 a=3 after 1, ");
}

static void a_history_that_is_none_stops_the_load(void **state)
{
   struct fixture *fixture = *state;
   reopen(fixture, "history", "unordered");
   assert_int_equal(load(fixture), KV_DATA_LOSS);
   assert_non_null(strstr(fixture->status.text, "not after the one before it (sequence 2)"));
   reopen(fixture, "history", "below");
   assert_int_equal(load(fixture), KV_DATA_LOSS);
   assert_non_null(strstr(fixture->status.text, "begins below what it continues"));
}

static void the_declared_sequence_covers_all_records(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_mode_option above[] = {{"record", "good"}, {"loaded_to", "9"}};
   assert_int_equal(open_with(fixture, "faulty", above, 2), KV_OK);
   assert_int_equal(load(fixture), KV_OK);
   assert_int_equal(fixture->sequence, 9);
   kv_instance_close(fixture->instance);

   const struct kv_mode_option below[] = {{"record", "good"}, {"loaded_to", "6"}};
   assert_int_equal(open_with(fixture, "faulty", below, 2), KV_OK);
   assert_int_equal(load(fixture), KV_DATA_LOSS);
   assert_non_null(strstr(fixture->status.text, "above the sequence that it declared"));

   reopen(fixture, "loaded_to", "-1");
   assert_int_equal(load(fixture), KV_DATA_LOSS);
   assert_non_null(strstr(fixture->status.text, "out of range"));
}

static void a_fresh_directory_must_hand_over_nothing(void **state)
{
   struct fixture *fixture = *state;
   static const char *const cases[][2] = {{"record", "good"}, {"loaded_to", "9"}};
   for (size_t i = 0; i < 2; i++) {
      reopen(fixture, cases[i][0], cases[i][1]);
      assert_int_equal(
          kv_instance_load(fixture->instance, NULL, &fixture->sequence, &fixture->status),
          KV_INTERNAL);
      assert_non_null(strstr(fixture->status.text, "from a fresh directory"));
   }
   reopen(fixture, "record", "none");
   assert_int_equal(kv_instance_load(fixture->instance, NULL, &fixture->sequence, &fixture->status),
                    KV_OK);
}

/* ---- A plug-in inside the test, to look at what it is given ---- */

static const kvs_host *given_host;
static kvs_tick given_tick;

static int open_watching(const kvs_host *host, const kvs_setting *settings, size_t count,
                         void **self, kvs_error *error)
{
   assert_int_equal(count, 0);
   assert_int_equal(error->size, sizeof *error);
   assert_string_equal(error->text, "");
   (void)settings;
   given_host = host;
   *self = NULL;
   return KVS_OK;
}

static int tick_watching(void *self, const kvs_tick *tick, kvs_error *error)
{
   (void)self;
   (void)error;
   given_tick = *tick;
   return KVS_OK;
}

static void close_watching(void *self)
{
   (void)self;
}

static void open_watcher(struct fixture *fixture)
{
   static const kvs_plugin watcher = {.size = sizeof watcher,
                                      .name = "watcher",
                                      .open = open_watching,
                                      .on_tick = tick_watching,
                                      .close = close_watching};
   struct kv_instance_config config = {
       .plugin = &watcher, .directory = "/some/where", .store_id = {1, 2, 3}};
   assert_int_equal(kv_settings_create(&watcher, NULL, 0, &config.settings, &fixture->status),
                    KV_OK);
   assert_int_equal(kv_instance_open(&config, &fixture->instance, &fixture->status), KV_OK);
}

static void a_plug_in_is_given_a_complete_host(void **state)
{
   struct fixture *fixture = *state;
   open_watcher(fixture);
   static const uint8_t store_id[16] = {1, 2, 3};
   assert_int_equal(given_host->size, sizeof *given_host);
   assert_int_equal(given_host->abi_minor, KVS_ABI_MINOR);
   assert_string_equal(given_host->directory, "/some/where");
   assert_memory_equal(given_host->store_id, store_id, 16);
   assert_null(given_host->extension(given_host, "anything"));
   given_host->saved(given_host, 4); /* nobody listens */
}

static void a_plug_in_logs_under_its_name(void **state)
{
   struct fixture *fixture = *state;
   open_watcher(fixture);
   char path[TEMPORARY_PATH_SIZE];
   int before = dup(STDERR_FILENO);
   int file = open(temporary_path(&fixture->plugins, "log", path), O_WRONLY | O_CREAT, 0600);
   assert_true(before >= 0 && file >= 0);
   dup2(file, STDERR_FILENO);
   given_host->log(given_host, KVS_LOG_WARNING, "disk is slow");
   given_host->log(given_host, 99, "odd level");
   dup2(before, STDERR_FILENO);
   close(file);
   close(before);
   size_t size;
   char *lines = temporary_read(&fixture->plugins, "log", &size);
   assert_non_null(strstr(lines, "warning plug-in watcher: disk is slow\n"));
   assert_non_null(strstr(lines, "error plug-in watcher: odd level\n"));
   free(lines);
}

static void a_plug_in_without_on_load_kept_nothing(void **state)
{
   struct fixture *fixture = *state;
   open_watcher(fixture);
   fixture->sequence = 99;
   assert_int_equal(load(fixture), KV_OK);
   assert_int_equal(fixture->sequence, 0);
}

static void a_tick_describes_its_view(void **state)
{
   struct fixture *fixture = *state;
   struct kv_transaction *transaction = kv_store_begin(fixture->store);
   assert_true(kv_transaction_set(transaction, kv_slice_of("key"), kv_slice_of("value"), 0, 12));
   kv_transaction_commit(transaction, 12);
   open_watcher(fixture);
   assert_int_equal(tick(fixture, KVS_TICK_SHUTDOWN), KV_OK);
   assert_int_equal(given_tick.size, sizeof given_tick);
   assert_int_equal(given_tick.reason, KVS_TICK_SHUTDOWN);
   assert_int_equal(given_tick.view_sequence, 12);
   assert_int_equal(given_tick.view_count, 1);
   assert_int_equal(given_tick.view_bytes, 8);
   assert_true(given_tick.now_ms > 0);
}

static void records_handed_over_outside_of_on_load_are_refused(void **state)
{
   struct fixture *fixture = *state;
   open_watcher(fixture);
   const kvs_record record = set_record(1, "a", "1");
   kvs_error error = {.size = sizeof error};
   assert_int_equal(given_host->load(given_host, &record, 1, &error), KVS_INVALID);
   assert_non_null(strstr(error.text, "outside of on_load"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
   const struct CMUnitTest tests[] = {
       TEST(what_was_written_is_loaded_again),
       TEST(a_view_is_read_whole_and_in_order_in_small_steps),
       TEST(a_plug_in_can_ask_for_a_tick),
       TEST(a_failed_open_says_which_plug_in_and_why),
       TEST(a_failed_write_is_a_rejected_batch_or_a_failed_instance),
       TEST(a_failed_tick_is_reported),
       TEST(a_failed_load_stops),
       TEST(a_load_that_is_given_up_fails_whatever_the_plug_in_says),
       TEST(each_hook_is_timed),
       TEST(a_failure_without_a_reason_still_says_what_failed),
       TEST(garbage_in_an_error_text_does_no_harm),
       TEST(an_unacceptable_record_stops_the_load_whatever_the_plug_in_says),
       TEST(a_loaded_entry_has_the_sequence_and_the_expiry_of_its_record),
       TEST(a_view_says_when_its_entries_expire),
       TEST(a_history_is_shown_change_by_change_as_it_is_loaded),
       TEST(a_history_that_begins_anew_replaces_the_one_before),
       TEST(a_history_that_is_none_stops_the_load),
       TEST(the_declared_sequence_covers_all_records),
       TEST(a_fresh_directory_must_hand_over_nothing),
       TEST(a_plug_in_is_given_a_complete_host),
       TEST(a_plug_in_logs_under_its_name),
       TEST(a_plug_in_without_on_load_kept_nothing),
       TEST(a_tick_describes_its_view),
       TEST(records_handed_over_outside_of_on_load_are_refused),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
