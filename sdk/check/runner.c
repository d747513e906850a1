#include "sdk/check/runner.h"

#include "core/support/clock.h"
#include "core/support/remove_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct run {
   const struct run_config *config;
   const struct check_case *chosen;
   struct run_result *result;
   char workspace[CHECK_PATH_SIZE];
   char step[2048];
   int result_pipe[2], output_fd;
   pid_t process;
   bool late;
};

static void broken(struct run *run, const char *what)
{
   run->result->verdict = RUN_BROKEN;
   snprintf(run->result->text, sizeof run->result->text, "the kit itself: %s: %s", what,
            strerror(errno));
}

/* ---- Workspace ----------------------------------------------------------------------------- */

static bool make_workspace(struct run *run)
{
   const char *temporary = getenv("TMPDIR");
   char path[CHECK_PATH_SIZE];
   snprintf(path, sizeof path, "%s/kvstore-plugin-check-XXXXXX",
            temporary && temporary[0] == '/' ? temporary : "/tmp");
   return mkdtemp(path) && realpath(path, run->workspace);
}

static void remove_workspace(const struct run *run)
{
   bool failed = run->result->verdict == RUN_FAILED;
   if (failed && run->config->keep)
      fprintf(stderr, "kept: %s\n", run->workspace);
   else
      (void)kv_remove_tree(run->workspace);
}

/* ---- The process --------------------------------------------------------------------------- */

enum { NUMBER_SIZE = 32, ARGUMENTS_MAX = 16 + 2 * KV_OPTION_COUNT_MAX };

static void execute(const struct run *run)
{
   const struct check_subject *subject = run->config->subject;
   char result[NUMBER_SIZE], seed[NUMBER_SIZE], rounds[NUMBER_SIZE];
   const char *arguments[ARGUMENTS_MAX];
   size_t count = 0;
   snprintf(result, sizeof result, "%d", run->result_pipe[1]);
   snprintf(seed, sizeof seed, "%" PRIu64, subject->seed);
   snprintf(rounds, sizeof rounds, "%u", subject->rounds);
   const char *const fixed[] = {"kvstore-plugin-check",
                                "--run-case",
                                run->chosen->name,
                                "--result-fd",
                                result,
                                "--workspace",
                                run->workspace,
                                "--seed",
                                seed,
                                "--rounds",
                                rounds};
   for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
      arguments[count++] = fixed[i];
   for (size_t i = 0; i < subject->option_count; i++) {
      char *option;
      if (asprintf(&option, "%s=%s", subject->options[i].name, subject->options[i].value) < 0)
         return;
      arguments[count++] = "--option";
      arguments[count++] = option;
   }
   arguments[count++] = subject->file;
   arguments[count] = NULL;
   execv("/proc/self/exe", (char *const *)arguments);
}

/* In the new process. Its group is its own, so that what it starts ends with it. */
static void become_case(const struct run *run)
{
   setpgid(0, 0);
   prctl(PR_SET_PDEATHSIG, SIGKILL);
   int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
   /* What the kit was started with is none of the plug-in's. */
   bool ready = null_fd >= 0 && dup2(null_fd, 0) == 0 && dup2(run->output_fd, 1) == 1 &&
                dup2(run->output_fd, 2) == 2 && close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0 &&
                fcntl(run->result_pipe[1], F_SETFD, 0) == 0;
   bool faults =
       (run->chosen->needs & CHECK_NEEDS_FAULTS) || strcmp(run->chosen->name, "joined") == 0;
   if (ready && faults && run->config->fault_library)
      ready = setenv("LD_PRELOAD", run->config->fault_library, 1) == 0;
   /* What a thread keeps for itself of freed memory would count as memory in use. */
   if (ready && setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1) == 0)
      execute(run);
   _exit(3);
}

/* ---- What it says -------------------------------------------------------------------------- */

static void take_line(struct run *run, char *line)
{
   struct run_result *result = run->result;
   if (line[0] == 'S')
      snprintf(run->step, sizeof run->step, "%s", line + 1);
   else if (line[0] == 'O' && result->verdict == RUN_BROKEN)
      result->verdict = RUN_OK;
   else if (line[0] != 'O') {
      result->verdict = line[0] == 'F' ? RUN_FAILED : line[0] == 'K' ? RUN_SKIPPED : RUN_BROKEN;
      snprintf(result->text, sizeof result->text, "%s%s", line[0] == 'B' ? "the kit itself: " : "",
               line + 1);
   }
}

/* Until the process has closed its end, or the time is up. */
static void read_lines(struct run *run, uint64_t deadline_ms)
{
   char buffer[8192];
   size_t used = 0;
   for (;;) {
      uint64_t now_ms = kv_clock_monotonic_ms();
      struct pollfd ready = {.fd = run->result_pipe[0], .events = POLLIN};
      run->late = now_ms >= deadline_ms;
      if (run->late || poll(&ready, 1, (int)(deadline_ms - now_ms)) < 0)
         return;
      if (ready.revents == 0)
         continue;
      ssize_t got = read(run->result_pipe[0], buffer + used, sizeof buffer - 1 - used);
      if (got <= 0)
         return;
      used += (size_t)got;
      buffer[used] = '\0';
      char *line = buffer;
      for (char *end; (end = strchr(line, '\n')); line = end + 1) {
         *end = '\0';
         take_line(run, line);
      }
      used -= (size_t)(line - buffer);
      memmove(buffer, line, used);
   }
}

static void read_output(struct run *run)
{
   off_t size = lseek(run->output_fd, 0, SEEK_END);
   size_t space = sizeof run->result->output - 1;
   off_t from = size > (off_t)space ? size - (off_t)space : 0;
   ssize_t got = pread(run->output_fd, run->result->output, space, from);
   run->result->output[got > 0 ? got : 0] = '\0';
}

static void judge_end(struct run *run, int status, unsigned seconds)
{
   struct run_result *result = run->result;
   bool spoken = result->verdict == RUN_FAILED || result->text[0] != '\0';
   if (spoken || (result->verdict == RUN_OK && WIFEXITED(status) && WEXITSTATUS(status) == 0))
      return;
   result->verdict = RUN_FAILED;
   if (run->late)
      snprintf(result->text, sizeof result->text, "it took more than %u seconds and was %.400s",
               seconds, run->step);
   else if (WIFSIGNALED(status))
      snprintf(result->text, sizeof result->text, "it crashed (%s) while %.400s",
               strsignal(WTERMSIG(status)), run->step);
   else
      snprintf(result->text, sizeof result->text,
               "it ended the process (exit status %d) while %.400s", WEXITSTATUS(status),
               run->step);
}

/* A process may have closed its end of the pipe and live on. */
static bool wait_for_end(struct run *run, uint64_t deadline_ms, int *status)
{
   pid_t ended = 0;
   while (!run->late && ended == 0) {
      ended = waitpid(run->process, status, WNOHANG);
      if (ended == 0)
         nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
      run->late = ended == 0 && kv_clock_monotonic_ms() >= deadline_ms;
   }
   if (run->late) {
      kill(-run->process, SIGKILL);
      ended = waitpid(run->process, status, 0);
   }
   return ended == run->process;
}

static void supervise(struct run *run)
{
   unsigned seconds = run->config->seconds ? run->config->seconds : run->chosen->seconds;
   uint64_t began_ms = kv_clock_monotonic_ms(), deadline_ms = began_ms + (uint64_t)seconds * 1000;
   int status;
   read_lines(run, deadline_ms);
   if (!wait_for_end(run, deadline_ms, &status)) {
      broken(run, "cannot wait for the case");
      return;
   }
   kill(-run->process, SIGKILL); /* what it has left running */
   run->result->seconds = (double)(kv_clock_monotonic_ms() - began_ms) / 1000;
   read_output(run);
   judge_end(run, status, seconds);
}

static void start(struct run *run)
{
   if (pipe2(run->result_pipe, O_CLOEXEC) != 0) {
      broken(run, "no pipe");
      return;
   }
   run->process = fork();
   if (run->process == 0)
      become_case(run);
   close(run->result_pipe[1]);
   if (run->process < 0)
      broken(run, "no process");
   else
      supervise(run);
   close(run->result_pipe[0]);
}

void run_case(const struct run_config *config, const struct check_case *chosen,
              struct run_result *result)
{
   struct run run = {.config = config, .chosen = chosen, .result = result, .output_fd = -1};
   *result = (struct run_result){.verdict = RUN_BROKEN};
   snprintf(run.step, sizeof run.step, "starting");
   if (!make_workspace(&run)) {
      broken(&run, "no temporary directory");
      return;
   }
   run.output_fd = memfd_create("output", MFD_CLOEXEC);
   if (run.output_fd < 0)
      broken(&run, "no file for the output");
   else
      start(&run);
   close(run.output_fd);
   remove_workspace(&run);
}
