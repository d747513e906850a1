/*
 * Connects to whichever of several addresses answers first. They are tried in parallel ("happy
 * eyeballs", RFC 8305): the next attempt begins when the one before has failed or has been silent
 * for a moment, while that one goes on. A host name stands for all of its addresses.
 *
 * One thread. An address answers when it speaks HTTP/2; a port that only accepts is silent.
 */
#ifndef CLIENT_DIAL_H
#define CLIENT_DIAL_H

#include "client/address.h"
#include "client/credentials.h"

#include <grpc/grpc.h>

struct dial {
   const struct address_list *addresses;
   const struct credentials *credentials;
   grpc_completion_queue *queue; /* empty before and after */
   int64_t timeout_ms;
   bool (*is_interrupted)(void *context);
   void *context;
};

/* KV_OK: *channel is connected to the address *which of the list, and the caller destroys it. Else
 * UNAVAILABLE or, when interrupted, CANCELLED. */
enum kv_code dial(const struct dial *what, grpc_channel **channel, const struct address **which,
                  struct kv_status *status);

#endif
