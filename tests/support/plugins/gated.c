/*
 * A plug-in whose load tells that it is at 43 per cent, and then waits until somebody opens the
 * named pipe "gate" in its directory for writing; without that pipe it does not wait. So does
 * each write at "write_gate". It keeps nothing.
 */
#include "kvstore/plugin.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

static int open_gated(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                      kvs_error *error)
{
   (void)settings, (void)count, (void)error;
   *self = (void *)(uintptr_t)host;
   return KVS_OK;
}

static void wait_at(const kvs_host *host, const char *gate)
{
   char path[4096];
   snprintf(path, sizeof path, "%s/%s", host->directory, gate);
   int fd = open(path, O_RDONLY);
   if (fd >= 0) {
      char byte;
      (void)!read(fd, &byte, 1); /* until the other side closes it */
      close(fd);
   }
}

static int load_gated(void *self, kvs_error *error)
{
   (void)error;
   const kvs_host *host = self;
   const kvs_load_note notes[] = {
       {.size = sizeof *notes, .kind = KVS_LOAD_EXPECTED, .bytes = 100},
       {.size = sizeof *notes, .kind = KVS_LOAD_READ, .bytes = 43},
       {.size = sizeof *notes, .kind = KVS_LOAD_FILE, .file = "a\nfile", .records = 7, .bytes = 9},
   };
   for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
      host->load_note(host, &notes[i]);
   wait_at(host, "gate");
   return KVS_OK;
}

static int write_gated(void *self, const kvs_record *records, size_t count, uint32_t flags,
                       kvs_error *error)
{
   (void)records, (void)count, (void)flags, (void)error;
   wait_at(self, "write_gate");
   return KVS_OK;
}

static int tick_gated(void *self, const kvs_tick *tick, kvs_error *error)
{
   (void)self, (void)tick, (void)error;
   return KVS_OK;
}

static void close_gated(void *self)
{
   (void)self;
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "gated",
    .version = "1.0",
    .description = "waits in its load, for tests",
    .promise = KVS_PERIODIC,
    .open = open_gated,
    .on_load = load_gated,
    .on_write = write_gated,
    .on_tick = tick_gated,
    .close = close_gated,
};
