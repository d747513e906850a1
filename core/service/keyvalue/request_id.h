/*
 * Requests that are remembered with their answers, so that sending one again is safe: under a key
 * of the server's own, which stands for caller and request_id, until the window has passed.
 *
 * Threads: as for the call.
 */
#ifndef KV_KEYVALUE_REQUEST_ID_H
#define KV_KEYVALUE_REQUEST_ID_H

#include "core/service/internal.h"

/* Bytes of a request_id, at most. */
#define KV_REQUEST_ID_MAX ((size_t)64)

/* How the request is remembered; lives as long as the call. NULL with `status`: INVALID_ARGUMENT,
 * or there is no memory. */
const struct kv_remembered *
kv_request_remember(const struct kv_service *service, struct kv_call *call, struct kv_slice id,
                    const ProtobufCMessage *request,
                    struct kv_slice (*encode)(const struct kv_submission *submission),
                    struct kv_status *status);

/* Sends the answer of a repeated request, with the durability in that field. */
void kv_request_answer_again(struct kv_call *call, struct kv_slice answer,
                             unsigned durability_field, enum kv_durability durability);

#endif
