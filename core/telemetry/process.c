#include "core/telemetry/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Numbers of fields in /proc/self/stat, see proc_pid_stat(5), and the first one behind the name. */
enum { FIELD_FIRST = 3, FIELD_THREADS = 20, FIELD_START = 22, FIELD_VIRTUAL, FIELD_RESIDENT };

static void read_file(const char *path, char *text, size_t size)
{
   int fd = open(path, O_RDONLY | O_CLOEXEC);
   ssize_t got = fd >= 0 ? read(fd, text, size - 1) : -1;
   text[got > 0 ? got : 0] = '\0';
   if (fd >= 0)
      close(fd);
}

static uint64_t count_files(void)
{
   uint64_t count = 0;
   DIR *folder = opendir("/proc/self/fd");
   if (!folder)
      return 0;
   for (const struct dirent *entry; (entry = readdir(folder));)
      count += entry->d_name[0] != '.';
   closedir(folder);
   return count - 1; /* the folder itself */
}

static double seconds(clockid_t clock)
{
   struct timespec time;
   clock_gettime(clock, &time); /* cannot fail with these clocks */
   return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void take_field(struct kv_process_figures *figures, int field, uint64_t value)
{
   double ticks = (double)sysconf(_SC_CLK_TCK);
   switch (field) {
   case FIELD_THREADS:
      figures->threads = value;
      break;
   case FIELD_START: /* since the system's */
      figures->start_s = seconds(CLOCK_REALTIME) - seconds(CLOCK_BOOTTIME) + (double)value / ticks;
      break;
   case FIELD_VIRTUAL:
      figures->virtual_bytes = value;
      break;
   case FIELD_RESIDENT:
      figures->resident_bytes = value * (uint64_t)sysconf(_SC_PAGESIZE);
      break;
   default:
      break;
   }
}

void kv_process_read(struct kv_process_figures *figures)
{
   char text[1024];
   struct rlimit limit;
   *figures = (struct kv_process_figures){.cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID),
                                          .open_files = count_files()};
   if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
      figures->files_max = limit.rlim_cur;
   read_file("/proc/self/stat", text, sizeof text);
   char *rest = strrchr(text, ')'); /* a name may have spaces */
   rest = rest ? rest + 1 : text;
   for (int field = FIELD_FIRST; (rest = strchr(rest, ' ')); field++)
      take_field(figures, field, strtoull(++rest, NULL, 10));
}
