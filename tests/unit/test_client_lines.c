/* Lines of a pipe: always whole, in whatever pieces they arrive, and no waiting unless asked to. */
#include "client/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
   int in, out;
   struct lines *lines;
};

static int set_up(void **state)
{
   static struct fixture fixture;
   int ends[2];
   if (pipe(ends) != 0)
      return -1;
   fixture = (struct fixture){ends[1], ends[0], lines_create(ends[0])};
   *state = &fixture;
   return fixture.lines ? 0 : -1;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   lines_destroy(fixture->lines);
   close(fixture->out);
   if (fixture->in >= 0)
      close(fixture->in);
   return 0;
}

static void give(struct fixture *fixture, const char *text, size_t size)
{
   assert_int_equal(write(fixture->in, text, size), size);
}

static void end(struct fixture *fixture)
{
   close(fixture->in);
   fixture->in = -1;
}

static void expect_line(struct fixture *fixture, const char *text, size_t size)
{
   struct kv_slice line;
   assert_int_equal(lines_next(fixture->lines, true, &line), LINES_LINE);
   assert_int_equal(line.size, size);
   assert_memory_equal(line.data, text, size);
}

static void expect_state(struct fixture *fixture, bool wait, enum lines_state state)
{
   struct kv_slice line;
   assert_int_equal(lines_next(fixture->lines, wait, &line), state);
}

static void lines_end_at_newlines_and_keep_every_other_byte(void **state)
{
   struct fixture *fixture = *state;
   give(fixture, "one\n\ntwo\r\nt\0hree\nlast", 21);
   end(fixture);
   expect_line(fixture, "one", 3);
   expect_line(fixture, "", 0);
   expect_line(fixture, "two\r", 4);
   expect_line(fixture, "t\0hree", 6);
   expect_line(fixture, "last", 4);
   expect_state(fixture, true, LINES_END);
   expect_state(fixture, true, LINES_END);
}

static void half_a_line_is_none_yet(void **state)
{
   struct fixture *fixture = *state;
   expect_state(fixture, false, LINES_NONE_YET);
   give(fixture, "a\nha", 4);
   expect_line(fixture, "a", 1);
   expect_state(fixture, false, LINES_NONE_YET);
   give(fixture, "lf\n", 3);
   expect_line(fixture, "half", 4);
   expect_state(fixture, false, LINES_NONE_YET);
   end(fixture);
   expect_state(fixture, false, LINES_END);
}

static void a_descriptor_that_does_not_block_is_waited_for(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(fcntl(fixture->out, F_SETFL, O_NONBLOCK), 0);
   expect_state(fixture, false, LINES_NONE_YET);
   give(fixture, "a\n", 2);
   expect_line(fixture, "a", 1);
}

static void lines_larger_than_the_buffer_come_whole(void **state)
{
   struct fixture *fixture = *state;
   const size_t size = 3 * 1024 * 1024;
   char *text = malloc(size);
   assert_non_null(text);
   for (size_t i = 0; i < size; i++)
      text[i] = (char)('a' + i % 23);
   FILE *file = tmpfile();
   assert_non_null(file);
   for (int i = 0; i < 3; i++) {
      assert_int_equal(fwrite(text, 1, size, file), size);
      assert_int_equal(fputc('\n', file), '\n');
      assert_int_equal(fputs("short\n", file) >= 0, true);
   }
   rewind(file);
   struct fixture of_file = {-1, -1, lines_create(fileno(file))};
   assert_non_null(of_file.lines);
   for (int i = 0; i < 3; i++) {
      expect_line(&of_file, text, size);
      expect_line(&of_file, "short", 5);
   }
   expect_state(&of_file, false, LINES_END);
   lines_destroy(of_file.lines);
   fclose(file);
   free(text);
   (void)fixture;
}

static void what_cannot_be_read_has_failed(void **state)
{
   (void)state;
   int folder = open("/", O_RDONLY | O_DIRECTORY);
   assert_true(folder >= 0);
   struct fixture fixture = {-1, folder, lines_create(folder)};
   expect_state(&fixture, true, LINES_FAILED);
   assert_int_equal(errno, EISDIR);
   lines_destroy(fixture.lines);
   close(folder);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test_setup_teardown(lines_end_at_newlines_and_keep_every_other_byte, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(half_a_line_is_none_yet, set_up, tear_down),
       cmocka_unit_test_setup_teardown(a_descriptor_that_does_not_block_is_waited_for, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(lines_larger_than_the_buffer_come_whole, set_up, tear_down),
       cmocka_unit_test(what_cannot_be_read_has_failed),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
