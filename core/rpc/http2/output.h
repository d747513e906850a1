/*
 * What one write to a socket is made of: small parts are gathered in a buffer, large ones are
 * referred to where they lie. A worker has one, for the connection that it writes to just now.
 *
 * Threads: one at a time.
 */
#ifndef KV_HTTP2_OUTPUT_H
#define KV_HTTP2_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* So much is written at a time. What the socket does not take is kept by its connection, which is
 * all that a client who does not read can make the server buffer beside the replies themselves. */
#define KV_HTTP2_OUTPUT_SIZE ((size_t)128 * 1024)
#define KV_HTTP2_OUTPUT_PARTS 64
/* Of a frame, whose payload nghttp2 limits to 16 KiB: its head, at most four parts that are
 * referred to (output.c), and copies between them. */
#define KV_HTTP2_FRAME_PARTS 12

struct kv_http2_output {
   size_t size; /* of all parts */
   unsigned part_count;
   struct iovec parts[KV_HTTP2_OUTPUT_PARTS];
   size_t gathered; /* bytes of `buffer` */
   uint8_t buffer[KV_HTTP2_OUTPUT_SIZE + 32 * 1024];
};

static inline void kv_http2_output_clear(struct kv_http2_output *output)
{
   output->size = output->gathered = output->part_count = 0;
}

/* Nothing more must be added but what is part of the same frame. */
static inline bool kv_http2_output_is_full(const struct kv_http2_output *output)
{
   return output->size >= KV_HTTP2_OUTPUT_SIZE ||
          output->part_count >= KV_HTTP2_OUTPUT_PARTS - KV_HTTP2_FRAME_PARTS;
}

/* Copies the bytes. */
void kv_http2_output_add(struct kv_http2_output *output, const void *data, size_t size);
/* Refers to them, unless copying is cheaper: they must stay until the output is cleared. */
void kv_http2_output_refer(struct kv_http2_output *output, const void *data, size_t size);
/* Copies what is behind the first `from` bytes to `to`, which has space for it. */
void kv_http2_output_copy(const struct kv_http2_output *output, size_t from, uint8_t *to);

#endif
