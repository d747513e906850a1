/* The report of a shadow run, as Configure answers it. */
#include "core/service/admin/admin.h"

static void fill_numbers(const struct kv_shadow_report *report, Kvstore__V1__ShadowReport *message)
{
   message->generation = report->generation;
   message->version = report->sequence;
   message->keys = report->keys;
   message->bytes = report->bytes;
   message->loaded_version = report->loaded_sequence;
   message->loaded_keys = report->loaded_keys;
   message->loaded_bytes = report->loaded_bytes;
   message->records = report->records;
   message->checkpoint_ms = report->checkpoint_ms;
   message->mirrored_ms = report->mirrored_ms;
   message->reload_ms = report->reload_ms;
   message->compare_ms = report->compare_ms;
}

static Kvstore__V1__Hook *build_writes(struct kv_builder *builder,
                                       const struct kv_hook_figures *figures)
{
   Kvstore__V1__Hook *hook = kv_build(builder, &kvstore__v1__hook__descriptor);
   if (hook)
      kv_service_hook(kv_hook_name(KV_HOOK_WRITE), figures, hook);
   return hook;
}

static Kvstore__V1__ShadowReport__Difference *
build_difference(struct kv_builder *builder, const struct kv_comparison *comparison)
{
   static const Kvstore__V1__ShadowReport__Difference__Kind kinds[] = {
       [KV_DIFFERENCE_MISSING] = KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_MISSING,
       [KV_DIFFERENCE_EXTRA] = KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_EXTRA,
       [KV_DIFFERENCE_VALUE] = KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_VALUE,
       [KV_DIFFERENCE_VERSION] = KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_VERSION,
       [KV_DIFFERENCE_SEQUENCE] = KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_VERSION,
   };
   Kvstore__V1__ShadowReport__Difference *first =
       kv_build(builder, &kvstore__v1__shadow_report__difference__descriptor);
   size_t size = comparison->key_size < sizeof comparison->key ? comparison->key_size
                                                               : sizeof comparison->key;
   if (!first)
      return NULL;
   first->kind = kinds[comparison->difference];
   first->key = kv_message_bytes(kv_slice(comparison->key, size));
   first->key_size = comparison->key_size;
   return first;
}

Kvstore__V1__ShadowReport *kv_service_shadow_report(const struct kv_service *service,
                                                    struct kv_builder *builder,
                                                    const struct kv_shadow_report *report)
{
   static const Kvstore__V1__ShadowReport__Outcome outcomes[] = {
       [KV_SHADOW_FAILED] = KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_FAILED,
       [KV_SHADOW_EQUAL] = KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_EQUAL,
       [KV_SHADOW_DIFFERENT] = KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_DIFFERENT,
       [KV_SHADOW_NOTHING_KEPT] = KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_NOTHING_KEPT,
   };
   Kvstore__V1__ShadowReport *message = kv_build(builder, &kvstore__v1__shadow_report__descriptor);
   if (!message)
      return NULL;
   const char *error = report->outcome == KV_SHADOW_FAILED ? report->failure.text : "";
   const struct kv_comparison *comparison = &report->comparison;
   fill_numbers(report, message);
   message->outcome = outcomes[report->outcome];
   message->plugin = kv_message_text(report->plugin);
   message->error = kv_service_failure_text(service, builder, error);
   message->live_digest = kv_message_text(comparison->first_digest);
   message->loaded_digest = kv_message_text(comparison->second_digest);
   message->n_options = kv_settings_count(report->settings);
   message->options =
       kv_service_settings(builder, kv_settings_array(report->settings), message->n_options);
   message->candidate_writes = build_writes(builder, &report->shadow_writes);
   message->active_writes = build_writes(builder, &report->active_writes);
   if (comparison->difference != KV_DIFFERENCE_NONE) {
      message->first_difference = build_difference(builder, comparison);
      message->differences = comparison->differences;
   }
   return message;
}
