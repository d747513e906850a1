/* The words of a command line: how it is split, and that printed words can be typed in again. */
#include "client/print.h"
#include "client/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect_words(const char *line, size_t count, const struct kv_slice *expected)
{
   struct words words;
   struct words_error error;
   if (!words_split(line, strlen(line), &words, &error))
      fail_msg("%s: column %zu: %s", line, error.column, error.reason);
   assert_int_equal(words.count, count);
   for (size_t i = 0; i < count; i++) {
      assert_int_equal(words.items[i].size, expected[i].size);
      assert_memory_equal(words.items[i].data, expected[i].data, expected[i].size);
      assert_int_equal(((const char *)words.items[i].data)[expected[i].size], '\0');
   }
   words_deinit(&words);
}

#define EXPECT_WORDS(line, ...)                                                                    \
   do {                                                                                            \
      const struct kv_slice expected[] = {__VA_ARGS__};                                            \
      expect_words(line, sizeof expected / sizeof *expected, expected);                            \
   } while (0)
#define WORD(literal)                                                                              \
   {                                                                                               \
      literal, sizeof literal - 1                                                                  \
   }

static void expect_error(const char *line, size_t column)
{
   struct words words;
   struct words_error error;
   assert_false(words_split(line, strlen(line), &words, &error));
   assert_int_equal(error.column, column);
   assert_non_null(error.reason);
}

static void spaces_and_tabs_separate_words(void **state)
{
   (void)state;
   EXPECT_WORDS("set key value", WORD("set"), WORD("key"), WORD("value"));
   EXPECT_WORDS(" \t get \t key\t ", WORD("get"), WORD("key"));
   EXPECT_WORDS("1 2 3 4 5 6 7 8 9", WORD("1"), WORD("2"), WORD("3"), WORD("4"), WORD("5"),
                WORD("6"), WORD("7"), WORD("8"), WORD("9"));
}

static void a_blank_line_has_no_words(void **state)
{
   (void)state;
   expect_words("", 0, NULL);
   expect_words(" \t  ", 0, NULL);
}

static void quotes_keep_spaces_and_the_other_quote(void **state)
{
   (void)state;
   EXPECT_WORDS("set k \"two  words\"", WORD("set"), WORD("k"), WORD("two  words"));
   EXPECT_WORDS("'say \"yes\"' \"don't\"", WORD("say \"yes\""), WORD("don't"));
}

static void empty_quotes_are_an_empty_word(void **state)
{
   (void)state;
   EXPECT_WORDS("set k \"\" ''", WORD("set"), WORD("k"), WORD(""), WORD(""));
}

static void parts_that_touch_are_one_word(void **state)
{
   (void)state;
   EXPECT_WORDS("name=\"two words\"'!'s", WORD("name=two words!s"));
}

static void double_quotes_know_the_escapes(void **state)
{
   (void)state;
   EXPECT_WORDS("\"\\n\\r\\t\\\\\\\"\"", WORD("\n\r\t\\\""));
   EXPECT_WORDS("\"\\x00\\xfF\\x41\"", WORD("\0\xFF"
                                            "A"));
}

static void a_backslash_elsewhere_is_a_backslash(void **state)
{
   (void)state;
   EXPECT_WORDS("C:\\new 'a\\nb' \\", WORD("C:\\new"), WORD("a\\nb"), WORD("\\"));
}

static void an_unclosed_quote_is_refused_at_its_column(void **state)
{
   (void)state;
   expect_error("set k \"value", 7);
   expect_error("it's", 3);
   expect_error("\"", 1);
   expect_error("set k \"value\\\"", 7);
   expect_error("set k \"value\\", 7);
}

static void columns_count_characters(void **state)
{
   (void)state;
   expect_error("gr\xC3\xBC\xC3\x9F 'x", 6);
}

static void an_unknown_escape_is_refused_at_its_column(void **state)
{
   (void)state;
   expect_error("\"a\\q\"", 3);
   expect_error("\"\\x4\"", 2);
   expect_error("\"\\xg0\"", 2);
   expect_error("\"\\x0g\"", 2);
}

static void an_escape_ends_with_its_line(void **state)
{
   (void)state;
   struct words words;
   struct words_error error;
   assert_false(words_split("\"\\x41\"", 4, &words, &error));
   assert_int_equal(error.column, 2);
}

static void any_byte_can_stand_in_a_word(void **state)
{
   (void)state;
   struct words words;
   struct words_error error;
   assert_true(words_split("a\0b \xFF", 5, &words, &error));
   assert_int_equal(words.count, 2);
   assert_int_equal(words.items[0].size, 3);
   assert_memory_equal(words.items[0].data, "a\0b", 3);
   assert_int_equal(words.items[1].size, 1);
   words_deinit(&words);
}

/* ---- What editors, terminals and Windows produce ---- */

static void a_mark_before_the_line_and_carriage_returns_after_it_are_left_out(void **state)
{
   (void)state;
   EXPECT_WORDS("\xEF\xBB\xBFset k v", WORD("set"), WORD("k"), WORD("v"));
   EXPECT_WORDS("set k v\r", WORD("set"), WORD("k"), WORD("v"));
   EXPECT_WORDS("set k 'v' \r\r", WORD("set"), WORD("k"), WORD("v"));
   expect_words("\xEF\xBB\xBF\r", 0, NULL);
   expect_words("\r", 0, NULL);
   /* The mark does not count in the line's columns. */
   expect_error("\xEF\xBB\xBFset k \"", 7);
}

static void a_carriage_return_inside_is_kept_in_quotes_and_refused_outside(void **state)
{
   (void)state;
   EXPECT_WORDS("set k \"a\rb\"", WORD("set"), WORD("k"), WORD("a\rb"));
   expect_error("set a 1\rset b 2", 8);
   expect_error("set a 1 \rset b 2", 9);
}

static void a_comment_begins_at_a_word_and_ends_with_the_line(void **state)
{
   (void)state;
   expect_words("# set k v", 0, NULL);
   expect_words("  \t# \"never closed", 0, NULL);
   EXPECT_WORDS("get k     # it's a comment", WORD("get"), WORD("k"));
   EXPECT_WORDS("get k #", WORD("get"), WORD("k"));
   EXPECT_WORDS("get C# a#b", WORD("get"), WORD("C#"), WORD("a#b"));
   EXPECT_WORDS("get '#fff' \"# x\" ''#", WORD("get"), WORD("#fff"), WORD("# x"), WORD("#"));
}

static void what_only_looks_like_a_space_is_refused_outside_of_quotes(void **state)
{
   (void)state;
   static const char *const spaces[] = {"\xC2\xA0", "\xE2\x80\xAF", "\xE2\x80\x8B", "\xEF\xBB\xBF"};
   for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
      char line[64], word[64];
      snprintf(line, sizeof line, "get%sk", spaces[i]);
      expect_error(line, 4);
      snprintf(line, sizeof line, "get '%s'", spaces[i]);
      snprintf(word, sizeof word, "%s", spaces[i]);
      const struct kv_slice expected[] = {kv_slice_of("get"), kv_slice_of(word)};
      expect_words(line, 2, expected);
   }
}

static void a_typographic_quote_is_refused_but_an_apostrophe_is_not(void **state)
{
   (void)state;
   expect_error("set k \xE2\x80\x9Ctwo words\xE2\x80\x9D", 7);
   expect_error("set k \xE2\x80\x98v\xE2\x80\x99", 7);
   expect_error("set k name=\xE2\x80\x9Ev\xE2\x80\x9C", 12);
   EXPECT_WORDS("set k don\xE2\x80\x99t", WORD("set"), WORD("k"), WORD("don\xE2\x80\x99t"));
   EXPECT_WORDS("set k '\xE2\x80\x9Cv\xE2\x80\x9D'", WORD("set"), WORD("k"),
                WORD("\xE2\x80\x9Cv\xE2\x80\x9D"));
   /* Other characters with the same first bytes are text. */
   EXPECT_WORDS("\xE2\x82\xAC \xC2\xA7 \xEF\xBC\x81 \xE2", WORD("\xE2\x82\xAC"), WORD("\xC2\xA7"),
                WORD("\xEF\xBC\x81"), WORD("\xE2"));
}

static void utf16_is_named_as_such_and_ends_all(void **state)
{
   (void)state;
   static const char *const lines[] = {"\xFF\xFEs\0e\0t\0", "\xFE\xFF\0s\0e\0t"};
   for (size_t i = 0; i < 2; i++) {
      struct words words;
      struct words_error error;
      assert_false(words_split(lines[i], 8, &words, &error));
      assert_non_null(strstr(error.reason, "UTF-16"));
      assert_true(error.all);
   }
}

static void integers_are_whole_and_within_limits(void **state)
{
   (void)state;
   int64_t number = 0;
   assert_true(words_integer(kv_slice_of("300"), 0, 300, &number));
   assert_int_equal(number, 300);
   assert_true(words_integer(kv_slice_of("-9223372036854775808"), INT64_MIN, 0, &number));
   assert_true(number == INT64_MIN);
   const char *const bad[] = {"",
                              "-",
                              "301",
                              "-1",
                              "1.5",
                              "12x",
                              " 1",
                              "+1",
                              "0x10",
                              "9223372036854775808",
                              "99999999999999999999999999"};
   for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
      assert_false(words_integer(kv_slice_of(bad[i]), 0, 300, &number));
   assert_false(words_integer(kv_slice("1\0", 2), 0, 300, &number));
}

static void names_match_whatever_their_capitals(void **state)
{
   (void)state;
   assert_true(words_same(kv_slice_of("HyBrId"), "hybrid"));
   assert_false(words_same(kv_slice_of("hybri"), "hybrid"));
   assert_false(words_same(kv_slice_of("hybrids"), "hybrid"));
}

/* ---- Printing ---- */

typedef void print_fn(FILE *out, struct kv_slice bytes);

static void expect_print(print_fn *print, struct kv_slice bytes, const char *expected)
{
   char *text;
   size_t size;
   FILE *out = open_memstream(&text, &size);
   assert_non_null(out);
   print(out, bytes);
   assert_int_equal(fclose(out), 0);
   assert_string_equal(text, expected);
   free(text);
}

static void readable_text_is_printed_bare(void **state)
{
   (void)state;
   expect_print(print_text, kv_slice_of("two words, gr\xC3\xBC\xC3\x9F \\"),
                "two words, gr\xC3\xBC\xC3\x9F \\");
   expect_print(print_text, kv_slice_of("don't"), "don't");
}

static void text_that_would_mislead_is_quoted(void **state)
{
   (void)state;
   expect_print(print_text, kv_slice_of(""), "\"\"");
   expect_print(print_text, kv_slice_of(" a"), "\" a\"");
   expect_print(print_text, kv_slice_of("a "), "\"a \"");
   expect_print(print_text, kv_slice_of("\"a\""), "\"\\\"a\\\"\"");
   expect_print(print_text, kv_slice_of("'a'"), "\"'a'\"");
   expect_print(print_text, kv_slice_of("a\nb"), "\"a\\nb\"");
}

static void a_word_with_spaces_or_quotes_is_quoted(void **state)
{
   (void)state;
   expect_print(print_word, kv_slice_of("bare\\word"), "bare\\word");
   expect_print(print_word, kv_slice_of("two words"), "\"two words\"");
   /* Overlong forms of "/" and U+00E9 are not characters. */
   expect_print(print_word, kv_slice_of("\xC0\xAF"), "\"\\xc0\\xaf\"");
   expect_print(print_word, kv_slice_of("\xE0\x83\xA9"), "\"\\xe0\\x83\\xa9\"");
   expect_print(print_word, kv_slice_of("don't"), "\"don't\"");
}

static void nothing_printed_can_steer_the_terminal(void **state)
{
   (void)state;
   expect_print(print_text, kv_slice("\x1B[2J\0\x7F", 6), "\"\\x1b[2J\\x00\\x7f\"");
   expect_print(print_plain, kv_slice_of("a\x1B\"b\n"), "a\\x1b\"b\\n");
   /* a C1 control, a right-to-left override, a line separator */
   expect_print(print_text, kv_slice_of("\xC2\x9B"), "\"\\xc2\\x9b\"");
   expect_print(print_text, kv_slice_of("\xE2\x80\xAE"), "\"\\xe2\\x80\\xae\"");
   expect_print(print_text, kv_slice_of("\xE2\x80\xA8"), "\"\\xe2\\x80\\xa8\"");
}

static void bytes_that_are_no_utf8_are_escaped(void **state)
{
   (void)state;
   expect_print(print_text, kv_slice_of("\x80"), "\"\\x80\"");
   expect_print(print_text, kv_slice_of("\xC3"), "\"\\xc3\"");
   expect_print(print_text, kv_slice_of("\xC0\xAF"), "\"\\xc0\\xaf\"");
   expect_print(print_text, kv_slice_of("\xED\xA0\x80"), "\"\\xed\\xa0\\x80\"");
   expect_print(print_text, kv_slice_of("\xF4\x90\x80\x80"), "\"\\xf4\\x90\\x80\\x80\"");
   expect_print(print_text, kv_slice_of("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80");
}

static void expect_round_trip(print_fn *print, struct kv_slice bytes)
{
   char *text;
   size_t size;
   FILE *out = open_memstream(&text, &size);
   assert_non_null(out);
   print(out, bytes);
   assert_int_equal(fclose(out), 0);
   struct words words;
   struct words_error error;
   assert_true(words_split(text, size, &words, &error));
   assert_int_equal(words.count, 1);
   assert_int_equal(words.items[0].size, bytes.size);
   assert_memory_equal(words.items[0].data, bytes.data, bytes.size);
   words_deinit(&words);
   free(text);
}

static void every_printed_word_reads_back_as_the_same_bytes(void **state)
{
   (void)state;
   static const char *const lookalikes[] = {"\xC2\xA0",     "\xE2\x80\xAF", "\xE2\x80\x8B",
                                            "\xEF\xBB\xBF", "\xE2\x80\x9C", "\xE2\x80\x99"};
   for (size_t i = 0; i < sizeof lookalikes / sizeof *lookalikes; i++) {
      char text[16];
      snprintf(text, sizeof text, "%sa", lookalikes[i]);
      expect_round_trip(print_word, kv_slice_of(text));
      snprintf(text, sizeof text, "a%s", lookalikes[i]);
      expect_round_trip(print_word, kv_slice_of(text));
   }
   char all[512];
   for (size_t i = 0; i < sizeof all; i++)
      all[i] = (char)(i * (i < 256 ? 1 : 7));
   expect_round_trip(print_word, kv_slice(all, sizeof all));
   for (unsigned first = 0; first < 256; first++)
      for (unsigned second = 0; second < 256; second++) {
         const char pair[] = {(char)first, (char)second};
         expect_round_trip(print_word, kv_slice(pair, 2));
      }
   expect_round_trip(print_word, kv_slice("", 0));
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(spaces_and_tabs_separate_words),
       cmocka_unit_test(a_blank_line_has_no_words),
       cmocka_unit_test(quotes_keep_spaces_and_the_other_quote),
       cmocka_unit_test(empty_quotes_are_an_empty_word),
       cmocka_unit_test(parts_that_touch_are_one_word),
       cmocka_unit_test(double_quotes_know_the_escapes),
       cmocka_unit_test(a_backslash_elsewhere_is_a_backslash),
       cmocka_unit_test(an_unclosed_quote_is_refused_at_its_column),
       cmocka_unit_test(columns_count_characters),
       cmocka_unit_test(an_unknown_escape_is_refused_at_its_column),
       cmocka_unit_test(an_escape_ends_with_its_line),
       cmocka_unit_test(any_byte_can_stand_in_a_word),
       cmocka_unit_test(a_mark_before_the_line_and_carriage_returns_after_it_are_left_out),
       cmocka_unit_test(a_carriage_return_inside_is_kept_in_quotes_and_refused_outside),
       cmocka_unit_test(a_comment_begins_at_a_word_and_ends_with_the_line),
       cmocka_unit_test(what_only_looks_like_a_space_is_refused_outside_of_quotes),
       cmocka_unit_test(a_typographic_quote_is_refused_but_an_apostrophe_is_not),
       cmocka_unit_test(utf16_is_named_as_such_and_ends_all),
       cmocka_unit_test(integers_are_whole_and_within_limits),
       cmocka_unit_test(names_match_whatever_their_capitals),
       cmocka_unit_test(readable_text_is_printed_bare),
       cmocka_unit_test(text_that_would_mislead_is_quoted),
       cmocka_unit_test(a_word_with_spaces_or_quotes_is_quoted),
       cmocka_unit_test(nothing_printed_can_steer_the_terminal),
       cmocka_unit_test(bytes_that_are_no_utf8_are_escaped),
       cmocka_unit_test(every_printed_word_reads_back_as_the_same_bytes),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
