#include "core/support/log_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIME "2026-01-31T12:00:00.007Z"
static const struct timespec at = {.tv_sec = 1769860800, .tv_nsec = 7999999};

static const char *line_of(enum kv_log_format format, bool journal, enum kv_log_level level,
                           const char *message)
{
   static char line[KV_LOG_LINE_SIZE + 1];
   size_t size =
       kv_log_format_line((struct kv_log_style){format, journal}, level, &at, message, line);
   assert_in_range(size, 1, KV_LOG_LINE_SIZE);
   line[size] = '\0';
   assert_int_equal(strlen(line), size);
   return line;
}

static void text_has_time_and_level(void **state)
{
   (void)state;
   assert_string_equal(line_of(KV_LOG_TEXT, false, KV_LOG_WARNING, "the disk is full"),
                       TIME " warning the disk is full\n");
}

static void json_escapes_what_would_end_its_string(void **state)
{
   (void)state;
   assert_string_equal(line_of(KV_LOG_JSON, false, KV_LOG_ERROR, "key \"a\\b\"\n\x1b[2J \xc3\xbc"),
                       "{\"time\":\"" TIME "\",\"level\":\"error\",\"message\":"
                       "\"key \\\"a\\\\b\\\"\\u000a\\u001b[2J \xc3\xbc\"}\n");
}

static void json_holds_no_byte_that_is_not_utf8(void **state)
{
   (void)state;
   /* A byte that never occurs, a surrogate, an overlong form, and a character cut off. */
   assert_non_null(
       strstr(line_of(KV_LOG_JSON, false, KV_LOG_INFO, "a\xff \xed\xa0\x80 \xc0\xaf \xe2\x82"),
              "\"message\":\"a? ??? ?? ??\"}\n"));
}

static void the_largest_message_fits_however_it_is_escaped(void **state)
{
   (void)state;
   static char message[2 * KV_LOG_MESSAGE_SIZE];
   memset(message, '\x01', sizeof message - 1);
   const char *line = line_of(KV_LOG_JSON, true, KV_LOG_WARNING, message);
   assert_string_equal(line + strlen(line) - strlen("\\u0001\"}\n"), "\\u0001\"}\n");
   memset(message, 'x', sizeof message - 1);
   assert_int_equal(strlen(line_of(KV_LOG_TEXT, true, KV_LOG_WARNING, message)),
                    strlen("<4>") + KV_LOG_MESSAGE_SIZE - 1 + strlen("\n"));
}

static void the_journal_is_given_priorities_in_place_of_time_and_level(void **state)
{
   (void)state;
   assert_string_equal(line_of(KV_LOG_TEXT, true, KV_LOG_ERROR, "e"), "<3>e\n");
   assert_string_equal(line_of(KV_LOG_TEXT, true, KV_LOG_WARNING, "w"), "<4>w\n");
   assert_string_equal(line_of(KV_LOG_TEXT, true, KV_LOG_INFO, "i"), "<6>i\n");
   assert_string_equal(line_of(KV_LOG_TEXT, true, KV_LOG_DEBUG, "d"), "<7>d\n");
   assert_string_equal(line_of(KV_LOG_JSON, true, KV_LOG_INFO, "i"),
                       "<6>{\"time\":\"" TIME "\",\"level\":\"info\",\"message\":\"i\"}\n");
}

static void only_the_file_that_systemd_names_is_the_journal(void **state)
{
   (void)state;
   int ends[2];
   struct stat status;
   char stream[64], other[64];
   assert_int_equal(pipe(ends), 0);
   assert_int_equal(fstat(ends[1], &status), 0);
   snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
   snprintf(other, sizeof other, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino + 1);
   assert_true(kv_log_is_journal(ends[1], stream));
   assert_false(kv_log_is_journal(ends[1], other));
   const char *const refused[] = {NULL, "", "x", "1:", ":", "1:2:3"};
   for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
      assert_false(kv_log_is_journal(ends[1], refused[i]));
   close(ends[0]);
   close(ends[1]);
   assert_false(kv_log_is_journal(ends[1], stream));
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(text_has_time_and_level),
       cmocka_unit_test(json_escapes_what_would_end_its_string),
       cmocka_unit_test(json_holds_no_byte_that_is_not_utf8),
       cmocka_unit_test(the_largest_message_fits_however_it_is_escaped),
       cmocka_unit_test(the_journal_is_given_priorities_in_place_of_time_and_level),
       cmocka_unit_test(only_the_file_that_systemd_names_is_the_journal),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
