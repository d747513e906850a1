#include "core/host/load_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t now_ms;

uint64_t __wrap_kv_clock_monotonic_ms(void);
uint64_t __wrap_kv_clock_monotonic_ms(void)
{
   return now_ms;
}

struct fixture {
   struct kv_load_report *report;
   FILE *log;
   int error_fd; /* the original standard error */
   char text[8192];
};

static int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   now_ms = 1000;
   fixture->report = kv_load_report_create();
   fixture->log = tmpfile();
   assert_non_null(fixture->log);
   fixture->error_fd = dup(STDERR_FILENO);
   assert_int_equal(dup2(fileno(fixture->log), STDERR_FILENO), STDERR_FILENO);
   *state = fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   dup2(fixture->error_fd, STDERR_FILENO);
   close(fixture->error_fd);
   fclose(fixture->log);
   kv_load_report_destroy(fixture->report);
   free(fixture);
   return 0;
}

/* Everything logged so far. */
static const char *logged(struct fixture *fixture)
{
   ssize_t size = pread(fileno(fixture->log), fixture->text, sizeof fixture->text - 1, 0);
   assert_true(size >= 0);
   fixture->text[size] = '\0';
   return fixture->text;
}

static void note(const struct fixture *fixture, kvs_load_note content)
{
   content.size = sizeof content;
   kv_load_report_note(fixture->report, &content);
}

static void progress_is_the_part_of_the_expected_bytes_that_was_read(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(kv_load_report_percent(fixture->report), -1);
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_EXPECTED, .bytes = 150});
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_EXPECTED, .bytes = 50});
   assert_int_equal(kv_load_report_percent(fixture->report), 0);
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_READ, .bytes = 86});
   assert_int_equal(kv_load_report_percent(fixture->report), 43);
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_READ, .bytes = 1000});
   assert_int_equal(kv_load_report_percent(fixture->report), 100);
}

static void long_load_logs_a_line_now_and_then(void **state)
{
   struct fixture *fixture = *state;
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_EXPECTED, .bytes = 80000000});
   now_ms += 1999;
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_READ, .bytes = 10000000});
   kv_load_report_count(fixture->report, 5000);
   assert_string_equal(logged(fixture), "");
   now_ms += 1;
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_READ, .bytes = 10000000});
   assert_non_null(strstr(logged(fixture), "info loading: 25 %, 5000 records, 10.0 MB/s\n"));
   now_ms += 1999;
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_READ, .bytes = 10000000});
   assert_null(strstr(logged(fixture), "37 %"));
   now_ms += 1;
   kv_load_report_count(fixture->report, 5000);
   assert_non_null(strstr(logged(fixture), "info loading: 37 %, 10000 records, 7.5 MB/s\n"));
}

static void plugin_that_tells_no_bytes_is_seen_by_its_records(void **state)
{
   struct fixture *fixture = *state;
   now_ms += 2500;
   kv_load_report_count(fixture->report, 4096);
   assert_non_null(strstr(logged(fixture), "info loading: 4096 records in 2.5 s\n"));
}

static void the_whole_is_one_line(void **state)
{
   struct fixture *fixture = *state;
   note(fixture, (kvs_load_note){
                     .kind = KVS_LOAD_PASSED_OVER, .file = "snapshots/9.snapshot", .text = "bad"});
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_FILE,
                                 .file = "snapshots/7.snapshot",
                                 .records = 1000,
                                 .sequence = 1000});
   note(fixture, (kvs_load_note){
                     .kind = KVS_LOAD_FILE, .file = "aof/1.log", .records = 50, .sequence = 1050});
   note(fixture, (kvs_load_note){
                     .kind = KVS_LOAD_FILE, .file = "aof/2.log", .records = 7, .sequence = 1057});
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_TORN,
                                 .file = "aof/2.log",
                                 .text = "cut off and\nkept",
                                 .offset = 431,
                                 .bytes = 57});
   kv_load_report_count(fixture->report, 1057);
   now_ms += 12;
   kv_load_report_finish(fixture->report,
                         &(struct kv_load_result){1057, 1012, 31337, 1057, 1057, 0, 0});
   kv_load_report_log(fixture->report, "hybrid", 3);
   assert_non_null(strstr(
       logged(fixture),
       "info recovered: mode hybrid, generation 3: snapshots/7.snapshot: 1000 records, up to "
       "sequence 1000; 2 files of aof, the last 2.log: 57 records, up to sequence 1057; torn: "
       "aof/2.log at offset 431, 57 bytes cut off and?kept; passed over: snapshots/9.snapshot; "
       "state: 1012 keys, 31337 bytes, sequence 1057; 12 ms\n"));
   struct kv_load_result result = kv_load_report_result(fixture->report);
   assert_int_equal(result.records, 1057);
   assert_int_equal(result.duration_ms, 12);
}

static void last_files_are_kept_and_all_are_counted(void **state)
{
   struct fixture *fixture = *state;
   for (uint64_t i = 1; i <= KV_LOAD_ITEMS_MAX + 3; i++)
      note(fixture, (kvs_load_note){.kind = KVS_LOAD_FILE, .file = "aof/n.log", .sequence = i});
   struct kv_load_items items = kv_load_report_items(fixture->report, KVS_LOAD_FILE);
   assert_int_equal(items.total, KV_LOAD_ITEMS_MAX + 3);
   assert_int_equal(items.count, KV_LOAD_ITEMS_MAX);
   assert_int_equal(items.items[0].sequence, 4);
   assert_int_equal(items.items[items.count - 1].sequence, KV_LOAD_ITEMS_MAX + 3);
}

static void notes_of_unknown_kind_or_size_are_passed_over(void **state)
{
   struct fixture *fixture = *state;
   note(fixture, (kvs_load_note){.kind = KVS_LOAD_EXPECTED, .bytes = 100});
   note(fixture, (kvs_load_note){.kind = 99, .bytes = 100});
   const kvs_load_note small = {.size = 16, .kind = KVS_LOAD_READ, .bytes = 50};
   kv_load_report_note(fixture->report, &small);
   assert_int_equal(kv_load_report_percent(fixture->report), 0);
   assert_int_equal(kv_load_report_items(fixture->report, KVS_LOAD_FILE).total, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(progress_is_the_part_of_the_expected_bytes_that_was_read),
       TEST(long_load_logs_a_line_now_and_then),
       TEST(plugin_that_tells_no_bytes_is_seen_by_its_records),
       TEST(the_whole_is_one_line),
       TEST(last_files_are_kept_and_all_are_counted),
       TEST(notes_of_unknown_kind_or_size_are_passed_over),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
