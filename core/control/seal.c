#include "core/control/seal.h"

#include <inttypes.h>
#include <string.h>

static bool is_cancelled(void *inbox)
{
   return kv_inbox_is_cancelled(inbox);
}

/* Opens a wrapper over `inner`. */
static enum kv_code open_wrapper(const struct kv_managed *active,
                                 const struct kv_control_request *request, uint64_t generation,
                                 const struct kv_managed_use *use, struct kv_managed **managed,
                                 struct kv_status *status)
{
   enum kv_code code = kv_managed_open(active->parts, request, generation, use, managed, status);
   if (code != KV_OK || kv_instance_is_stacked((*managed)->instance))
      return code;
   kv_managed_close(*managed);
   return kv_fail_reason(
       status, KV_DATA_LOSS, "BACKUP_DAMAGED",
       "plug-in %s seals nothing for another one, and so cannot open what was sealed",
       request->plugin);
}

static enum kv_code create_generation(const struct kv_managed *active, uint64_t *generation,
                                      struct kv_status *status)
{
   return kv_data_directory_create_generation(active->parts->config.directory, active->generation,
                                              generation, status);
}

enum kv_code kv_seal(const struct kv_managed *active, const struct kv_store_view *view,
                     const struct kv_inner *inner, struct kv_status *status)
{
   const struct kv_control_parts *parts = active->parts;
   const struct kv_control_request request = kv_managed_request(active);
   const struct kv_managed_use use = {
       .inner = inner, .give_up = is_cancelled, .give_up_context = parts->inbox};
   struct kv_managed *managed;
   uint64_t generation, sequence;
   enum kv_code code = create_generation(active, &generation, status);
   if (code != KV_OK)
      return code;
   code = open_wrapper(active, &request, generation, &use, &managed, status);
   if (code == KV_OK) {
      code = kv_instance_load(managed->instance, NULL, &sequence, status);
      if (code == KV_OK)
         code = kv_instance_tick(managed->instance, KVS_TICK_CHECKPOINT, view, status);
      kv_managed_close(managed);
   }
   kv_managed_discard(parts, generation, "a backup");
   return code;
}

enum kv_code kv_unseal(const struct kv_managed *active, const struct kv_control_sealed *sealed,
                       struct kv_transaction *transaction, struct kv_status *status)
{
   const struct kv_control_parts *parts = active->parts;
   const struct kv_control_request own = kv_managed_request(active);
   bool same = strcmp(own.plugin, sealed->request.plugin) == 0;
   const struct kv_managed_use use = {.inner = sealed->inner,
                                      .store_id = sealed->store_id,
                                      .give_up = is_cancelled,
                                      .give_up_context = parts->inbox};
   struct kv_managed *managed;
   uint64_t generation, sequence;
   enum kv_code code = create_generation(active, &generation, status);
   if (code != KV_OK)
      return code;
   code = open_wrapper(active, same ? &own : &sealed->request, generation, &use, &managed, status);
   if (code == KV_OK) {
      code = kv_instance_load(managed->instance, transaction, &sequence, status);
      kv_managed_close(managed);
   }
   if (code == KV_OK && sequence > sealed->sequence)
      code = kv_fail_reason(status, KV_DATA_LOSS, "BACKUP_DAMAGED",
                            "it gives data of version %" PRIu64 ", above %" PRIu64 " of the whole",
                            sequence, sealed->sequence);
   kv_managed_discard(parts, generation, "a restore");
   return code;
}
