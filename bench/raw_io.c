/*
 * kvstore-raw-io sync FILE BYTES SECONDS    appends BYTES with write and fdatasync, again and again
 * kvstore-raw-io write FILE BYTES           writes BYTES in pieces of 1 MiB, then fdatasync
 * kvstore-raw-io copy BYTES                 copies BYTES in memory
 *
 * What the disk and the memory can do with nothing above them: the ceilings for logs and snapshots.
 * Prints one JSON object; FILE is removed at the end. Like a log, `sync` allocates the file ahead
 * in pieces of 10 MiB and starts a new one when it is full.
 */
#include "bench/load/latencies.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_SIZE ((off_t)10 << 20)
#define PIECE_SIZE ((size_t)1 << 20)

static uint64_t now_ns(void)
{
   struct timespec now;
   clock_gettime(CLOCK_MONOTONIC, &now);
   return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
   perror(what);
   exit(1);
}

static char *content(size_t size)
{
   char *bytes = malloc(size);
   if (!bytes)
      fail("memory");
   for (size_t i = 0; i < size; i++)
      bytes[i] = (char)(i * 2654435761u >> 13);
   return bytes;
}

static int create(const char *path)
{
   int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
   if (fd < 0)
      fail(path);
   return fd;
}

static void put(int fd, const char *bytes, size_t size)
{
   if (write(fd, bytes, size) != (ssize_t)size)
      fail("write");
}

static void measure_sync(const char *path, size_t size, double seconds)
{
   char *bytes = content(size);
   struct latencies *latency = latencies_create();
   if (!latency)
      fail("memory");
   off_t segment = SEGMENT_SIZE > (off_t)size ? SEGMENT_SIZE : (off_t)size;
   off_t filled = segment;
   int fd = -1;
   uint64_t start = now_ns(), now = start;
   while ((double)(now - start) < seconds * 1e9) {
      if (filled + (off_t)size > segment) {
         if (fd >= 0)
            close(fd);
         fd = create(path);
         if (fallocate(fd, 0, 0, segment) != 0)
            fail("fallocate");
         filled = 0;
      }
      uint64_t before = now_ns();
      put(fd, bytes, size);
      if (fdatasync(fd) != 0)
         fail("fdatasync");
      now = now_ns();
      latencies_record(latency, now - before);
      filled += (off_t)size;
   }
   double elapsed = (double)(now - start) / 1e9;
   double count = (double)latencies_count(latency);
   printf(
       "{\"per_second\": %.1f, \"bytes_per_second\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
       count / elapsed, count * (double)size / elapsed,
       (double)latencies_quantile(latency, 0.5) / 1000,
       (double)latencies_quantile(latency, 0.99) / 1000);
   close(fd);
   unlink(path);
   latencies_destroy(latency);
   free(bytes);
}

static void print_rate(size_t size, uint64_t since)
{
   double elapsed = (double)(now_ns() - since) / 1e9;
   printf("{\"seconds\": %.6f, \"bytes_per_second\": %.0f}\n", elapsed, (double)size / elapsed);
}

static void measure_write(const char *path, size_t size)
{
   char *bytes = content(PIECE_SIZE);
   uint64_t start = now_ns();
   int fd = create(path);
   for (size_t left = size; left > 0;) {
      size_t piece = left < PIECE_SIZE ? left : PIECE_SIZE;
      put(fd, bytes, piece);
      left -= piece;
   }
   if (fdatasync(fd) != 0)
      fail("fdatasync");
   print_rate(size, start);
   close(fd);
   unlink(path);
   free(bytes);
}

static void measure_copy(size_t size)
{
   char *from = content(size), *to = malloc(size);
   if (!to)
      fail("memory");
   memset(to, 1, size); /* so that the pages are there */
   uint64_t start = now_ns();
   memcpy(to, from, size);
   __asm__ volatile("" : : "r"(to) : "memory");
   print_rate(size, start);
   free(from);
   free(to);
}

int main(int argc, char **argv)
{
   if (argc == 5 && strcmp(argv[1], "sync") == 0)
      measure_sync(argv[2], strtoul(argv[3], NULL, 10), strtod(argv[4], NULL));
   else if (argc == 4 && strcmp(argv[1], "write") == 0)
      measure_write(argv[2], strtoul(argv[3], NULL, 10));
   else if (argc == 3 && strcmp(argv[1], "copy") == 0)
      measure_copy(strtoul(argv[2], NULL, 10));
   else
      return fputs(
                 "usage: kvstore-raw-io sync FILE BYTES SECONDS | write FILE BYTES | copy BYTES\n",
                 stderr),
             2;
   return 0;
}
