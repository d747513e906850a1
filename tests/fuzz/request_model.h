/*
 * A model of the store, simple enough to verify by reading: a list of pairs that evaluates
 * operations one by one under the limits of request_check.h. None of its keys is due:
 * request_check.c waits until those are deleted.
 */
#ifndef FUZZ_REQUEST_MODEL_H
#define FUZZ_REQUEST_MODEL_H

#include "core/store/store.h"
#include "kvstore.pb-c.h"

#define MODEL_PAIRS_MAX 2048
/* The clock of every call; Unix ms. */
#define MODEL_NOW_MS INT64_C(1000000000000)

/* Of the sums that Increment makes: as many as a request has operations. */
#define MODEL_TEXT_SIZE 24
#define MODEL_TEXTS_MAX 16384

struct model_pair {
   struct kv_slice key, value;
   uint64_t version;
   int64_t expires_at;
};

/* The bytes are the store's and the request's. */
struct model {
   struct model_pair pairs[MODEL_PAIRS_MAX];
   size_t count;
   uint64_t bytes;
   uint64_t sequence;
   size_t result_left; /* of the values that one Batch may get */
   char texts[MODEL_TEXTS_MAX][MODEL_TEXT_SIZE];
   size_t text_count; /* of one call */
};

void model_load(struct model *model, const struct kv_version *version);
/* Takes the server's own keys from a version, in place of those that it has. */
void model_take_hidden(struct model *model, const struct kv_version *version);
/* Whether a version holds what the model does. */
bool model_matches(const struct model *model, const struct kv_version *version);
const struct model_pair *model_find(const struct model *model, struct kv_slice key);

/* Whether the memory limit has space for a set of this pair. */
bool model_has_room(const struct model *model, struct kv_slice key, struct kv_slice value);
/* Each does what the operation does, and returns the result that it must have had. */
bool model_set(struct model *model, struct kv_slice key, struct kv_slice value);
bool model_delete(struct model *model, struct kv_slice key);
/* The same without a limit, and with an expiry and the version that the answer told. */
void model_put(struct model *model, struct kv_slice key, struct kv_slice value, int64_t expires_at,
               uint64_t version);
/* Space for a sum, until the next model_load. */
char *model_text(struct model *model);
/* Deletes what is due: the server does so by itself. */
void model_expire(struct model *model);

#endif
