/*
 * gRPC's header fields as text (PROTOCOL-HTTP2): what a client's mean, and how the server's are
 * written.
 *
 * Pure functions, any thread. They allocate nothing and know no HTTP/2 library.
 */
#ifndef KV_RPC_HTTP2_FIELDS_H
#define KV_RPC_HTTP2_FIELDS_H

#include "core/support/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* grpc-timeout: 1 to 8 digits and a unit; in milliseconds, rounded up, so that no call ends before
 * its time. 0 is taken: clients send it for a deadline that has just passed. False: malformed. */
bool kv_fields_timeout(struct kv_slice text, int64_t *timeout_ms);

/* Whether a content-type is application/grpc, alone, or with a message type (+proto) or parameters
 * (;charset=...) behind it. In upper or lower case, as media types are. */
bool kv_fields_is_grpc(struct kv_slice content_type);

enum kv_encoding {
   KV_IDENTITY,
   KV_GZIP,
   KV_DEFLATE,
   KV_ENCODING_UNKNOWN,
};
/* grpc-encoding; in lower case, as gRPC's names are. */
enum kv_encoding kv_fields_encoding(struct kv_slice name);
/* grpc-accept-encoding: the names that kv_fields_encoding knows. */
#define KV_FIELDS_ACCEPTED_ENCODINGS "identity, deflate, gzip"

/* grpc-message: percent-encodes `text` into `to`, without a NUL, and returns the size. What does
 * not fit into `to_size` bytes is cut off between two characters. Spaces at both ends are encoded
 * as well, since HTTP/2 allows none there. */
#define KV_FIELDS_MESSAGE_GROWTH 3 /* by how much it grows at the most */
size_t kv_fields_encode_message(const char *text, size_t size, char *to, size_t to_size);

/* ---- Metadata whose name ends with "-bin": base64 ---- */

/* Cuts the next value off a list that a proxy has joined by commas. False when there is none. */
bool kv_fields_next_value(struct kv_slice *list, struct kv_slice *value);

/* Room for the bytes of a text of `size`; for the text of `size` bytes. */
static inline size_t kv_fields_decoded_size_max(size_t size)
{
   return size / 4 * 3 + 2;
}
static inline size_t kv_fields_encoded_size(size_t size)
{
   return size / 3 * 4 + (size % 3 * 4 + 2) / 3;
}
/* With padding or without. False: the text is no base64; then `to` has undefined contents. `to` may
 * be where the text is. */
bool kv_fields_decode_binary(struct kv_slice text, uint8_t *to, size_t *size);
/* Without padding, without a NUL; returns the size. */
size_t kv_fields_encode_binary(struct kv_slice bytes, char *to);

#endif
