/* The rules of the fault shim; shim.h says how they are given and what they do. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct shim_control *control;
static char root[PATH_MAX];
static size_t root_size;

/* System calls by number: the C library's functions are those that are replaced. */
static struct shim_control *map_control(const char *path)
{
   long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
   if (fd < 0)
      return NULL;
   struct shim_control *mapped =
       mmap(NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
   syscall(SYS_close, fd);
   return mapped != MAP_FAILED && mapped->magic == SHIM_MAGIC ? mapped : NULL;
}

__attribute__((constructor)) static void begin(void)
{
   const char *path = getenv("KVSTORE_FAULT_CONTROL");
   const char *directory = getenv("KVSTORE_FAULT_ROOT");
   if (!path || !directory || strlen(directory) >= sizeof root)
      return;
   strcpy(root, directory);
   root_size = strlen(root);
   control = map_control(path);
   if (!control) {
      fprintf(stderr, "fault shim: cannot use the control file %s\n", path);
      _exit(127);
   }
}

/* ---- Paths --------------------------------------------------------------------------------- */

static bool below_root(const char *path)
{
   return root_size > 0 && strncmp(path, root, root_size) == 0 &&
          (path[root_size] == '\0' || path[root_size] == '/');
}

bool shim_path_of_fd(int fd, char *path, size_t size)
{
   char link[64];
   if (!control)
      return false;
   int error = errno;
   snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
   ssize_t length = readlink(link, path, size - 1);
   errno = error;
   if (length < 0)
      return false;
   path[length] = '\0';
   return below_root(path);
}

bool shim_path_of_name(int directory_fd, const char *name, char *path, size_t size)
{
   if (!control)
      return false;
   if (name[0] == '/')
      return (size_t)snprintf(path, size, "%s", name) < size && below_root(path);
   if (directory_fd == AT_FDCWD || !shim_path_of_fd(directory_fd, path, size))
      return false;
   size_t length = strlen(path);
   return (size_t)snprintf(path + length, size - length, "/%s", name) < size - length;
}

/* ---- Rules --------------------------------------------------------------------------------- */

static void pause_ms(uint32_t milliseconds)
{
   struct timespec left = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
   while (nanosleep(&left, &left) != 0) {
   }
}

static void hold(struct shim_rule *rule)
{
   rule->held++;
   while (rule->armed)
      pause_ms(1);
   rule->held--;
}

static bool acts(struct shim_rule *rule, enum shim_kind kind, const char *path)
{
   if (!rule->armed || !(rule->kinds & (1u << kind)) ||
       (rule->match[0] != '\0' && !strstr(path, rule->match)))
      return false;
   uint64_t number = ++rule->seen;
   return number >= rule->first && number <= rule->last;
}

struct shim_verdict shim_judge(enum shim_kind kind, const char *path)
{
   struct shim_verdict verdict = {SHIM_PASS, 0};
   struct shim_rule *chosen = NULL;
   if (!control)
      return verdict;
   control->calls[kind]++;
   for (size_t i = 0; i < SHIM_RULES; i++)
      if (acts(&control->rules[i], kind, path) && !chosen)
         chosen = &control->rules[i];
   if (!chosen)
      return verdict;
   int error = errno;
   chosen->hits++;
   verdict = (struct shim_verdict){(enum shim_action)chosen->action, (int)chosen->argument};
   if (verdict.action == SHIM_KILL)
      syscall(SYS_kill, getpid(), SIGKILL);
   if (verdict.action == SHIM_DELAY)
      pause_ms(chosen->argument);
   if (verdict.action == SHIM_HOLD)
      hold(chosen);
   errno = error;
   return verdict;
}
