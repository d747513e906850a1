#include "core/support/log_writer.h"

#include "core/support/log_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOR_EVER_MS ((int64_t)60000)
#define A_MOMENT_MS 20
#define MANY_LINES 5000
#define THREADS 4
#define LINES_A_THREAD 40 /* all together fit into the queue */
#define ORIGIN 1

struct fixture {
   int log[2]; /* the pipe that the log goes to */
   struct kv_log_writer *writer;
   struct kv_status status;
   char text[8 << 20]; /* what has been read from it */
   size_t size;
};

static int set_up(void **state)
{
   static struct fixture fixture;
   fixture.size = 0;
   if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || pipe2(fixture.log, O_CLOEXEC) != 0)
      return -1;
   if (fcntl(fixture.log[1], F_SETPIPE_SZ, 4096) < 0)
      return -1;
   fixture.writer = kv_log_writer_create(fixture.log[1], (struct kv_log_style){0}, &fixture.status);
   *state = &fixture;
   return fixture.writer ? 0 : -1;
}

__attribute__((format(printf, 3, 4))) static void
put(struct fixture *fixture, enum kv_log_level level, const char *format, ...)
{
   char message[KV_LOG_MESSAGE_SIZE];
   va_list values;
   va_start(values, format);
   vsnprintf(message, sizeof message, format, values);
   va_end(values);
   kv_log_writer_put(fixture->writer, level, ORIGIN, message);
}

static void read_some(struct fixture *fixture)
{
   ssize_t got = read(fixture->log[0], fixture->text + fixture->size,
                      sizeof fixture->text - 1 - fixture->size);
   assert_true(got >= 0);
   fixture->size += (size_t)got;
   fixture->text[fixture->size] = '\0';
}

/* Reads the log beside the writer, which ends. */
static void *read_to_the_end(void *argument)
{
   struct fixture *fixture = argument;
   for (size_t before = (size_t)-1; before != fixture->size;) {
      before = fixture->size;
      read_some(fixture);
   }
   return NULL;
}

static void end(struct fixture *fixture)
{
   pthread_t reader;
   assert_int_equal(pthread_create(&reader, NULL, read_to_the_end, fixture), 0);
   assert_true(kv_log_writer_close(fixture->writer, FOR_EVER_MS));
   close(fixture->log[1]);
   assert_int_equal(pthread_join(reader, NULL), 0);
   close(fixture->log[0]);
   kv_log_writer_destroy(fixture->writer);
}

static unsigned count(const char *text, const char *part)
{
   unsigned found = 0;
   for (; (text = strstr(text, part)); text += strlen(part))
      found++;
   return found;
}

/* ---- The writer ---- */

static void a_line_has_its_time_and_level(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, KV_LOG_WARNING, "the disk is at %u %%", 93);
   end(fixture);
   int year, milliseconds;
   char level[16], rest[64];
   assert_int_equal(sscanf(fixture->text, "%d-%*d-%*dT%*d:%*d:%*d.%dZ %15s %63[^\n]", &year,
                           &milliseconds, level, rest),
                    4);
   assert_string_equal(level, "warning");
   assert_string_equal(rest, "the disk is at 93 %");
   assert_int_equal(count(fixture->text, "\n"), 1);
}

static void *put_lines(void *argument)
{
   struct fixture *fixture = argument;
   for (unsigned i = 0; i < LINES_A_THREAD; i++)
      put(fixture, KV_LOG_DEBUG, "line %u of a thread", i);
   return NULL;
}

static void lines_of_several_threads_are_whole(void **state)
{
   struct fixture *fixture = *state;
   pthread_t threads[THREADS];
   for (int i = 0; i < THREADS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, put_lines, fixture), 0);
   for (int i = 0; i < THREADS; i++)
      assert_int_equal(pthread_join(threads[i], NULL), 0);
   end(fixture);
   assert_int_equal(count(fixture->text, " of a thread\n"), THREADS * LINES_A_THREAD);
   assert_int_equal(count(fixture->text, "\n"), THREADS * LINES_A_THREAD);
}

static void a_log_that_is_not_read_stops_nobody_and_says_what_is_missing(void **state)
{
   struct fixture *fixture = *state;
   for (unsigned i = 0; i < MANY_LINES; i++)
      put(fixture, KV_LOG_DEBUG, "a line that is long enough to fill a pipe with some: %u", i);
   end(fixture);
   unsigned written = count(fixture->text, "enough to fill a pipe");
   unsigned long missing = 0;
   for (const char *at = fixture->text; (at = strstr(at, " lines are missing here")); at++) {
      const char *number = at;
      while (number[-1] != ' ')
         number--;
      missing += strtoul(number, NULL, 10);
   }
   assert_true(missing > 0);
   assert_int_equal(written + missing, MANY_LINES);
}

static void closing_does_not_wait_for_ever_for_a_log_that_is_not_read(void **state)
{
   struct fixture *fixture = *state;
   for (unsigned i = 0; i < MANY_LINES; i++)
      put(fixture, KV_LOG_DEBUG, "a line that is long enough to fill a pipe with some: %u", i);
   assert_false(kv_log_writer_close(fixture->writer, A_MOMENT_MS));
   /* What comes now is dropped, and the thread can be brought to its end after all. */
   put(fixture, KV_LOG_ERROR, "too late: %u", 1);
   end(fixture);
   assert_null(strstr(fixture->text, "too late"));
}

static void lines_that_repeat_are_left_out_and_counted(void **state)
{
   struct fixture *fixture = *state;
   for (unsigned i = 0; i < MANY_LINES; i++)
      put(fixture, KV_LOG_WARNING, "grpc: bad timeout from 127.0.0.1:%u", i);
   put(fixture, KV_LOG_INFO, "another event: %u", 1);
   end(fixture);
   unsigned written = count(fixture->text, "Z warning grpc: bad timeout from");
   assert_in_range(written, KV_LOG_TEXT_BURST, MANY_LINES / 10);
   assert_int_equal(count(fixture->text, "another event: 1\n"), 1);
   const char *report = strstr(fixture->text, "left out ");
   assert_non_null(report);
   assert_int_equal(strtoul(report + strlen("left out "), NULL, 10), MANY_LINES - written);
   assert_non_null(strstr(report, "like this one: grpc: bad timeout from 127.0.0.1:"));
}

/* ---- The limit ---- */

/* Of so many lines "VERB N failed", how many are let through. */
static unsigned admitted(struct kv_log_limit *limit, uint64_t origin, const char *verb,
                         unsigned lines, uint64_t now_ms)
{
   unsigned count = 0;
   for (unsigned i = 0; i < lines; i++) {
      char text[64];
      snprintf(text, sizeof text, "%s %u failed", verb, i);
      count += kv_log_limit_admit(limit, origin, text, now_ms);
   }
   return count;
}

static void texts_that_differ_in_numbers_share_what_comes_back_with_time(void **state)
{
   (void)state;
   static struct kv_log_limit limit;
   limit = (struct kv_log_limit){0};
   assert_int_equal(admitted(&limit, 1, "write", 50, 1000), KV_LOG_TEXT_BURST);
   assert_int_equal(admitted(&limit, 1, "write", 50, 1000 + KV_LOG_TEXT_INTERVAL_MS), 1);
   assert_int_equal(admitted(&limit, 1, "read", 1, 1000), 1);
   assert_int_equal(admitted(&limit, 1, "write", 50, 86400000), KV_LOG_TEXT_BURST);
}

static void an_origin_has_a_limit_whatever_its_texts(void **state)
{
   (void)state;
   static struct kv_log_limit limit;
   limit = (struct kv_log_limit){0};
   unsigned count = 0;
   for (unsigned i = 0; i < 1000; i++) {
      char text[] = "a peer's own words: xx";
      text[sizeof text - 3] = (char)('a' + i / 26 % 26);
      text[sizeof text - 2] = (char)('a' + i % 26);
      count += kv_log_limit_admit(&limit, 1, text, 1000);
   }
   assert_int_equal(count, KV_LOG_ORIGIN_BURST);
   assert_true(kv_log_limit_admit(&limit, 2, "of another origin", 1000));
   /* Everything that was left out is in one of the reports, also what was forgotten meanwhile. */
   char message[256];
   unsigned long told = 0;
   while (kv_log_limit_report(&limit, 1000, true, message, sizeof message))
      told += strtoul(message + strlen("left out "), NULL, 10);
   assert_int_equal(told, 1000 - KV_LOG_ORIGIN_BURST);
   assert_false(kv_log_limit_pending(&limit));
}

static void a_report_comes_some_time_after_the_first_line_that_was_left_out(void **state)
{
   (void)state;
   static struct kv_log_limit limit;
   limit = (struct kv_log_limit){0};
   char message[256];
   admitted(&limit, 1, "write", KV_LOG_TEXT_BURST, 1000);
   assert_false(kv_log_limit_pending(&limit));
   admitted(&limit, 1, "write", 3, 1000);
   assert_true(kv_log_limit_pending(&limit));
   uint64_t due_ms = 1000 + KV_LOG_REPORT_INTERVAL_MS;
   assert_false(kv_log_limit_report(&limit, due_ms - 1, false, message, sizeof message));
   assert_true(kv_log_limit_report(&limit, due_ms, false, message, sizeof message));
   assert_string_equal(message, "left out 3 lines within 5.0 s like this one: write 0 failed");
   assert_false(kv_log_limit_report(&limit, due_ms, true, message, sizeof message));
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_line_has_its_time_and_level),
       TEST(lines_of_several_threads_are_whole),
       TEST(a_log_that_is_not_read_stops_nobody_and_says_what_is_missing),
       TEST(closing_does_not_wait_for_ever_for_a_log_that_is_not_read),
       TEST(lines_that_repeat_are_left_out_and_counted),
       cmocka_unit_test(texts_that_differ_in_numbers_share_what_comes_back_with_time),
       cmocka_unit_test(an_origin_has_a_limit_whatever_its_texts),
       cmocka_unit_test(a_report_comes_some_time_after_the_first_line_that_was_left_out),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
