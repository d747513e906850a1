/*
 * Page tokens: where a Scan that was cut off by its limit goes on. A token is text that no client
 * looks into: a version, the digest of the request that it belongs to, and the last key of the
 * page. It is of any server's and any time's making: all that it says is checked, and the range of
 * the request holds whatever it says.
 *
 * Threads: any.
 */
#ifndef KV_SERVICE_PAGE_TOKEN_H
#define KV_SERVICE_PAGE_TOKEN_H

#include "core/service/walk.h"
#include "core/support/status.h"

#include "kvstore/v1/key_value.pb-c.h"

/* Of what makes two requests the same but for their place. */
uint64_t kv_page_digest(const Kvstore__V1__ScanRequest *request);

/* data is NULL when memory runs out. */
struct kv_slice kv_page_token_write(uint64_t digest, struct kv_slice last_key,
                                    struct kv_arena *arena);

/* Has the range begin behind the token's key, or, descending, end before it. INVALID_ARGUMENT when
 * the token is none of the digest and the range. */
enum kv_code kv_page_token_apply(struct kv_slice token, uint64_t digest, bool descending,
                                 struct kv_arena *arena, struct kv_key_range *range,
                                 struct kv_status *status);

#endif
