#include "core/host/trusted_path.h"
#include "sdk/check/check.h"
#include "sdk/check/crash.h"
#include "sdk/check/faults.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int result_fd = -1;
static char context[512];

/* One line a message, at most PIPE_BUF bytes, so that threads do not mix theirs. */
__attribute__((format(printf, 2, 0))) static void report(char kind, const char *format,
                                                         va_list arguments)
{
   char line[2048];
   line[0] = kind;
   int size = vsnprintf(line + 1, sizeof line - 2, format, arguments);
   size_t end = size < 0 ? 1 : (size_t)size + 1;
   if (end > sizeof line - 2)
      end = sizeof line - 2;
   for (size_t i = 0; i < end; i++)
      if (line[i] == '\n')
         line[i] = ' ';
   line[end] = '\n';
   if (write(result_fd, line, end + 1) < 0)
      _exit(3);
}

#define REPORT(kind, format)                                                                       \
   do {                                                                                            \
      va_list arguments;                                                                           \
      va_start(arguments, format);                                                                 \
      report(kind, format, arguments);                                                             \
      va_end(arguments);                                                                           \
   } while (0)

void check_fail(const char *format, ...)
{
   REPORT('F', format);
   _exit(1);
}

void check_skip(const char *format, ...)
{
   REPORT('K', format);
   _exit(0);
}

__attribute__((format(printf, 2, 3))) static void report_text(char kind, const char *format, ...)
{
   REPORT(kind, format);
}

void check_step(const char *format, ...)
{
   char step[512];
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(step, sizeof step, format, arguments);
   va_end(arguments);
   report_text('S', "%s%s", step, context);
}

void check_context(const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(context, sizeof context, format, arguments);
   va_end(arguments);
}

void check_broken(const char *format, ...)
{
   REPORT('B', format);
   _exit(3);
}

const struct check_case *check_find(const char *name)
{
   for (size_t i = 0; i < check_case_count; i++)
      if (strcmp(check_cases[i].name, name) == 0)
         return &check_cases[i];
   return NULL;
}

/* The library's own text is for clients, and leaves out which file or directory it is. */
static void check_trust(const struct check_subject *subject)
{
   const char *slash = strrchr(subject->file, '/');
   struct kv_trusted_file file;
   struct kv_status status;
   enum kv_code code =
       kv_trusted_file_open(subject->directory, slash ? slash + 1 : subject->file, &file, &status);
   if (code == KV_OK)
      kv_trusted_file_close(&file);
   else if (code != KV_NOT_FOUND)
      check_fail("the server refuses it: %s", status.text);
}

static void load(struct check_subject *subject)
{
   struct kv_status status;
   check_step("loading the shared object");
   check_trust(subject);
   subject->library = kv_plugin_library_create(subject->directory, &status);
   if (!subject->library ||
       kv_plugin_library_find(subject->library, subject->name, &subject->plugin, &status) != 0)
      check_fail("the server refuses it: %s", status.text);
}

static void begin(int fd)
{
   result_fd = fd;
   if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
      _exit(3);
}

void check_run(const struct check_case *chosen, struct check_subject *subject, int fd)
{
   begin(fd);
   if (!(chosen->needs & CHECK_NEEDS_FILE)) {
      load(subject);
      if ((chosen->needs & CHECK_NEEDS_KEPT) && subject->plugin->promise == KVS_VOLATILE)
         check_skip("it promises to keep nothing");
      if ((chosen->needs & CHECK_NEEDS_FAULTS) && !faults_available())
         check_skip("the fault library is not loaded, as in a build with a sanitizer");
   }
   check_step("running");
   chosen->run(subject);
   check_step("ending the process");
   report_text('O', "%s", "");
   exit(0);
}

void check_work(const char *worker, struct check_subject *subject, const char *argument, int fd)
{
   begin(fd);
   load(subject);
   crash_work(worker, subject, argument);
}
