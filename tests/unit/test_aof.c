#include "tests/support/plugin_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* Replaces the C library's: counts syncs of data. */
static atomic_int syncs;

int fdatasync(int fd)
{
   atomic_fetch_add(&syncs, 1);
   return (int)syscall(SYS_fdatasync, fd);
}

/* Rewrites a few keys until about `bytes` have been logged. */
static void churn(struct fixture *fixture, size_t bytes)
{
   char key[16], value[101];
   memset(value, 'v', 100);
   value[100] = '\0';
   for (size_t written = 0; written < bytes; written += 180) {
      snprintf(key, sizeof key, "k%zu", written / 180 % 10);
      must_write(fixture, key, value);
   }
}

static void descriptor_names_the_plugin_and_its_options(void **state)
{
   (void)state;
   assert_string_equal(kvstore_plugin.name, "aof");
   assert_int_equal(kvstore_plugin.promise, KVS_DURABLE);
   assert_int_equal(kvstore_plugin.option_count, 3);
   assert_string_equal(kvstore_plugin.options[0].default_value, "always");
   assert_string_equal(kvstore_plugin.options[1].default_value, "10485760");
}

static void every_policy_survives_a_kill(void **state)
{
   struct fixture *fixture = *state;
   const char *settings[] = {"fsync=always", "fsync=everysec", "fsync=no"};
   for (int i = 0; i < 6; i++) {
      open_well(fixture, settings[i % 3]);
      must_write(fixture, "a", settings[i % 3]);
      must_write(fixture, "b", "2");
      must_write(fixture, "b", NULL);
      must_survive(fixture, settings[(i + 1) % 3]);
   }
}

static void write_is_synced_as_the_policy_or_the_caller_asks(void **state)
{
   struct fixture *fixture = *state;
   const struct {
      const char *settings;
      uint32_t flags;
      int syncs;
   } cases[] = {{"fsync=always", 0, 1}, {"fsync=no", 0, 0}, {"fsync=no", KVS_WRITE_SYNC, 1}};
   for (size_t i = 0; i < 3; i++) {
      open_well(fixture, cases[i].settings);
      int before = atomic_load(&syncs);
      kvs_record record = log_host_effect(fixture->session.sequence + 1, "a", "1");
      assert_int_equal(plugin_session_write_batch(&fixture->session, &record, 1, cases[i].flags),
                       KVS_OK);
      assert_int_equal(atomic_load(&syncs) - before, cases[i].syncs);
   }
}

static void expiry_and_sequence_survive(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "");
   kvs_record record = log_host_effect(77, "key", "value");
   record.expires_at_ms = 1234567890123;
   assert_int_equal(plugin_session_write_batch(&fixture->session, &record, 1, KVS_WRITE_SYNC),
                    KVS_OK);
   must_survive(fixture, "");
   assert_int_equal(fixture->session.sequence, 77);
   assert_true(fixture->session.model[0].expires_at_ms == 1234567890123);
   must_tick(fixture, KVS_TICK_CHECKPOINT, 1000);
   must_survive(fixture, "");
   assert_true(fixture->session.model[0].expires_at_ms == 1234567890123);
}

static void checkpoint_replaces_the_log_by_one_snapshot(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "aof_max_size=4096");
   for (int i = 0; i < 3; i++) {
      churn(fixture, 20000);
      must_tick(fixture, KVS_TICK_CHECKPOINT, 1000);
      assert_int_equal(log_host_count(&fixture->host, "snapshots", ".snapshot"), 1);
      /* The one in use; the snapshot covers it, too, but it can still grow. */
      assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 1);
      must_survive(fixture, "aof_max_size=4096");
   }
   must_write(fixture, "last", "one");
   must_survive(fixture, "aof_max_size=4096");
}

static void checkpoint_frees_even_a_segment_that_is_not_full(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "");
   for (int i = 0; i < 4; i++) {
      must_write(fixture, "a", "1");
      must_tick(fixture, KVS_TICK_CHECKPOINT, 1000);
   }
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 1);
   assert_true(log_host_has_file(&fixture->host, "aof/0000000004.log"));
   must_survive(fixture, "");
}

static void log_is_compacted_when_it_outgrows_size_and_data(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "aof_max_size=65536");
   churn(fixture, 40000);
   must_tick(fixture, KVS_TICK_PERIODIC, 1000);
   assert_int_equal(log_host_count(&fixture->host, "snapshots", ".snapshot"), 0);
   churn(fixture, 40000);
   must_tick(fixture, KVS_TICK_PERIODIC, 1000);
   assert_int_equal(log_host_count(&fixture->host, "snapshots", ".snapshot"), 1);
   /* And not again before it has grown: that would remove the remaining segment. */
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 1);
   must_write(fixture, "a", "1");
   must_tick(fixture, KVS_TICK_PERIODIC, 1000);
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 2);
   must_survive(fixture, "aof_max_size=65536");
}

static void log_smaller_than_twice_the_data_is_left_alone(void **state)
{
   struct fixture *fixture = *state;
   static char large[60000];
   memset(large, 'x', sizeof large - 1);
   open_well(fixture, "aof_max_size=4096");
   must_write(fixture, "large", large);
   must_tick(fixture, KVS_TICK_PERIODIC, 1000);
   assert_int_equal(log_host_count(&fixture->host, "snapshots", ".snapshot"), 0);
   must_write(fixture, "large", large);
   must_tick(fixture, KVS_TICK_PERIODIC, 1000);
   assert_int_equal(log_host_count(&fixture->host, "snapshots", ".snapshot"), 1);
}

static void what_the_log_grew_by_counts_across_a_restart(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "aof_max_size=65536");
   churn(fixture, 40000);
   must_survive(fixture, "aof_max_size=65536");
   churn(fixture, 40000);
   must_tick(fixture, KVS_TICK_PERIODIC, 1000);
   assert_int_equal(log_host_count(&fixture->host, "snapshots", ".snapshot"), 1);
}

static void shutdown_leaves_a_trimmed_log_and_no_snapshot(void **state)
{
   struct fixture *fixture = *state;
   size_t size;
   open_well(fixture, "fsync=no");
   must_write(fixture, "a", "1");
   must_tick(fixture, KVS_TICK_SHUTDOWN, 1000);
   free(log_host_read_file(&fixture->host, "aof/0000000001.log", &size));
   assert_true(size < 300);
   assert_int_equal(log_host_count(&fixture->host, "snapshots", ".snapshot"), 0);
   must_survive(fixture, "");
}

static void damaged_snapshot_is_refused_since_nothing_else_holds_its_data(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "aof_max_size=4096");
   churn(fixture, 20000);
   must_tick(fixture, KVS_TICK_CHECKPOINT, 1000);
   must_write(fixture, "a", "1");
   plugin_session_close(&fixture->session);
   log_host_damage(&fixture->host, "snapshots", 0);
   assert_int_equal(reopen(fixture, ""), KVS_CORRUPT);
   assert_non_null(strstr(fixture->session.error.text, "snapshot"));
}

static void removed_snapshot_is_missed(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "");
   /* As after a live switch: the store is in progress, its first keys come with the checkpoint. */
   must_write(fixture, "old", "1");
   fixture->session.sequence = 1000;
   must_write(fixture, "new", "2");
   must_tick(fixture, KVS_TICK_CHECKPOINT, 1000);
   must_write(fixture, "newer", "3");
   plugin_session_close(&fixture->session);
   log_host_remove(&fixture->host, "snapshots", 0);
   assert_int_equal(reopen(fixture, ""), KVS_CORRUPT);
}

static void checkpoint_without_space_keeps_the_log(void **state)
{
   struct fixture *fixture = *state;
   struct rlimit limit;
   signal(SIGXFSZ, SIG_IGN);
   open_well(fixture, "aof_max_size=4096");
   churn(fixture, 20000);
   size_t segments = log_host_count(&fixture->host, "aof", ".log");
   assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
   rlim_t before = limit.rlim_cur;
   limit.rlim_cur = 100;
   assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
   assert_int_equal(plugin_session_tick(&fixture->session, KVS_TICK_CHECKPOINT, 0), KVS_NO_SPACE);
   limit.rlim_cur = before;
   assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), segments);
   assert_int_equal(log_host_count(&fixture->host, "snapshots", ".snapshot"), 0);
   must_write(fixture, "a", "1");
   must_survive(fixture, "aof_max_size=4096");
   must_tick(fixture, KVS_TICK_CHECKPOINT, 1000);
   must_survive(fixture, "aof_max_size=4096");
}

static void checkpoint_of_an_empty_store_is_done_at_once(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "");
   must_tick(fixture, KVS_TICK_CHECKPOINT, 1000);
   must_survive(fixture, "");
   must_write(fixture, "a", "1");
   must_write(fixture, "a", NULL);
   must_tick(fixture, KVS_TICK_CHECKPOINT, 1000);
   must_survive(fixture, "");
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(descriptor_names_the_plugin_and_its_options),
       PLUGIN_CASE(every_policy_survives_a_kill),
       PLUGIN_CASE(write_is_synced_as_the_policy_or_the_caller_asks),
       PLUGIN_CASE(expiry_and_sequence_survive),
       PLUGIN_CASE(checkpoint_replaces_the_log_by_one_snapshot),
       PLUGIN_CASE(checkpoint_frees_even_a_segment_that_is_not_full),
       PLUGIN_CASE(log_is_compacted_when_it_outgrows_size_and_data),
       PLUGIN_CASE(log_smaller_than_twice_the_data_is_left_alone),
       PLUGIN_CASE(what_the_log_grew_by_counts_across_a_restart),
       PLUGIN_CASE(shutdown_leaves_a_trimmed_log_and_no_snapshot),
       PLUGIN_CASE(damaged_snapshot_is_refused_since_nothing_else_holds_its_data),
       PLUGIN_CASE(removed_snapshot_is_missed),
       PLUGIN_CASE(checkpoint_without_space_keeps_the_log),
       PLUGIN_CASE(checkpoint_of_an_empty_store_is_done_at_once),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
