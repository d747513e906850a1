#include "core/support/invariant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs in a child that is expected to die. */
static void break_one(int number)
{
   KV_INVARIANT(number < 3);
}

static int evaluations;

static int counted(int value)
{
   evaluations++;
   return value;
}

/* Runs break_one in a child with standard error in `text`; returns how the child ended. */
static int in_child(int number, char *text, size_t size)
{
   int ends[2];
   assert_int_equal(pipe(ends), 0);
   pid_t child = fork();
   assert_true(child >= 0);
   if (child == 0) {
      const struct rlimit no_core = {0, 0};
      setrlimit(RLIMIT_CORE, &no_core);
      signal(SIGABRT, SIG_DFL);
      if (dup2(ends[1], STDERR_FILENO) < 0)
         _exit(1);
      break_one(number);
      _exit(0);
   }
   close(ends[1]);
   size_t used = 0;
   ssize_t got;
   while ((got = read(ends[0], text + used, size - 1 - used)) > 0)
      used += (size_t)got;
   text[used] = '\0';
   close(ends[0]);
   int status;
   assert_int_equal(waitpid(child, &status, 0), child);
   return status;
}

static void a_true_invariant_says_nothing(void **state)
{
   (void)state;
   char text[8192];
   int status = in_child(2, text, sizeof text);
   assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
   assert_string_equal(text, "");
}

static void a_broken_invariant_aborts_with_its_condition_and_place(void **state)
{
   (void)state;
   char text[8192];
   int status = in_child(3, text, sizeof text);
   assert_true(WIFSIGNALED(status));
   assert_int_equal(WTERMSIG(status), SIGABRT);
   assert_non_null(strstr(text, "invariant broken: number < 3 ("));
   assert_non_null(strstr(text, "tests/unit/test_invariant.c:"));
   assert_non_null(strstr(text, ", break_one)\n"));
}

static void a_broken_invariant_prints_a_backtrace(void **state)
{
   (void)state;
   char text[8192];
   in_child(3, text, sizeof text);
   /* A line a frame: the program, an offset to give to addr2line, the address. */
   const char *frames = strstr(text, "the lines below.\n");
   assert_non_null(frames);
   int count = 0;
   for (const char *frame = frames; (frame = strstr(frame, "test_invariant(")); frame++)
      count++;
   assert_true(count >= 3);
}

static void the_condition_is_evaluated_once_and_in_every_build(void **state)
{
   (void)state;
   evaluations = 0;
   KV_INVARIANT(counted(1));
   assert_int_equal(evaluations, 1);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_true_invariant_says_nothing),
       cmocka_unit_test(a_broken_invariant_aborts_with_its_condition_and_place),
       cmocka_unit_test(a_broken_invariant_prints_a_backtrace),
       cmocka_unit_test(the_condition_is_evaluated_once_and_in_every_build),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
