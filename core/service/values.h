/*
 * Answers that hold stored values: a large one is not copied into the answer, but sent from where
 * the store has it, which keeps it until it has left.
 *
 * Threads: as for the call.
 */
#ifndef KV_SERVICE_VALUES_H
#define KV_SERVICE_VALUES_H

#include "core/service/message.h"

struct kv_values_large;

struct kv_values { /* zeroed: none yet */
   struct kv_values_large *first, *last;
   struct kv_values_large *spare; /* of earlier messages of the same call */
};

/* A field that holds a stored value, as the store gave it for `key`. In the order in which they are
 * in the message; kv_values_encode must follow. A large one takes some of the call's arena, which
 * the next message uses again. */
ProtobufCBinaryData kv_values_add(struct kv_values *values, struct kv_call *call,
                                  struct kv_slice key, struct kv_slice value);
/* As kv_message_encode, of a message with these values; they need not be valid any more then. */
bool kv_values_encode(struct kv_values *values, struct kv_call *call,
                      const ProtobufCMessage *message);

#endif
