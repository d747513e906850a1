/*
 * Leaves out of what arrives the resets of streams that were never opened.
 *
 * gRPC's C core, and so its clients for Python, Ruby, C++, PHP and C#, sends RST_STREAM for a call
 * that was cancelled, or whose deadline passed, after the call had got its number and before its
 * HEADERS were written. HTTP/2 makes that an error of the connection (RFC 9113, 6.4), nghttp2 has
 * no option to take it otherwise, and the client's other calls would end with the connection.
 *
 * Only frames' headers are looked at, and nothing else is changed: errors are nghttp2's to find.
 *
 * Threads: a sieve belongs to its connection, and so to one worker.
 */
#ifndef KV_RPC_HTTP2_SIEVE_H
#define KV_RPC_HTTP2_SIEVE_H

#include "core/support/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define KV_HTTP2_FRAME_HEAD 9

/* For embedding; begins as zeros. */
struct kv_http2_sieve {
   bool greeted;                      /* the client's preface is being read, or was */
   bool dropping;                     /* the frame's payload is left out */
   uint32_t payload;                  /* bytes of it that are still to come */
   uint32_t newest;                   /* the client's last stream */
   uint8_t head_size;                 /* bytes of the next frame's header that have arrived */
   uint8_t head[KV_HTTP2_FRAME_HEAD]; /* those of a header that does not arrive as a whole */
};

/* Takes the next piece to handle off the front of `arrived`, which may have many; it may be empty,
 * and is valid until the next call. `dropped`: behind it, a reset was left out. Call it until
 * nothing is left: a header that has not arrived as a whole is kept. */
struct kv_slice kv_http2_sieve_next(struct kv_http2_sieve *sieve, struct kv_slice *arrived,
                                    bool *dropped);

#endif
