#include "core/config.h"

#include "tests/support/temporary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
   struct temporary directory;
   char path[TEMPORARY_PATH_SIZE];
   struct kv_config config;
   struct kv_status status;
};

static int set_up(void **state)
{
   static struct fixture fixture;
   memset(&fixture, 0, sizeof fixture);
   temporary_create(&fixture.directory);
   temporary_path(&fixture.directory, "file.conf", fixture.path);
   *state = &fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   temporary_remove(&fixture->directory);
   return 0;
}

static enum kv_code read_bytes(struct fixture *fixture, const char *text, size_t size)
{
   char *arguments[] = {"kvstore-server", "--config", fixture->path, NULL};
   temporary_write(&fixture->directory, "file.conf", text, size);
   return kv_config_read(&fixture->config, 3, arguments, &fixture->status);
}

static void read_good(struct fixture *fixture, const char *text)
{
   if (read_bytes(fixture, text, strlen(text)) != KV_OK)
      fail_msg("%s", fixture->status.text);
}

static void assert_bad_bytes(struct fixture *fixture, const char *text, size_t size, unsigned line,
                             const char *part)
{
   char place[TEMPORARY_PATH_SIZE + 32];
   snprintf(place, sizeof place, "%s, line %u (", fixture->path, line);
   assert_int_equal(read_bytes(fixture, text, size), KV_INVALID_ARGUMENT);
   kv_config_deinit(&fixture->config);
   if (strncmp(fixture->status.text, place, strlen(place)) != 0 ||
       !strstr(fixture->status.text, part))
      fail_msg("line %u and \"%s\" are not in: %s", line, part, fixture->status.text);
}

static void assert_bad(struct fixture *fixture, const char *text, unsigned line, const char *part)
{
   assert_bad_bytes(fixture, text, strlen(text), line, part);
}

/* ---- Lines ---- */

static void blanks_around_a_setting_mean_nothing(void **state)
{
   struct fixture *fixture = *state;
   static const char *const texts[] = {
       "data-dir=/a b\nworkers=3", "data-dir = /a b\n  workers = 3\n",
       "\t data-dir\t=\t/a b \t\n\n   \n\tworkers =3   ", "data-dir = /a b\r\nworkers = 3\r\n",
       ("\xef\xbb\xbf"
        "data-dir = /a b\n workers = 3\n")};
   for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
      read_good(fixture, texts[i]);
      assert_string_equal(fixture->config.data_dir, "/a b");
      assert_int_equal(fixture->config.workers, 3);
      kv_config_deinit(&fixture->config);
   }
}

static void a_comment_begins_a_line_or_follows_a_blank(void **state)
{
   struct fixture *fixture = *state;
   read_good(fixture, "# workers = 9\n   ; workers = 9\n"
                      "data-dir = /x   # fast disk\n"
                      "plugin-dir = /a#b;c\t; both\n"
                      "workers = 3 #");
   assert_string_equal(fixture->config.data_dir, "/x");
   assert_string_equal(fixture->config.plugin_dir, "/a#b;c");
   assert_int_equal(fixture->config.workers, 3);
   kv_config_deinit(&fixture->config);
}

static void a_comment_may_be_of_any_length(void **state)
{
   struct fixture *fixture = *state;
   static char text[100000];
   memset(text, '=', sizeof text - 1);
   text[0] = '#';
   memcpy(text + sizeof text - 15, "\nworkers = 3\n", 13);
   text[sizeof text - 2] = '\0';
   read_good(fixture, text);
   assert_int_equal(fixture->config.workers, 3);
   kv_config_deinit(&fixture->config);
}

static void quotes_keep_blanks_and_comment_signs(void **state)
{
   struct fixture *fixture = *state;
   read_good(fixture, "data-dir = \" /a # b \"   # fast disk\n"
                      "plugin-dir = \"a \\\"b\\\" \\\\c\"\n"
                      "mode = say\"hello\"\n");
   assert_string_equal(fixture->config.data_dir, " /a # b ");
   assert_string_equal(fixture->config.plugin_dir, "a \"b\" \\c");
   assert_string_equal(fixture->config.mode, "say\"hello\"");
   kv_config_deinit(&fixture->config);
}

static void what_is_no_line_is_refused_with_its_number_and_text(void **state)
{
   struct fixture *fixture = *state;
   static const struct {
      const char *line, *part;
   } cases[] = {
       {"nonsense", "(nonsense): is not of the form \"name = value\""},
       {"  more nonsense = 3", "(more nonsense = 3): is not of the form"},
       {"= 3", "is not of the form"},
       {"data-dir: /x", "is not of the form"},
       {"[server]", "sections are not supported"},
       {"data-dir = \"/x", "is not closed"},
       {"data-dir = \"/x\\\"", "is not closed"},
       {"data-dir = \"/x\" y", "something follows"},
       {"data-dir = \"/x\"#y", "something follows"},
       {"data-dir = \"\\n\"", "a backslash may only precede"},
       {"data-dir = /x\033[2J", "(data-dir = /x?[2J): holds a control character"},
       {"data-dir = \xff", "(data-dir = ?): holds a control character, or bytes"},
       {"data-dir = a\rb", "holds a control character"},
       {"data-dir = a\u202eb", "holds a control character"},
       {"colour = red", "no such setting"},
       {"check-config = 1", "no such setting"},
       {"config = other.conf", "no such setting"},
       {"workers = 0", "(workers = 0): \"0\" is not a number from 1 to 64"},
       {"workers = 1K", "\"1K\" is not a number"},
       {"workers = 3 4", "\"3 4\" is not a number"},
       {"workers =", "\"\" is not a number"},
       {"data-dir = # fast disk", "\"\" is empty"},
       {"log-level = loud", "\"loud\" is none of"},
       {"insecure = perhaps", "\"perhaps\" is none of yes, no, 1, 0"},
       {"insecure =", "\"\" is none of yes, no, 1, 0"},
       {"option = fsync", "\"fsync\" is not of the form NAME=VALUE"},
       {"max-memory = 1 gallon", "\"1 gallon\" is not a size from 0"},
       {"max-memory = 99999999T", "is not a size from 0"},
       {"hook-budget = 3", "is in line 2 already"},
   };
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      char text[256];
      snprintf(text, sizeof text, "# first\nhook-budget = 7\n%s\nshutdown-grace-ms = 1\n",
               cases[i].line);
      assert_bad(fixture, text, 3, cases[i].part);
   }
   assert_bad_bytes(fixture, "a\0b", 3, 1, "holds a control character");
}

static void what_can_be_no_configuration_file_is_refused(void **state)
{
   struct fixture *fixture = *state;
   size_t size = (size_t)2 * 1024 * 1024;
   char *text = calloc(1, size);
   assert_non_null(text);
   memset(text, '\n', size);
   assert_int_equal(read_bytes(fixture, text, size), KV_INVALID_ARGUMENT);
   assert_non_null(strstr(fixture->status.text, "more than 1048576 bytes"));
   kv_config_deinit(&fixture->config);
   free(text);
   char *arguments[] = {"kvstore-server", "--config", fixture->directory.path, NULL};
   assert_int_not_equal(kv_config_read(&fixture->config, 3, arguments, &fixture->status), KV_OK);
   assert_non_null(strstr(fixture->status.text, fixture->directory.path));
   kv_config_deinit(&fixture->config);
}

/* ---- Values ---- */

static void a_flag_without_argument_may_have_a_default_and_be_set_elsewhere(void **state)
{
   struct fixture *fixture = *state;
   static const struct {
      const char *line, *variable;
      bool flag, insecure;
   } cases[] = {{"", NULL, false, false},
                {"insecure = yes", NULL, false, true},
                {"insecure = 1", NULL, false, true},
                {"insecure = yes", "no", false, false},
                {"insecure = yes", "0", false, false},
                {"insecure = no", "yes", false, true},
                {"insecure = no", "no", true, true}};
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      char *arguments[] = {"kvstore-server", "--config", fixture->path,
                           cases[i].flag ? "--insecure" : NULL, NULL};
      temporary_write(&fixture->directory, "file.conf", cases[i].line, strlen(cases[i].line));
      if (cases[i].variable)
         assert_int_equal(setenv("KVSTORE_INSECURE", cases[i].variable, true), 0);
      assert_int_equal(
          kv_config_read(&fixture->config, cases[i].flag ? 4 : 3, arguments, &fixture->status),
          KV_OK);
      assert_int_equal(unsetenv("KVSTORE_INSECURE"), 0);
      assert_int_equal(fixture->config.insecure, cases[i].insecure);
      kv_config_deinit(&fixture->config);
   }
}

static void sizes_may_have_a_unit(void **state)
{
   struct fixture *fixture = *state;
   static const char *const same[] = {"1073741824", "1G",      "1GiB", "1 GB",
                                      "1 g",        "1024MiB", "1GB",  "1048576 K"};
   for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
      char text[64];
      snprintf(text, sizeof text, "max-memory = %s # as documented", same[i]);
      read_good(fixture, text);
      assert_int_equal(fixture->config.max_memory, (uint64_t)1 << 30);
      kv_config_deinit(&fixture->config);
   }
}

static void a_repeatable_setting_may_stand_in_several_lines(void **state)
{
   struct fixture *fixture = *state;
   read_good(fixture, "listen = 127.0.0.1:1\nlisten = unix:/a,b\n"
                      "option = inner_options=fsync=no,aof_max_size=1M\noption = a=\n");
   assert_int_equal(fixture->config.listen_count, 2);
   assert_string_equal(fixture->config.listen[1], "unix:/a,b");
   assert_int_equal(fixture->config.option_count, 2);
   assert_string_equal(fixture->config.options[0].name, "inner_options");
   assert_string_equal(fixture->config.options[0].value, "fsync=no,aof_max_size=1M");
   assert_string_equal(fixture->config.options[1].value, "");
   kv_config_deinit(&fixture->config);
}

static void in_the_environment_a_comma_can_be_escaped(void **state)
{
   struct fixture *fixture = *state;
   char *arguments[] = {"kvstore-server", NULL};
   assert_int_equal(setenv("KVSTORE_OPTION",
                           "inner=aof,inner_options=fsync=no\\,aof_max_size=1M,b=\\\\,c=\\d", 1),
                    0);
   enum kv_code code = kv_config_read(&fixture->config, 1, arguments, &fixture->status);
   assert_int_equal(unsetenv("KVSTORE_OPTION"), 0);
   assert_int_equal(code, KV_OK);
   static const struct kv_mode_option wanted[] = {
       {"inner", "aof"}, {"inner_options", "fsync=no,aof_max_size=1M"}, {"b", "\\"}, {"c", "\\d"}};
   assert_int_equal(fixture->config.option_count, 4);
   for (size_t i = 0; i < 4; i++) {
      assert_string_equal(fixture->config.options[i].name, wanted[i].name);
      assert_string_equal(fixture->config.options[i].value, wanted[i].value);
   }
   kv_config_deinit(&fixture->config);
}

static void assert_flags(struct fixture *fixture, char *first, char *second, const char *part)
{
   char *arguments[] = {"kvstore-server", first, second, NULL};
   assert_int_equal(kv_config_read(&fixture->config, second ? 3 : 2, arguments, &fixture->status),
                    KV_INVALID_ARGUMENT);
   kv_config_deinit(&fixture->config);
   if (!strstr(fixture->status.text, part))
      fail_msg("\"%s\" is not in: %s", part, fixture->status.text);
}

static void an_unknown_flag_is_named(void **state)
{
   struct fixture *fixture = *state;
   assert_flags(fixture, "--colour", NULL, "unknown option --colour");
   assert_flags(fixture, "-x", NULL, "unknown option -x");
   assert_flags(fixture, "-hx", NULL, "unknown option -x");
   assert_flags(fixture, "--mode", NULL, "option --mode needs a value");
   assert_flags(fixture, "stray", NULL, "unexpected argument \"stray\"");
   assert_flags(fixture, "--workers", "many", "workers (command line): \"many\" is not a number");
}

static void a_single_letter_asks_for_help(void **state)
{
   struct fixture *fixture = *state;
   char *arguments[] = {"kvstore-server", "-h", NULL};
   assert_int_equal(kv_config_read(&fixture->config, 2, arguments, &fixture->status), KV_OK);
   assert_true(fixture->config.show_help);
   kv_config_deinit(&fixture->config);
}

/* Settings of whoever runs the tests would win over the files of the tests. */
static void forget_settings(void)
{
   for (char **variable = environ; *variable;) {
      size_t size = strcspn(*variable, "=");
      char name[256];
      if (strncmp(*variable, "KVSTORE_", 8) != 0 || size >= sizeof name) {
         variable++;
         continue;
      }
      memcpy(name, *variable, size);
      name[size] = '\0';
      unsetenv(name); /* which moves the following ones up */
   }
}

int main(void)
{
   forget_settings();
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
   const struct CMUnitTest tests[] = {
       TEST(blanks_around_a_setting_mean_nothing),
       TEST(a_comment_begins_a_line_or_follows_a_blank),
       TEST(a_comment_may_be_of_any_length),
       TEST(quotes_keep_blanks_and_comment_signs),
       TEST(what_is_no_line_is_refused_with_its_number_and_text),
       TEST(what_can_be_no_configuration_file_is_refused),
       TEST(a_flag_without_argument_may_have_a_default_and_be_set_elsewhere),
       TEST(sizes_may_have_a_unit),
       TEST(a_repeatable_setting_may_stand_in_several_lines),
       TEST(in_the_environment_a_comma_can_be_escaped),
       TEST(an_unknown_flag_is_named),
       TEST(a_single_letter_asks_for_help),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
