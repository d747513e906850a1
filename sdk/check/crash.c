#include "sdk/check/crash.h"

#include "sdk/check/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void crash_begin(struct crash *crash, const struct check_subject *subject)
{
   *crash = (struct crash){.subject = subject};
   crash->progress_fd = memfd_create("progress", 0);
   if (crash->progress_fd < 0 || ftruncate(crash->progress_fd, sizeof *crash->progress) != 0)
      check_broken("no shared memory: %s", strerror(errno));
   crash->progress = mmap(NULL, sizeof *crash->progress, PROT_READ | PROT_WRITE, MAP_SHARED,
                          crash->progress_fd, 0);
   if (crash->progress == MAP_FAILED)
      check_broken("no shared memory: %s", strerror(errno));
}

enum { ARGUMENTS_MAX = 16 + 2 * KV_OPTION_COUNT_MAX, NUMBER_SIZE = 32 };

/* The command line of main.c's hidden mode. */
static void exec_worker(const struct crash *crash, const char *worker, uint64_t number,
                        int result_fd)
{
   const struct check_subject *subject = crash->subject;
   static char argument[CHECK_PATH_SIZE + 2 * NUMBER_SIZE], result[NUMBER_SIZE], seed[NUMBER_SIZE];
   static char options[KV_OPTION_COUNT_MAX][KV_OPTION_NAME_SIZE_MAX + KV_OPTION_VALUE_SIZE_MAX + 2];
   const char *arguments[ARGUMENTS_MAX];
   size_t count = 0;
   snprintf(argument, sizeof argument, "%d %" PRIu64 " %d %s", crash->progress_fd, number,
            crash->resumed, crash->directory);
   snprintf(result, sizeof result, "%d", result_fd);
   snprintf(seed, sizeof seed, "%" PRIu64, subject->seed);
   const char *const fixed[] = {"kvstore-plugin-check",
                                "--run-worker",
                                worker,
                                "--worker-argument",
                                argument,
                                "--result-fd",
                                result,
                                "--workspace",
                                subject->workspace,
                                "--seed",
                                seed};
   for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
      arguments[count++] = fixed[i];
   for (size_t i = 0; i < subject->option_count; i++) {
      snprintf(options[i], sizeof options[i], "%s=%s", subject->options[i].name,
               subject->options[i].value);
      arguments[count++] = "--option";
      arguments[count++] = options[i];
   }
   arguments[count++] = subject->file;
   arguments[count] = NULL;
   execv("/proc/self/exe", (char *const *)arguments);
}

/* The worker's failures go the way of the case's. */
static int result_pipe[2];

void crash_make_directory(struct crash *crash, const char *name)
{
   driver_make_directory(crash->subject, name, crash->directory);
   crash->resumed = false;
}

void crash_start(struct crash *crash, const char *worker, uint64_t number)
{
   memset(crash->progress, 0, sizeof *crash->progress);
   if (pipe2(result_pipe, O_CLOEXEC) != 0)
      check_broken("no pipe: %s", strerror(errno));
   crash->worker = fork();
   if (crash->worker < 0)
      check_broken("no process: %s", strerror(errno));
   if (crash->worker == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      int result_fd = dup(result_pipe[1]);
      exec_worker(crash, worker, number, result_fd);
      _exit(3);
   }
   close(result_pipe[1]);
}

/* What the worker said last, or NULL when it did not fail. */
static const char *read_failure(char text[4096], size_t size)
{
   size_t used = 0;
   ssize_t got;
   while (used < size - 1 && (got = read(result_pipe[0], text + used, size - 1 - used)) > 0)
      used += (size_t)got;
   /* The rest, so that a worker never waits for a reader. */
   char more[4096];
   while (read(result_pipe[0], more, sizeof more) > 0) {
   }
   text[used] = '\0';
   close(result_pipe[0]);
   for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
      if (*line == 'F' || *line == 'B') {
         line[strcspn(line, "\n")] = '\0';
         return line + 1;
      }
   return NULL;
}

void crash_wait(struct crash *crash)
{
   int status;
   char text[4096];
   const char *failure = read_failure(text, sizeof text);
   if (waitpid(crash->worker, &status, 0) != crash->worker)
      check_broken("cannot wait for a process: %s", strerror(errno));
   crash->resumed |= crash->progress->opened != 0;
   bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
   bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
   if (failure)
      check_fail("%s", failure);
   if (!killed && !done)
      check_fail("its process died by itself while batches were written (%s %d)",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

void crash_kill(struct crash *crash)
{
   kill(crash->worker, SIGKILL);
   crash_wait(crash);
}
