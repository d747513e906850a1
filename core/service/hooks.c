/* How the hooks of the active plug-in do, as Status tells it. */
#include "core/service/internal.h"

void kv_service_hook(const char *name, const struct kv_hook_figures *figures, Kvstore__Hook *hook)
{
   kvstore__hook__init(hook);
   hook->name = kv_message_text(name);
   hook->calls = figures->calls;
   hook->errors = figures->errors;
   hook->total_ns = figures->total_ns;
   hook->mean_ns = kv_hook_figures_mean_ns(figures);
   hook->p50_ns = kv_hook_figures_percentile_ns(figures, 500);
   hook->p99_ns = kv_hook_figures_percentile_ns(figures, 990);
   hook->p999_ns = kv_hook_figures_percentile_ns(figures, 999);
   hook->max_ns = figures->max_ns;
}

bool kv_service_hooks(struct kv_arena *arena, const struct kv_control_state *state,
                      Kvstore__StatusResponse *response)
{
   Kvstore__Hook *hooks = kv_arena_alloc(arena, KV_HOOK_KINDS * sizeof *hooks);
   response->hooks = kv_arena_alloc(arena, KV_HOOK_KINDS * sizeof *response->hooks);
   if (!hooks || !response->hooks)
      return false;
   for (int i = 0; i < KV_HOOK_KINDS; i++) {
      enum kv_hook kind = (enum kv_hook)i;
      struct kv_hook_figures figures;
      kv_hook_timing_read(state->timing, kind, &figures);
      kv_service_hook(kv_hook_name(kind), kind == KV_HOOK_CLOSE ? &state->closes : &figures,
                      &hooks[i]);
      hooks[i].running_ns = kv_hook_timing_running_ns(state->timing, kind, NULL);
      response->hooks[i] = &hooks[i];
   }
   response->n_hooks = KV_HOOK_KINDS;
   return true;
}

/* ---- Those over their budget ---- */

struct lines {
   struct kv_arena *arena;
   Kvstore__StatusResponse *response;
   ProtobufCBinaryData *array;
   bool complete;
};

/* Lines beyond those there is room for are left out: one plug-in is active, one may be tried, one
 * closed. */
#define OVERDUE_MAX 8

static void add_line(void *context, const char *text)
{
   struct lines *lines = context;
   ProtobufCBinaryData copy;
   if (!kv_message_copy_text(lines->arena, text, &copy))
      lines->complete = false;
   else if (lines->response->n_overdue < OVERDUE_MAX)
      lines->array[lines->response->n_overdue++] = copy;
}

bool kv_service_overdue(struct kv_arena *arena, struct kv_control *control,
                        Kvstore__StatusResponse *response)
{
   struct lines lines = {arena, response,
                         kv_arena_alloc(arena, OVERDUE_MAX * sizeof(ProtobufCBinaryData)), true};
   if (!lines.array)
      return false;
   response->overdue = lines.array;
   kv_control_hooks(control, false, add_line, &lines);
   return lines.complete;
}
