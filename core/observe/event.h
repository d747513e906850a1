/*
 * A call that has been answered, as those who look at it keep it: it owns all it shows but the
 * method's name, so that it can be read long after the call.
 */
#ifndef KV_EVENT_H
#define KV_EVENT_H

#include "core/support/slice.h"
#include "core/support/status.h"

#include <stdint.h>

#define KV_EVENT_PEER_SIZE 80
#define KV_EVENT_USER_SIZE 65
#define KV_EVENT_KEY_MAX ((size_t)128)

struct kv_event {
   int64_t end_unix_ms;
   const char *method; /* "/package.Service/Method", as in core/rpc; "": an unknown one */
   enum kv_code code;
   uint64_t duration_us;
   uint64_t request_bytes;
   char peer[KV_EVENT_PEER_SIZE];
   char user[KV_EVENT_USER_SIZE]; /* "": nobody in particular */
   uint64_t key_size;             /* of the first key it was about; 0: there is none */
   uint8_t key[KV_EVENT_KEY_MAX]; /* its beginning */
};

/* The part of the key that is kept. */
static inline struct kv_slice kv_event_key(const struct kv_event *event)
{
   return kv_slice(event->key,
                   event->key_size < KV_EVENT_KEY_MAX ? (size_t)event->key_size : KV_EVENT_KEY_MAX);
}

#endif
