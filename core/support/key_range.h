/* A range of keys, compared as bytes. */
#ifndef KV_KEY_RANGE_H
#define KV_KEY_RANGE_H

#include "core/support/slice.h"

/* The keys from `start` on and below `end`; an empty end: no end. Neither need be a key. */
struct kv_key_range {
   struct kv_slice start, end;
};

#endif
