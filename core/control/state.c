#include "core/control/state.h"

#include "core/support/clock.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* While a disk is full every write is refused: one line in this time covers all of them. */
#define REFUSAL_LINE_PAUSE_MS 30000

struct kv_shared_state {
   pthread_mutex_t lock; /* for what follows */
   struct kv_control_state state;
   char last_error[KV_STATUS_TEXT_SIZE];
   char last_failure[KV_STATUS_TEXT_SIZE]; /* the last one that is no refusal; logged once */
   bool last_is_refusal;                   /* what last_error shows */
   uint64_t logged_refusals;               /* of state.refused_writes */
   uint64_t next_refusal_line_ms;          /* monotonic */
};

struct kv_shared_state *kv_shared_state_create(void)
{
   struct kv_shared_state *shared = calloc(1, sizeof *shared);
   if (!shared)
      return NULL;
   shared->state.last_error = shared->last_error;
   pthread_mutex_init(&shared->lock, NULL);
   return shared;
}

void kv_shared_state_destroy(struct kv_shared_state *shared)
{
   pthread_mutex_destroy(&shared->lock);
   free(shared);
}

void kv_shared_state_inspect(struct kv_shared_state *shared,
                             void (*visit)(void *context, const struct kv_control_state *state),
                             void *context)
{
   pthread_mutex_lock(&shared->lock);
   visit(context, &shared->state);
   pthread_mutex_unlock(&shared->lock);
}

uint64_t kv_shared_state_last_save(struct kv_shared_state *shared)
{
   pthread_mutex_lock(&shared->lock);
   uint64_t sequence = shared->state.last_save_sequence;
   pthread_mutex_unlock(&shared->lock);
   return sequence;
}

void kv_shared_state_set_active(struct kv_shared_state *shared, const struct kv_instance *instance,
                                uint64_t generation)
{
   pthread_mutex_lock(&shared->lock);
   shared->state.plugin = kv_instance_plugin(instance);
   shared->state.settings = kv_settings_array(kv_instance_settings(instance));
   shared->state.stacked = kv_instance_is_stacked(instance);
   shared->state.generation = generation;
   shared->state.timing = kv_instance_timing(instance);
   pthread_mutex_unlock(&shared->lock);
}

void kv_shared_state_note_save(struct kv_shared_state *shared, uint64_t sequence)
{
   pthread_mutex_lock(&shared->lock);
   shared->state.last_save_sequence = sequence;
   shared->state.last_save_ms = kv_clock_unix_ms();
   pthread_mutex_unlock(&shared->lock);
}

void kv_shared_state_note_close(struct kv_shared_state *shared,
                                const struct kv_hook_figures *closed)
{
   pthread_mutex_lock(&shared->lock);
   kv_hook_figures_add(&shared->state.closes, closed);
   pthread_mutex_unlock(&shared->lock);
}

/* ---- What went wrong ---- */

/* [lock held] `again`: it is the same as the last time. */
static void show(struct kv_shared_state *shared, const char *text, bool again, uint64_t times)
{
   memcpy(shared->last_error, text, sizeof shared->last_error);
   shared->state.last_error_ms = kv_clock_unix_ms();
   shared->state.last_error_count = again ? shared->state.last_error_count + times : times;
}

void kv_shared_state_note_error(struct kv_shared_state *shared, const struct kv_status *status)
{
   pthread_mutex_lock(&shared->lock);
   bool news = strcmp(shared->last_failure, status->text) != 0;
   memcpy(shared->last_failure, status->text, sizeof shared->last_failure);
   show(shared, status->text, !news && !shared->last_is_refusal, 1);
   shared->last_is_refusal = false;
   pthread_mutex_unlock(&shared->lock);
   if (news)
      kv_log_event(KV_LOG_ERROR, "%s", status->text);
}

void kv_shared_state_note_refusal(struct kv_shared_state *shared, const struct kv_status *status,
                                  size_t writes)
{
   uint64_t now_ms = kv_clock_monotonic_ms();
   pthread_mutex_lock(&shared->lock);
   show(shared, status->text, shared->last_is_refusal, writes);
   shared->last_is_refusal = true;
   shared->state.refused_writes += writes;
   uint64_t unlogged = shared->state.refused_writes - shared->logged_refusals;
   bool due = now_ms >= shared->next_refusal_line_ms;
   if (due) {
      shared->logged_refusals = shared->state.refused_writes;
      shared->next_refusal_line_ms = now_ms + REFUSAL_LINE_PAUSE_MS;
   }
   pthread_mutex_unlock(&shared->lock);
   if (due)
      kv_log_event(KV_LOG_ERROR, "%" PRIu64 " %s refused, the last one because: %s", unlogged,
                   unlogged == 1 ? "write was" : "writes were", status->text);
}
