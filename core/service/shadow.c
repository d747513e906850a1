/* The report of a shadow run, as Configure tells it. */
#include "core/service/internal.h"

static void fill_numbers(const struct kv_shadow_report *report, Kvstore__ShadowReport *message)
{
   message->generation = report->generation;
   message->sequence = report->sequence;
   message->keys = report->keys;
   message->bytes = report->bytes;
   message->loaded_sequence = report->loaded_sequence;
   message->loaded_keys = report->loaded_keys;
   message->loaded_bytes = report->loaded_bytes;
   message->records = report->records;
   message->checkpoint_ms = report->checkpoint_ms;
   message->mirrored_ms = report->mirrored_ms;
   message->reload_ms = report->reload_ms;
   message->compare_ms = report->compare_ms;
}

static bool add_writes(struct kv_arena *arena, const struct kv_hook_figures *figures,
                       Kvstore__Hook **hook)
{
   *hook = kv_arena_alloc(arena, sizeof **hook);
   if (!*hook)
      return false;
   kv_service_hook(kv_hook_name(KV_HOOK_WRITE), figures, *hook);
   return true;
}

static bool add_difference(struct kv_arena *arena, const struct kv_comparison *comparison,
                           Kvstore__ShadowReport *message)
{
   static const Kvstore__ShadowReport__Difference__Kind kinds[] = {
       [KV_DIFFERENCE_MISSING] = KVSTORE__SHADOW_REPORT__DIFFERENCE__KIND__MISSING,
       [KV_DIFFERENCE_EXTRA] = KVSTORE__SHADOW_REPORT__DIFFERENCE__KIND__EXTRA,
       [KV_DIFFERENCE_VALUE] = KVSTORE__SHADOW_REPORT__DIFFERENCE__KIND__VALUE,
       [KV_DIFFERENCE_SEQUENCE] = KVSTORE__SHADOW_REPORT__DIFFERENCE__KIND__SEQUENCE,
   };
   Kvstore__ShadowReport__Difference *first = kv_arena_alloc(arena, sizeof *first);
   size_t size = comparison->key_size < sizeof comparison->key ? comparison->key_size
                                                               : sizeof comparison->key;
   void *key = kv_arena_copy(arena, comparison->key, size);
   if (!first || !key)
      return false;
   kvstore__shadow_report__difference__init(first);
   first->kind = kinds[comparison->difference];
   first->key = kv_message_bytes(kv_slice(key, size));
   first->key_size = comparison->key_size;
   message->first_difference = first;
   message->differences = comparison->differences;
   return true;
}

Kvstore__ShadowReport *kv_service_shadow_report(const struct kv_service *service,
                                                struct kv_arena *arena,
                                                const struct kv_shadow_report *report)
{
   static const Kvstore__ShadowReport__Outcome outcomes[] = {
       [KV_SHADOW_FAILED] = KVSTORE__SHADOW_REPORT__OUTCOME__FAILED,
       [KV_SHADOW_EQUAL] = KVSTORE__SHADOW_REPORT__OUTCOME__EQUAL,
       [KV_SHADOW_DIFFERENT] = KVSTORE__SHADOW_REPORT__OUTCOME__DIFFERENT,
       [KV_SHADOW_NOTHING_KEPT] = KVSTORE__SHADOW_REPORT__OUTCOME__NOTHING_KEPT,
   };
   Kvstore__ShadowReport *message = kv_arena_alloc(arena, sizeof *message);
   if (!message)
      return NULL;
   kvstore__shadow_report__init(message);
   message->outcome = outcomes[report->outcome];
   fill_numbers(report, message);
   const char *error = report->outcome == KV_SHADOW_FAILED ? report->failure.text : "";
   const struct kv_comparison *comparison = &report->comparison;
   message->n_options = kv_settings_count(report->settings);
   bool complete =
       kv_message_copy_text(arena, report->plugin, &message->plugin) &&
       kv_service_failure_text(service, arena, error, &message->error) &&
       kv_message_copy_text(arena, comparison->first_digest, &message->live_digest) &&
       kv_message_copy_text(arena, comparison->second_digest, &message->loaded_digest) &&
       kv_service_settings(arena, kv_settings_array(report->settings), message->n_options,
                           &message->options) &&
       add_writes(arena, &report->shadow_writes, &message->candidate_writes) &&
       add_writes(arena, &report->active_writes, &message->active_writes);
   if (complete && comparison->difference != KV_DIFFERENCE_NONE)
      complete = add_difference(arena, comparison, message);
   return complete ? message : NULL;
}
