/*
 * A wall clock that a test sets: preloaded, it stands in front of clock_gettime. The file named by
 * TEST_CLOCK has two signed numbers of 64 bits that the test may change at any time: by how many
 * milliseconds the clock is ahead, and the Unix time in milliseconds at which it stands still (0:
 * it runs). All other clocks are the system's, and so is that of libraries: gRPC waits on
 * conditions by it.
 */
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000
#define MS_PER_S 1000

struct wall_clock {
   _Atomic int64_t ahead_ms, stands_at_ms;
};

static struct wall_clock *wall_clock;
static uintptr_t program_begin, program_end; /* its code and data */

/* The first object is the program. */
static int note_program(struct dl_phdr_info *info, size_t size, void *context)
{
   (void)size, (void)context;
   program_begin = UINTPTR_MAX;
   for (int i = 0; i < info->dlpi_phnum; i++) {
      const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
      const uintptr_t begin = info->dlpi_addr + segment->p_vaddr;
      if (segment->p_type != PT_LOAD)
         continue;
      if (begin < program_begin)
         program_begin = begin;
      if (begin + segment->p_memsz > program_end)
         program_end = begin + segment->p_memsz;
   }
   return 1;
}

__attribute__((constructor)) static void begin(void)
{
   const char *path = getenv("TEST_CLOCK");
   if (!path)
      return;
   int fd = open(path, O_RDWR | O_CLOEXEC);
   void *mapped =
       fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *wall_clock, PROT_READ, MAP_SHARED, fd, 0);
   if (mapped == MAP_FAILED) {
      fprintf(stderr, "clock shim: cannot use the file %s\n", path);
      _exit(127);
   }
   close(fd);
   dl_iterate_phdr(note_program, NULL);
   wall_clock = mapped;
}

static struct timespec time_of(int64_t ms, long ns)
{
   return (struct timespec){.tv_sec = ms / MS_PER_S, .tv_nsec = ms % MS_PER_S * NS_PER_MS + ns};
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *time)
{
   if (syscall(SYS_clock_gettime, clock, time) != 0)
      return -1;
   const uintptr_t caller = (uintptr_t)__builtin_return_address(0);
   if (!wall_clock || caller < program_begin || caller >= program_end ||
       (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
      return 0;
   const int64_t ms = (int64_t)time->tv_sec * MS_PER_S + time->tv_nsec / NS_PER_MS;
   const int64_t stands_at_ms = atomic_load(&wall_clock->stands_at_ms);
   *time = stands_at_ms != 0
               ? time_of(stands_at_ms, 0)
               : time_of(ms + atomic_load(&wall_clock->ahead_ms), time->tv_nsec % NS_PER_MS);
   return 0;
}
