/* A plug-in that needs a function that does not exist. */
#include "kvstore/plugin.h"

#include <stddef.h>

int kvstore_nobody_has_this(void);

static int open_unresolved(const kvs_host *host, const kvs_setting *settings, size_t count,
                           void **self, kvs_error *error)
{
   (void)host, (void)settings, (void)count, (void)self, (void)error;
   return kvstore_nobody_has_this();
}

static int write_unresolved(void *self, const kvs_record *records, size_t count, uint32_t flags,
                            kvs_error *error)
{
   (void)self, (void)records, (void)count, (void)flags, (void)error;
   return KVS_OK;
}

static void close_unresolved(void *self)
{
   (void)self;
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "unresolved",
    .version = "1.0",
    .description = "needs what is not there, for tests",
    .open = open_unresolved,
    .on_write = write_unresolved,
    .close = close_unresolved,
};
