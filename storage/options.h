/*
 * The options that plug-ins over this engine share, as initializers of kvs_option. What one of them
 * means is the same in every plug-in that has it.
 */
#ifndef STORAGE_OPTIONS_H
#define STORAGE_OPTIONS_H

#include "storage/file.h"
#include "storage/pace.h"

/* The choices stand in the order of enum storage_log_sync. */
#define STORAGE_OPTION_FSYNC                                                                       \
   {                                                                                               \
      .name = "fsync", .type = KVS_OPTION_CHOICE, .default_value = "always",                       \
      .choices = "always|everysec|no",                                                             \
      .help =                                                                                      \
          "when a write reaches stable storage: before it is acknowledged, within a second, or "   \
          "when the kernel writes it back"                                                         \
   }

/* `effect`: what happens when the log has grown. */
#define STORAGE_OPTION_AOF_MAX_SIZE(effect)                                                        \
   {                                                                                               \
      .name = "aof_max_size", .type = KVS_OPTION_SIZE, .default_value = "10485760",                \
      .minimum = 4096, .maximum = INT64_C(1) << 40,                                                \
      .help = "size of a log segment; " effect " by this much and by twice the data"               \
   }

#define STORAGE_OPTION_SNAPSHOT_INTERVAL                                                           \
   {                                                                                               \
      .name = "snapshot_interval", .type = KVS_OPTION_INTEGER, .default_value = "300",             \
      .minimum = 1, .maximum = 31536000,                                                           \
      .help = "seconds between snapshots, when something has changed"                              \
   }

#define STORAGE_OPTION_MAX_SNAPSHOTS                                                               \
   {                                                                                               \
      .name = "max_snapshots", .type = KVS_OPTION_INTEGER, .default_value = "5", .minimum = 1,     \
      .maximum = 1000, .help = "how many snapshots are kept, where the disk has space"             \
   }

#define STORAGE_OPTION_SNAPSHOT_RATE                                                               \
   {                                                                                               \
      .name = "snapshot_rate", .type = KVS_OPTION_SIZE, .default_value = "67108864",               \
      .minimum = STORAGE_PACE_MIN, .maximum = INT64_C(1) << 40,                                    \
      .help =                                                                                      \
          "bytes per second that a background snapshot may write; save, a switch and shutdown "    \
          "are not slowed down"                                                                    \
   }

/* A plug-in reads its settings by index, so their number must be that of its options. */
static inline int storage_check_count(const char *plugin, size_t expected, size_t count,
                                      kvs_error *error)
{
   return count == expected ? KVS_OK
                            : storage_fail(error, KVS_INVALID, "%s takes %zu settings, not %zu",
                                           plugin, expected, count);
}

#endif
