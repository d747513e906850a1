/* A plug-in that keeps nothing, built several times: without a fault, and with one fault each,
 * which the build selects by these macros. */
#include "kvstore/plugin.h"

#ifndef NAME
#error "the build gives the name"
#endif
#ifndef ABI_MAJOR
#define ABI_MAJOR KVS_ABI_MAJOR
#endif
#ifndef SIZE
#define SIZE sizeof(kvs_plugin)
#endif
#ifndef PROMISE
#define PROMISE KVS_VOLATILE
#endif
#ifndef FLAGS
#define FLAGS 0
#endif
#ifndef ON_LOAD
#define ON_LOAD load_nothing
#endif
#ifndef ON_WRITE
#define ON_WRITE keep_nothing
#endif
#ifndef ON_TICK
#define ON_TICK do_nothing
#endif
#ifndef DEFAULT_VALUE
#define DEFAULT_VALUE "10"
#endif

static const kvs_option options[] = {
    {.name = "number",
     .type = KVS_OPTION_INTEGER,
     .default_value = DEFAULT_VALUE,
     .minimum = 1,
     .maximum = 100,
     .help = "does nothing"},
};

static int open_nothing(const kvs_host *host, const kvs_setting *settings, size_t count,
                        void **self, kvs_error *error)
{
   (void)host;
   (void)settings;
   (void)count;
   (void)error;
   *self = NULL;
   return KVS_OK;
}

__attribute__((unused)) static int load_nothing(void *self, kvs_error *error)
{
   (void)self;
   (void)error;
   return KVS_OK;
}

__attribute__((unused)) static int keep_nothing(void *self, const kvs_record *records, size_t count,
                                                uint32_t flags, kvs_error *error)
{
   (void)self;
   (void)records;
   (void)count;
   (void)flags;
   (void)error;
   return KVS_OK;
}

__attribute__((unused)) static int do_nothing(void *self, const kvs_tick *tick, kvs_error *error)
{
   (void)self;
   (void)tick;
   (void)error;
   return KVS_OK;
}

static void close_nothing(void *self)
{
   (void)self;
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = SIZE,
    .abi_major = ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = NAME,
    .version = "1.0",
    .description = "keeps nothing, for tests",
    .promise = PROMISE,
    .flags = FLAGS,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .open = open_nothing,
    .on_load = ON_LOAD,
    .on_write = ON_WRITE,
    .on_tick = ON_TICK,
    .close = close_nothing,
};
