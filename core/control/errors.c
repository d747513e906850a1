/* What went wrong last: for Status, and for the log. */
#include "core/control/internal.h"

#include "core/support/clock.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <string.h>

/* While a disk is full, every write is refused: one line tells of all in so long a time. */
#define REFUSAL_LINE_PAUSE_MS 30000

/* [lock held] `again`: it is the same as the last time. */
static void show(struct kv_control *control, const char *text, bool again, uint64_t times)
{
   memcpy(control->last_error, text, sizeof control->last_error);
   control->state.last_error_ms = kv_clock_unix_ms();
   control->state.last_error_count = again ? control->state.last_error_count + times : times;
}

void kv_control_note_error(struct kv_control *control, const struct kv_status *status)
{
   pthread_mutex_lock(&control->lock);
   bool news = strcmp(control->last_failure, status->text) != 0;
   memcpy(control->last_failure, status->text, sizeof control->last_failure);
   show(control, status->text, !news && !control->last_is_refusal, 1);
   control->last_is_refusal = false;
   pthread_mutex_unlock(&control->lock);
   if (news)
      kv_log(KV_LOG_ERROR, "%s", status->text);
}

void kv_control_note_refusal(void *context, const struct kv_status *status, size_t writes)
{
   struct kv_control *control = context;
   uint64_t now_ms = kv_clock_monotonic_ms();
   pthread_mutex_lock(&control->lock);
   show(control, status->text, control->last_is_refusal, writes);
   control->last_is_refusal = true;
   control->state.refused_writes += writes;
   uint64_t untold = control->state.refused_writes - control->told_refusals;
   bool due = now_ms >= control->next_refusal_line_ms;
   if (due) {
      control->told_refusals = control->state.refused_writes;
      control->next_refusal_line_ms = now_ms + REFUSAL_LINE_PAUSE_MS;
   }
   pthread_mutex_unlock(&control->lock);
   if (due)
      kv_log(KV_LOG_ERROR, "%" PRIu64 " %s refused, the last one because: %s", untold,
             untold == 1 ? "write was" : "writes were", status->text);
}
