/*
 * What a key and a value must be. Every refusal names the field, the bound and what was given.
 *
 * Threads: any.
 */
#ifndef KV_VALIDATE_H
#define KV_VALIDATE_H

#include "core/support/slice.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stdint.h>

/* `field` is the key's place in the request, e.g. "key" or "operations[3].set.key". */
enum kv_code kv_validate_key(const char *field, struct kv_slice key, struct kv_status *status);
enum kv_code kv_validate_value(const char *field, struct kv_slice value, uint64_t size_max,
                               struct kv_status *status);
/* A prefix may be empty. Else as for a key. */
enum kv_code kv_validate_prefix(const char *field, struct kv_slice prefix,
                                struct kv_status *status);
/* The offset of the first byte that is no valid UTF-8 (RFC 3629) or is NUL; text.size if none is.
 */
size_t kv_validate_text(struct kv_slice text);

#endif
