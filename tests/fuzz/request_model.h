/*
 * A model of the store, simple enough to verify by reading: a list of pairs that evaluates
 * operations one by one under the limits of request_check.h.
 */
#ifndef FUZZ_REQUEST_MODEL_H
#define FUZZ_REQUEST_MODEL_H

#include "core/store/store.h"
#include "kvstore.pb-c.h"

#define MODEL_PAIRS_MAX 2048

struct model_pair {
   struct kv_slice key, value;
};

/* The bytes are the store's and the request's. */
struct model {
   struct model_pair pairs[MODEL_PAIRS_MAX];
   size_t count;
   uint64_t bytes;
   uint64_t sequence;
   size_t result_left; /* of the values that one Batch may get */
};

void model_load(struct model *model, const struct kv_version *version);
/* Whether a version holds what the model does. */
bool model_matches(const struct model *model, const struct kv_version *version);
const struct model_pair *model_find(const struct model *model, struct kv_slice key);

/* By how much a set of this pair makes the data grow. */
uint64_t model_growth(const struct model *model, struct kv_slice key, struct kv_slice value);
/* Each does what the operation does, and returns the result that it must have had. */
bool model_set(struct model *model, struct kv_slice key, struct kv_slice value, bool bounded);
bool model_delete(struct model *model, struct kv_slice key);

#endif
