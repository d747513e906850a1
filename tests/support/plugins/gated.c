/*
 * A plug-in whose hooks wait at gates. A gate is a named pipe in its directory; the hook waits
 * until the test opens it for writing and closes it. "gate" holds the load, which reports 43 per
 * cent first, "write_gate" each write, "tick_gate_<reason>" a tick, "close_gate" the close. The
 * option checkpoint_gate is the path of a gate for checkpoints, which wait in the middle of their
 * view. Each logs that it waits. The plug-in keeps nothing.
 */
#include "kvstore/plugin.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATH_SIZE 4096

struct gated {
   const kvs_host *host;
   const char *checkpoint_gate;
};

static const kvs_option options[] = {{.name = "checkpoint_gate",
                                      .type = KVS_OPTION_TEXT,
                                      .default_value = "",
                                      .help = "named pipe at which checkpoints wait"}};

static int open_gated(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                      kvs_error *error)
{
   (void)count, (void)error;
   struct gated *gated = malloc(sizeof *gated);
   if (!gated)
      return KVS_NO_SPACE;
   *gated = (struct gated){host, settings[0].text};
   *self = gated;
   return KVS_OK;
}

static void wait_at_path(const kvs_host *host, const char *path)
{
   if (access(path, F_OK) != 0)
      return;
   char line[PATH_SIZE + 32];
   snprintf(line, sizeof line, "waits at %s", path);
   host->log(host, KVS_LOG_INFO, line);
   int fd = open(path, O_RDONLY);
   if (fd >= 0) {
      char byte;
      (void)!read(fd, &byte, 1); /* until the other side closes it */
      close(fd);
   }
}

static void wait_at(const kvs_host *host, const char *gate)
{
   char path[PATH_SIZE];
   snprintf(path, sizeof path, "%s/%s", host->directory, gate);
   wait_at_path(host, path);
}

static int load_gated(void *self, kvs_error *error)
{
   (void)error;
   const kvs_host *host = ((struct gated *)self)->host;
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
   wait_at(((struct gated *)self)->host, "write_gate");
   return KVS_OK;
}

static int tick_gated(void *self, const kvs_tick *tick, kvs_error *error)
{
   (void)error;
   const struct gated *gated = self;
   char gate[32];
   snprintf(gate, sizeof gate, "tick_gate_%u", (unsigned)tick->reason);
   wait_at(gated->host, gate);
   if (tick->reason != KVS_TICK_CHECKPOINT)
      return KVS_OK;
   kvs_record record;
   uint64_t count = 0;
   while (gated->host->view_read(tick->view, &record, 1) == 1)
      if (count++ == 0)
         wait_at_path(gated->host, gated->checkpoint_gate);
   return count == tick->view_count ? KVS_OK : KVS_IO;
}

static void close_gated(void *self)
{
   wait_at(((struct gated *)self)->host, "close_gate");
   free(self);
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "gated",
    .version = "1.0",
    .description = "waits in its hooks, for tests",
    .promise = KVS_PERIODIC,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_gated,
    .on_load = load_gated,
    .on_write = write_gated,
    .on_tick = tick_gated,
    .close = close_gated,
};
