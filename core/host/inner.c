#include "core/host/inner.h"

#include "core/host/stack.h"

#include <stdio.h>
#include <stdlib.h>

struct stand_in {
   const kvs_host *host;
   const struct kv_inner *inner;
};

static int open_stand_in(const kvs_host *host, const kvs_setting *settings, size_t count,
                         void **self, kvs_error *error)
{
   (void)settings, (void)count;
   const kvs_stack *stack = host->extension(host, KVS_EXTENSION_STACK);
   struct stand_in *opened = stack ? malloc(sizeof *opened) : NULL;
   if (!opened) {
      snprintf(error->text, sizeof error->text, "%s",
               stack ? "no memory" : "it is not given the stack that its wrapper has");
      return stack ? KVS_NO_SPACE : KVS_INVALID;
   }
   *opened = (struct stand_in){host, kv_plugin_stack_inner(stack)};
   *self = opened;
   return KVS_OK;
}

static int load(void *self, kvs_error *error)
{
   const struct stand_in *stand_in = self;
   const struct kv_inner *inner = stand_in->inner;
   return inner->load ? inner->load(inner->context, stand_in->host, error) : KVS_OK;
}

static int refuse_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                        kvs_error *error)
{
   (void)self, (void)records, (void)count, (void)flags;
   snprintf(error->text, sizeof error->text, "it takes checkpoints alone");
   return KVS_IO;
}

static int tick(void *self, const kvs_tick *tick, kvs_error *error)
{
   const struct stand_in *stand_in = self;
   const struct kv_inner *inner = stand_in->inner;
   return inner->checkpoint ? inner->checkpoint(inner->context, stand_in->host, tick, error)
                            : KVS_OK;
}

static const kvs_plugin plugin = {
    .size = sizeof plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "backup",
    .version = "",
    .description = "stands in for the plug-in below another one",
    .promise = KVS_DURABLE,
    .flags = KVS_PLUGIN_COPIES | KVS_PLUGIN_VERSIONS,
    .open = open_stand_in,
    .on_load = load,
    .on_write = refuse_write,
    .on_tick = tick,
    .close = free,
};

const kvs_plugin *kv_inner_plugin(void)
{
   return &plugin;
}
