/*
 * The message that a call sends, one at a time: bytes of its own, and pieces that lie elsewhere,
 * such as large values in the store. It is written from where it lies, as the client's windows
 * permit.
 *
 * Threads: a message is made on any thread, one at a time; all else on the worker's.
 */
#ifndef KV_HTTP2_REPLY_H
#define KV_HTTP2_REPLY_H

#include "core/rpc/charge.h"
#include "core/rpc/http2/output.h"
#include "core/support/slice.h"

#define KV_HTTP2_REPLY_INLINE 4

struct kv_http2_part {
   struct kv_slice bytes;
   struct kv_piece *piece; /* ends with the part; may be NULL */
};

struct kv_http2_reply {
   uint8_t *own; /* the message's own bytes, behind the prefix; kept for the next call */
   size_t own_capacity;
   size_t own_size;            /* with the prefix */
   size_t inserted_at;         /* in `own`, with the prefix: what is before lies in parts already */
   struct kv_piece *own_piece; /* `own` lies in it: a large message */
   uint8_t *kept;              /* the buffer that is kept, when own_piece is set */
   struct kv_http2_part *parts; /* `few`, or allocated */
   unsigned part_count, part_capacity;
   size_t size; /* of the message in all, with the prefix; 0: there is none */

   /* Being sent; worker's thread only. */
   size_t left;          /* bytes not yet framed */
   unsigned part_at;     /* the part that is next */
   size_t part_from;     /* bytes of it that have been framed */
   unsigned parts_ended; /* those whose pieces have ended */
   struct kv_http2_part few[KV_HTTP2_REPLY_INLINE];
};

void kv_http2_reply_init(struct kv_http2_reply *reply);
void kv_http2_reply_destroy(struct kv_http2_reply *reply);
/* Releases the message. */
void kv_http2_reply_drop(struct kv_http2_reply *reply);

/* Space for a message of `size` bytes in place of an earlier one; NULL when memory runs out. */
uint8_t *kv_http2_reply_message(struct kv_http2_reply *reply, struct kv_charge *charge,
                                size_t size);
bool kv_http2_reply_insert(struct kv_http2_reply *reply, size_t at, struct kv_slice bytes,
                           struct kv_piece *piece);
/* The message is complete; an empty one, if none was made. */
void kv_http2_reply_seal(struct kv_http2_reply *reply);
/* It is going to be sent now. */
void kv_http2_reply_begin(struct kv_http2_reply *reply);
/* Adds the next `size` bytes, at most those left, to the output; they must stay until the output
 * has been written. */
void kv_http2_reply_write(struct kv_http2_reply *reply, size_t size,
                          struct kv_http2_output *output);
/* The output has been written: releases the pieces that have left. */
void kv_http2_reply_written(struct kv_http2_reply *reply);

#endif
