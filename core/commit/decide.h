/*
 * What an operation makes of a key: pure decisions on the state that the key has, before anything
 * is changed. The results of the operation are filled in, but for the version of a change, which is
 * known when it is made.
 *
 * Threads: the committer alone. Memory comes from the submission's arena.
 */
#ifndef KV_DECIDE_H
#define KV_DECIDE_H

#include "core/commit/commit.h"

/* What a key is, its time not having come. */
struct kv_state {
   bool exists;
   struct kv_slice value;
   uint64_t version; /* 0: it does not exist */
   int64_t expires_at;
};

enum kv_change { KV_CHANGE_NONE, KV_CHANGE_PUT, KV_CHANGE_REMOVE };

struct kv_decision {
   enum kv_change change;
   struct kv_slice value; /* PUT */
   int64_t expires_at;    /* PUT */
   bool value_is_old;     /* the value is that of the state, and ends with it */
};

/* The state that an entry is; NULL: the key does not exist. */
struct kv_state kv_state_of(const struct kv_entry *entry);
bool kv_condition_holds(const struct kv_condition *condition, const struct kv_state *state);
/* Any kind but DELETE_RANGE. Where the operation is refused nothing is changed. */
struct kv_decision kv_decide(struct kv_operation *operation, const struct kv_state *state,
                             struct kv_submission *submission);
void kv_operation_refuse(struct kv_operation *operation, enum kv_code code, const char *reason);

#endif
