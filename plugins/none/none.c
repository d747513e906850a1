/* none: keeps nothing. The data end with the server. */
#include "kvstore/plugin.h"

static int open_none(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                     kvs_error *error)
{
   (void)host, (void)settings, (void)count, (void)error;
   *self = NULL;
   return KVS_OK;
}

static int on_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                    kvs_error *error)
{
   (void)self, (void)records, (void)count, (void)flags, (void)error;
   return KVS_OK;
}

static void close_none(void *self)
{
   (void)self;
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "none",
    .version = "1.0.0",
    .description = "Keeps nothing: the data ends with the server",
    .promise = KVS_VOLATILE,
    .flags = KVS_PLUGIN_PROMPT,
    .open = open_none,
    .on_write = on_write,
    .close = close_none,
};
