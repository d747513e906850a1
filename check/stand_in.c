#include "check/stand_in.h"

#include "storage/file.h"

#include <string.h>

static int load_nothing(void *self, kvs_error *error)
{
   (void)self, (void)error;
   return KVS_OK;
}

static int refuse_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                        kvs_error *error)
{
   (void)self, (void)records, (void)count, (void)flags;
   return storage_fail(error, KVS_IO, "this only loads and makes checkpoints");
}

kvs_plugin stand_in_plugin(const char *name)
{
   return (kvs_plugin){
       .size = sizeof(kvs_plugin),
       .abi_major = KVS_ABI_MAJOR,
       .abi_minor = KVS_ABI_MINOR,
       .name = name,
       .version = "",
       .description = "",
       .promise = KVS_PERIODIC,
       .on_load = load_nothing,
       .on_write = refuse_write,
   };
}

enum kv_code stand_in_open(struct kv_instance_config config, const uint8_t store_id[16],
                           struct kv_instance **instance, struct kv_status *status)
{
   memcpy(config.store_id, store_id, sizeof config.store_id);
   enum kv_code code = kv_settings_create(config.plugin, NULL, 0, &config.settings, status);
   return code == KV_OK ? kv_instance_open(&config, instance, status) : code;
}
