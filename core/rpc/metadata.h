/*
 * The names of headers: which are the service's metadata, and which are well formed.
 *
 * Pure functions, any thread.
 */
#ifndef KV_RPC_METADATA_H
#define KV_RPC_METADATA_H

#include "core/support/slice.h"

#include <stdint.h>

/* Whether a header of that name is metadata: not one of HTTP's or gRPC's own. */
bool kv_metadata_is_name(struct kv_slice name);
/* Whether it is one of what RFC 9113 calls connection-specific, which HTTP/2 does not allow. */
bool kv_metadata_is_of_http1(struct kv_slice name);
/* a-z, 0-9, "-", "_" and ".". */
bool kv_metadata_is_name_byte(uint8_t byte);
/* Whether its value may have any bytes. */
bool kv_metadata_is_binary(struct kv_slice name);

#endif
