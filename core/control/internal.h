/* What the files of the control room share. */
#ifndef KV_CONTROL_INTERNAL_H
#define KV_CONTROL_INTERNAL_H

#include "core/control/control.h"
#include "core/control/queue.h"
#include "core/control/shadow.h"
#include "core/control/watchdog.h"

#include <pthread.h>
#include <stdatomic.h>

struct kv_control {
   struct kv_control_config config;
   pthread_t thread;
   struct kv_load_report *load_report; /* of the start */
   struct kv_watchdog *watchdog;

   /* Under `lock`: the task queue, the wishes of other threads, and the state that they may see. */
   pthread_mutex_t lock;
   pthread_cond_t changed;
   struct kv_control_queue queue;
   bool tick_wanted, stopping;
   bool winding_down; /* what may be cancelled is, and nothing begins */
   bool proving;      /* a candidate makes its first checkpoint: not what Status tells of */
   struct kv_control_state state;
   char last_error[KV_STATUS_TEXT_SIZE];
   char last_failure[KV_STATUS_TEXT_SIZE]; /* the last one that is no refusal; logged once */
   bool last_is_refusal;                   /* what last_error shows */
   uint64_t told_refusals;                 /* of state.refused_writes, what the log has been told */
   uint64_t next_refusal_line_ms;          /* monotonic */

   atomic_uint_least64_t shadow_end_ms; /* monotonic; UINT64_MAX: no shadow run is in progress */

   /* Owned by the control thread (by kv_control_start before it runs). */
   struct kv_instance *active;
   bool running;
   struct kv_control_task *task; /* that runs, or NULL */
   enum { KV_CONTROL_NOTHING, KV_CONTROL_LOAD, KV_CONTROL_SWITCH } cancellable; /* going on */
   struct kv_shadow *shadow;                 /* in progress, or NULL */
   uint64_t next_repair_ms, repair_delay_ms; /* monotonic */
};

/* instances.c. Opens an instance of `request` over the directory of `generation`; `use` is a sum of
 * the following. */
#define KV_INSTANCE_RESUMED 1u /* the directory has been in use before */
#define KV_INSTANCE_ASIDE 2u   /* its checkpoints are not those of the store */
enum kv_code kv_control_open_instance(struct kv_control *control,
                                      const struct kv_control_request *request, uint64_t generation,
                                      unsigned use, struct kv_instance **instance,
                                      struct kv_status *status);
/* Closes it and counts that. */
void kv_control_close_instance(struct kv_control *control, struct kv_instance *instance);
/* Settings as a request has them, kv_settings_count of them; their text is the settings'. The
 * caller frees the array. NULL with `status`. */
struct kv_mode_option *kv_control_options_of(const struct kv_settings *settings,
                                             struct kv_status *status);
/* Makes ACTIVE name `instance` and `generation`. */
enum kv_code kv_control_record(struct kv_control *control, const struct kv_instance *instance,
                               uint64_t generation, struct kv_status *status);
/* Makes `instance` what Status shows; the last one shown may then be closed. */
void kv_control_show(struct kv_control *control, struct kv_instance *instance, uint64_t generation);
/* Asks the control thread (`control`) for a periodic tick soon. Any thread. */
void kv_control_want_tick(void *control);
/* errors.c. A hook failed: Status shows it, and the log when it is news. */
void kv_control_note_error(struct kv_control *control, const struct kv_status *status);
/* `writes` changes were refused, as the plug-in has no room for them: Status shows it, and the log
 * in a line every so often (`control`). Any thread. */
void kv_control_note_refusal(void *control, const struct kv_status *status, size_t writes);
void kv_control_note_save(struct kv_control *control, uint64_t sequence);

/* recovery.c: fills in control->active and publishes what it kept. */
enum kv_code kv_control_recover(struct kv_control *control,
                                const struct kv_control_first_choice *choice,
                                struct kv_status *status);
/* switch.c: moves to `request` by way of a fresh generation. */
enum kv_code kv_control_switch(struct kv_control *control, const struct kv_control_request *request,
                               struct kv_status *status);
/* switch.c: opens an instance in a generation of its own, closes it and removes that. */
enum kv_code kv_control_open_briefly(struct kv_control *control,
                                     const struct kv_control_request *request,
                                     struct kv_status *status);
/* switch.c: the same plug-in with the same options in a fresh generation. */
enum kv_code kv_control_renew(struct kv_control *control, struct kv_status *status);

bool kv_control_winding_down(struct kv_control *control);

/* switch.c: whether the switch that is going on is to be cancelled; `control`. */
bool kv_control_switch_must_end(void *control);
/* tasks.c. Whether nobody waits for the task, or for any merged into it. */
bool kv_control_task_is_gone(const struct kv_control_task *task);
/* Runs it, unless that is so. */
void kv_control_run_task(struct kv_control *control, struct kv_control_task *task);

/* shadow.c. Ends the run in progress, if there is one, when it is over or has failed. */
void kv_control_attend_shadow(struct kv_control *control);
/* Ends it without a report. */
void kv_control_end_shadow(struct kv_control *control, enum kv_code code, const char *reason);
/* Whether its report is of no use any more; `control` has a run in progress. */
bool kv_control_shadow_must_end(void *control);
/* Gives its candidate a periodic tick. */
void kv_control_tick_shadow(struct kv_control *control);
/* When it is over, monotonic; UINT64_MAX without one. Any thread. */
uint64_t kv_control_shadow_end_ms(const struct kv_control *control);

#endif
