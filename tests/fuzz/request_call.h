/*
 * One call that has ended, for the checks of what it must have done.
 */
#ifndef FUZZ_REQUEST_CALL_H
#define FUZZ_REQUEST_CALL_H

#include "tests/fuzz/request_model.h"
#include "tests/support/fake_rpc.h"

#include <protobuf-c/protobuf-c.h>

/* The store as it was before the call, and as it is now; a check makes the one into the other. */
struct check {
   const struct fake_answer *answer;
   const void *request; /* decoded; NULL when it can not be */
   void *reply;         /* of a successful unary call */
   struct model *before;
   const struct kv_version *now;
};

static inline struct kv_slice bytes_of(ProtobufCBinaryData data)
{
   return kv_slice(data.data, data.len);
}

static inline bool same(struct kv_slice a, struct kv_slice b)
{
   return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#endif
