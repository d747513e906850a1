/*
 * What other threads may see of the control plane: what is active, its last save, and what went
 * wrong last. Errors are logged here too, each once; refused writes in one line every so often.
 *
 * Threads: any; it has a lock of its own and holds it for no longer than a copy takes.
 */
#ifndef KV_CONTROL_STATE_H
#define KV_CONTROL_STATE_H

#include "core/control/control.h"

struct kv_shared_state;

/* Returns NULL when memory runs out. */
struct kv_shared_state *kv_shared_state_create(void);
void kv_shared_state_destroy(struct kv_shared_state *shared);

/* As kv_control_inspect. */
void kv_shared_state_inspect(struct kv_shared_state *shared,
                             void (*visit)(void *context, const struct kv_control_state *state),
                             void *context);
uint64_t kv_shared_state_last_save(struct kv_shared_state *shared);

/* `instance` is active from now on; the one before it may then be closed. */
void kv_shared_state_set_active(struct kv_shared_state *shared, const struct kv_instance *instance,
                                uint64_t generation);
/* Everything up to `sequence` is in a durable checkpoint of the active instance. */
void kv_shared_state_note_save(struct kv_shared_state *shared, uint64_t sequence);
/* An instance, of which `closed` is the figures of its close. */
void kv_shared_state_note_close(struct kv_shared_state *shared,
                                const struct kv_hook_figures *closed);
/* A hook failed. */
void kv_shared_state_note_error(struct kv_shared_state *shared, const struct kv_status *status);
/* `writes` changes were refused, as the plug-in had no space for them. */
void kv_shared_state_note_refusal(struct kv_shared_state *shared, const struct kv_status *status,
                                  size_t writes);

#endif
