/*
 * The headers of a call: those that say how it is carried, and the client's metadata, which is
 * copied for the service.
 *
 * Threads: one at a time.
 */
#ifndef KV_HTTP2_HEAD_H
#define KV_HTTP2_HEAD_H

#include "core/rpc/http2/fields.h"
#include "core/rpc/rpc.h"

struct kv_http2_methods;

/* A header block that goes on beyond this ends the connection: the client sends it only to have it
 * decoded. */
#define KV_HTTP2_BLOCK_MAX ((size_t)256 * 1024)
#define KV_HTTP2_PATH_SHOWN_MAX 256

struct kv_http2_head {
   const struct kv_rpc_method *method; /* NULL: unknown */
   bool is_post, is_grpc, bad_timeout;
   enum kv_encoding encoding;
   int64_t timeout_ms;                 /* INT64_MAX: none */
   size_t size;                        /* of all names and values */
   char path[KV_HTTP2_PATH_SHOWN_MAX]; /* of an unknown method, cut */

   /* The client's metadata: (name size, value size, name, value) after another. Kept for the next
    * call. */
   uint8_t *metadata;
   size_t metadata_size, metadata_capacity;
   bool metadata_lost; /* memory ran out */
};

/* For a new call. */
void kv_http2_head_begin(struct kv_http2_head *head);
void kv_http2_head_destroy(struct kv_http2_head *head);
void kv_http2_head_add(struct kv_http2_head *head, const struct kv_http2_methods *methods,
                       struct kv_slice name, struct kv_slice value);
/* How many values there are of that name; the first is *value, of "-bin" names as it came. */
size_t kv_http2_head_metadata(const struct kv_http2_head *head, struct kv_slice name,
                              struct kv_slice *value);

#endif
