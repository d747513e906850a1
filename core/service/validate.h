/*
 * What a key and a value must be. Every refusal names the field, the limit and what was given.
 *
 * Threads: any.
 */
#ifndef KV_VALIDATE_H
#define KV_VALIDATE_H

#include "core/support/slice.h"
#include "core/support/status.h"

#include <stdint.h>

/* The reason of a refusal for what is in the request. */
#define KV_FIELD_INVALID "FIELD_INVALID"
/* That of a value that is too large. */
#define KV_VALUE_TOO_LARGE "VALUE_TOO_LARGE"

/* `field` is the key's place in the request, e.g. "key" or "operations[3].set.key". */
enum kv_code kv_validate_key(const char *field, struct kv_slice key, struct kv_status *status);
enum kv_code kv_validate_value(const char *field, struct kv_slice value, uint64_t size_max,
                               struct kv_status *status);
/* As for a key, but a prefix may be empty. */
enum kv_code kv_validate_prefix(const char *field, struct kv_slice prefix,
                                struct kv_status *status);
/* The offset of the first byte that is NUL or not part of valid UTF-8 (core/support/utf8.h);
 * text.size when there is none.
 */
size_t kv_validate_text(struct kv_slice text);

#endif
