#include "core/host/settings.h"
#include "core/support/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static const kvs_option declared[] = {
    {.name = "interval",
     .type = KVS_OPTION_INTEGER,
     .default_value = "300",
     .minimum = -5,
     .maximum = 86400,
     .help = "seconds"},
    {.name = "segment",
     .type = KVS_OPTION_SIZE,
     .default_value = "10M",
     .minimum = 4096,
     .maximum = INT64_MAX,
     .help = "bytes"},
    {.name = "fsync",
     .type = KVS_OPTION_CHOICE,
     .default_value = "always",
     .choices = "always|everysec|no",
     .help = "when"},
    {.name = "label", .type = KVS_OPTION_TEXT, .default_value = "", .help = "anything"},
};

static const kvs_plugin plugin = {.name = "sample", .options = declared, .option_count = 4};

enum { INTERVAL, SEGMENT, FSYNC, LABEL };

static struct kv_settings *settings;
static struct kv_status status;

static enum kv_code create(const struct kv_mode_option *options, size_t count)
{
   return kv_settings_create(&plugin, options, count, &settings, &status);
}

/* One option set to `value`; checks text and number in force. */
static void assert_accepted(int index, const char *value, const char *text, int64_t integer)
{
   const struct kv_mode_option option = {declared[index].name, value};
   assert_int_equal(create(&option, 1), KV_OK);
   assert_string_equal(kv_settings_array(settings)[index].text, text);
   assert_true(kv_settings_array(settings)[index].integer == integer);
   kv_settings_destroy(settings);
}

/* The text must name the option and hold `part`. */
static void assert_refused(int index, const char *value, const char *part)
{
   const struct kv_mode_option option = {declared[index].name, value};
   assert_int_equal(create(&option, 1), KV_INVALID_ARGUMENT);
   assert_non_null(strstr(status.text, declared[index].name));
   assert_non_null(strstr(status.text, part));
}

static void options_left_out_have_their_defaults(void **state)
{
   (void)state;
   assert_int_equal(create(NULL, 0), KV_OK);
   const kvs_setting *array = kv_settings_array(settings);
   assert_int_equal(kv_settings_count(settings), 4);
   assert_string_equal(array[INTERVAL].name, "interval");
   assert_string_equal(array[INTERVAL].text, "300");
   assert_int_equal(array[INTERVAL].integer, 300);
   assert_string_equal(array[SEGMENT].text, "10485760");
   assert_int_equal(array[SEGMENT].integer, 10485760);
   assert_string_equal(array[FSYNC].text, "always");
   assert_int_equal(array[FSYNC].integer, 0);
   assert_string_equal(array[LABEL].text, "");
   kv_settings_destroy(settings);
}

static void a_whole_number_is_brought_to_one_spelling(void **state)
{
   (void)state;
   assert_accepted(INTERVAL, "7", "7", 7);
   assert_accepted(INTERVAL, "007", "7", 7);
   assert_accepted(INTERVAL, "-0", "0", 0);
   assert_accepted(INTERVAL, "-5", "-5", -5);
   assert_accepted(INTERVAL, "86400", "86400", 86400);
}

static void what_is_not_a_whole_number_within_limits_is_refused(void **state)
{
   (void)state;
   static const char *const values[] = {"", "x", " 7", "+7", "7 ", "7s", "1.5", "-", "0x10", "1K"};
   for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
      assert_refused(INTERVAL, values[i], "a whole number from -5 to 86400");
   assert_refused(INTERVAL, "86401", "not \"86401\"");
   assert_refused(INTERVAL, "-6", "not \"-6\"");
   assert_refused(INTERVAL, "99999999999999999999999", "not \"99999999999999999999999\"");
}

static void a_size_takes_a_suffix_of_powers_of_1024(void **state)
{
   (void)state;
   assert_accepted(SEGMENT, "4096", "4096", 4096);
   assert_accepted(SEGMENT, "4K", "4096", 4096);
   assert_accepted(SEGMENT, "3M", "3145728", 3145728);
   assert_accepted(SEGMENT, "2G", "2147483648", INT64_C(2147483648));
   assert_accepted(SEGMENT, "1T", "1099511627776", INT64_C(1099511627776));
   static const char *const same[] = {"4k",    "4KB",    "4kb",   "4KiB",  "4 K",
                                      "4 KiB", "4 \tkb", "4096B", "4096 B"};
   for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
      assert_accepted(SEGMENT, same[i], "4096", 4096);
   assert_accepted(SEGMENT, "9223372036854775807", "9223372036854775807", INT64_MAX);
}

/* When the limits are those of the type, only the parsing itself can detect an overflow. */
static void a_number_beyond_64_bits_is_refused_and_not_cut_to_the_bounds(void **state)
{
   (void)state;
   static const kvs_option option = {.name = "number",
                                     .type = KVS_OPTION_INTEGER,
                                     .default_value = "0",
                                     .minimum = INT64_MIN,
                                     .maximum = INT64_MAX,
                                     .help = "any"};
   const kvs_plugin wide = {.name = "wide", .options = &option, .option_count = 1};
   static const struct {
      const char *text;
      enum kv_code code;
   } cases[] = {{"9223372036854775807", KV_OK},
                {"9223372036854775808", KV_INVALID_ARGUMENT},
                {"-9223372036854775808", KV_OK},
                {"-9223372036854775809", KV_INVALID_ARGUMENT}};
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      const struct kv_mode_option given = {"number", cases[i].text};
      assert_int_equal(kv_settings_create(&wide, &given, 1, &settings, &status), cases[i].code);
      if (cases[i].code == KV_OK) {
         assert_string_equal(kv_settings_array(settings)[0].text, cases[i].text);
         kv_settings_destroy(settings);
      }
   }
}

static void a_size_that_overflows_or_is_malformed_is_refused(void **state)
{
   (void)state;
   static const char *const values[] = {"K",
                                        "4KK",
                                        "4KiBB",
                                        "4Ki",
                                        "4P",
                                        "-4K",
                                        "1K",
                                        "4096 ",
                                        " 4K",
                                        "4K ",
                                        "4 K B",
                                        "4.5K",
                                        "4i",
                                        "4iB",
                                        "4 0 96",
                                        "+4K",
                                        "0x10K",
                                        "9007199254740992K",
                                        "8589934592G",
                                        "8388608T",
                                        "9223372036854775808",
                                        "18014398509481988K",
                                        "18446744073709551616"};
   for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
      assert_refused(SEGMENT, values[i], "a size from 4096");
}

static void a_choice_is_one_of_its_words_as_written(void **state)
{
   (void)state;
   assert_accepted(FSYNC, "always", "always", 0);
   assert_accepted(FSYNC, "everysec", "everysec", 1);
   assert_accepted(FSYNC, "no", "no", 2);
   static const char *const values[] = {"", "Always", "alway", "alwayss", "always|everysec", "n"};
   for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
      assert_refused(FSYNC, values[i], "one of always|everysec|no");
}

static void a_text_holds_anything_that_can_be_shown(void **state)
{
   (void)state;
   assert_accepted(LABEL, "grün = ok", "grün = ok", 0);
   assert_refused(LABEL, "two\nlines", "not \"two?lines\"");
   assert_refused(LABEL, "\x1b[31m", "not \"?[31m\"");
   assert_refused(LABEL, "\xff", "not \"?\"");
   char longest[KV_OPTION_VALUE_SIZE_MAX + 2];
   memset(longest, 'a', sizeof longest);
   longest[KV_OPTION_VALUE_SIZE_MAX + 1] = '\0';
   assert_refused(LABEL, longest, "at most 4096 bytes");
   longest[KV_OPTION_VALUE_SIZE_MAX] = '\0';
   assert_accepted(LABEL, longest, longest, 0);
}

static void an_unknown_option_is_refused_with_a_list_of_the_known(void **state)
{
   (void)state;
   const struct kv_mode_option option = {"intervall", "5"};
   assert_int_equal(create(&option, 1), KV_INVALID_ARGUMENT);
   assert_non_null(strstr(status.text, "no option \"intervall\""));
   assert_non_null(strstr(status.text, "interval (a whole number from -5 to 86400)"));
   assert_non_null(strstr(status.text, "fsync (one of always|everysec|no)"));

   const kvs_plugin without = {.name = "bare"};
   assert_int_equal(kv_settings_create(&without, &option, 1, &settings, &status),
                    KV_INVALID_ARGUMENT);
   assert_non_null(strstr(status.text, "bare takes no options"));
}

static void an_option_given_twice_is_refused(void **state)
{
   (void)state;
   const struct kv_mode_option options[] = {{"interval", "5"}, {"fsync", "no"}, {"interval", "5"}};
   assert_int_equal(create(options, 3), KV_INVALID_ARGUMENT);
   assert_non_null(strstr(status.text, "interval is given twice"));
}

/* The declaration with one option replaced. */
static enum kv_code declare(const kvs_option *option)
{
   const kvs_option options[] = {declared[FSYNC], *option};
   const kvs_plugin changed = {.name = "changed", .options = options, .option_count = 2};
   return kv_settings_check_declaration(&changed, &status);
}

static void assert_not_declarable(kvs_option option, const char *part)
{
   assert_int_equal(declare(&option), KV_FAILED_PRECONDITION);
   assert_non_null(strstr(status.text, part));
}

static void a_declaration_that_makes_no_sense_is_refused(void **state)
{
   (void)state;
   assert_int_equal(kv_settings_check_declaration(&plugin, &status), KV_OK);
   const kvs_option good = declared[INTERVAL];
   assert_int_equal(declare(&good), KV_OK);

   kvs_option option = good;
   option.name = NULL;
   assert_not_declarable(option, "number 2 has no name");
   option.name = "Loud";
   assert_not_declarable(option, "number 2 has no name");
   option.name = "fsync";
   assert_not_declarable(option, "declared twice");
   option = good;
   option.type = 5;
   assert_not_declarable(option, "a type that this server does not know");
   option = good;
   option.help = NULL;
   assert_not_declarable(option, "no help");
   option = good;
   option.minimum = 90000;
   assert_not_declarable(option, "a minimum above its maximum");
   option = good;
   option.default_value = "90000";
   assert_not_declarable(option, "a default value that it would not accept");
   option.default_value = NULL;
   assert_not_declarable(option, "a default value that it would not accept");
}

static void choices_must_be_words(void **state)
{
   (void)state;
   static const char *const bad[] = {NULL, "", "|", "a||b", "a|", "|a", "a\nb"};
   kvs_option option = declared[FSYNC];
   option.name = "choice";
   option.default_value = "a";
   option.choices = "a";
   assert_int_equal(declare(&option), KV_OK);
   for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
      option.choices = bad[i];
      assert_not_declarable(option, "no choices");
   }
}

static void more_options_than_the_limit_are_refused(void **state)
{
   (void)state;
   const kvs_plugin many = {
       .name = "many", .options = declared, .option_count = KV_OPTION_COUNT_MAX + 1};
   assert_int_equal(kv_settings_check_declaration(&many, &status), KV_FAILED_PRECONDITION);
   const kvs_plugin none = {.name = "none", .option_count = 1};
   assert_int_equal(kv_settings_check_declaration(&none, &status), KV_FAILED_PRECONDITION);
}

static void text_to_be_shown_is_cut_between_characters(void **state)
{
   (void)state;
   char shown[8];
   assert_string_equal(kv_text_show("1234567", shown, sizeof shown), "1234567");
   assert_string_equal(kv_text_show("12345678", shown, sizeof shown), "1234...");
   assert_string_equal(kv_text_show("123äää", shown, sizeof shown), "123...");
   assert_string_equal(kv_text_show("äöü", shown, sizeof shown), "äöü");
   assert_string_equal(kv_text_show("€€€", shown, sizeof shown), "€...");
}

static void text_is_printable_when_it_is_well_formed_and_has_no_controls(void **state)
{
   (void)state;
   static const char *const good[] = {"", "a", "ä", "€", "😀", "\xf4\x8f\xbf\xbf", "\xc2\xa0"};
   static const char *const bad[] = {"\t",           "\x7f",
                                     "\x80",         "\xc3",
                                     "\xc0\x80",     "\xe0\x80\x80",
                                     "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                     "\xc2\x9b",     "\xe2\x82",
                                     "\xff",         "\xf8\x88\x80\x80\x80",
                                     "\xe0\x82\xa9", "\xf0\x82\x82\xac",
                                     "\u00ad",       "\u061c",
                                     "\u200b",       "\u200e",
                                     "\u2028",       "\u2029",
                                     "\u202a",       "\u202e",
                                     "\u2066",       "\u2069",
                                     "\ufeff",       "\U000e0041"};
   for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
      assert_true(kv_text_is_printable(good[i]));
   for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
      assert_false(kv_text_is_printable(bad[i]));
}

static void a_text_is_cleaned_of_what_is_not_printable(void **state)
{
   (void)state;
   char text[] = "ä\n\033[2J\u202e|\xc3";
   kv_text_clean(text);
   assert_string_equal(text, "ä??[2J???|?");
}

static void a_path_is_hidden_where_it_stands_and_nowhere_else(void **state)
{
   (void)state;
   static const struct {
      const char *text, *wanted;
   } cases[] = {
       {"/srv/kv", "DATA_DIR"},
       {"/var/kv/x is not /srv/kv/x", "DATA_DIR/x is not DATA_DIR/x"},
       {"/srv/kv/gen-1/x.log: no", "DATA_DIR/gen-1/x.log: no"},
       {"cannot open \"/srv/kv\", (/srv/kv/a), /srv/kv: no",
        "cannot open \"DATA_DIR\", (DATA_DIR/a), DATA_DIR: no"},
       {"/srv/kv2 /srv/kv.d /mnt/srv/kv srv/kv", "/srv/kv2 /srv/kv.d /mnt/srv/kv srv/kv"},
       {"", ""},
   };
   static const char *const paths[] = {"/srv/kv", "/var/kv", NULL}, *const root[] = {"/", NULL};
   char shown[80];
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      kv_text_hide_paths(cases[i].text, paths, "DATA_DIR", shown, sizeof shown);
      assert_string_equal(shown, cases[i].wanted);
   }
   kv_text_hide_paths("a /srv/kv b", paths, "DATA_DIR", shown, 8);
   assert_string_equal(shown, "a DATA_");
   kv_text_hide_paths("a / b", root, "DATA_DIR", shown, sizeof shown);
   assert_string_equal(shown, "a / b");
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(options_left_out_have_their_defaults),
       cmocka_unit_test(a_whole_number_is_brought_to_one_spelling),
       cmocka_unit_test(what_is_not_a_whole_number_within_limits_is_refused),
       cmocka_unit_test(a_size_takes_a_suffix_of_powers_of_1024),
       cmocka_unit_test(a_number_beyond_64_bits_is_refused_and_not_cut_to_the_bounds),
       cmocka_unit_test(a_size_that_overflows_or_is_malformed_is_refused),
       cmocka_unit_test(a_choice_is_one_of_its_words_as_written),
       cmocka_unit_test(a_text_holds_anything_that_can_be_shown),
       cmocka_unit_test(an_unknown_option_is_refused_with_a_list_of_the_known),
       cmocka_unit_test(an_option_given_twice_is_refused),
       cmocka_unit_test(a_declaration_that_makes_no_sense_is_refused),
       cmocka_unit_test(choices_must_be_words),
       cmocka_unit_test(more_options_than_the_limit_are_refused),
       cmocka_unit_test(text_to_be_shown_is_cut_between_characters),
       cmocka_unit_test(a_path_is_hidden_where_it_stands_and_nowhere_else),
       cmocka_unit_test(a_text_is_cleaned_of_what_is_not_printable),
       cmocka_unit_test(text_is_printable_when_it_is_well_formed_and_has_no_controls),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
