#include "core/rpc/http2/reply.h"

#include "core/rpc/http2/framing.h"
#include "core/support/invariant.h"

#include <stdlib.h>
#include <string.h>

/* A buffer of this size serves most replies, and stays with the pooled call. */
#define KEPT_SIZE ((size_t)1024)
/* Messages from here on are charged piece by piece, until their bytes have left. */
#define LARGE_SIZE ((size_t)64 * 1024)

void kv_http2_reply_init(struct kv_http2_reply *reply)
{
   *reply = (struct kv_http2_reply){.part_capacity = KV_HTTP2_REPLY_INLINE};
   reply->parts = reply->few;
}

void kv_http2_reply_destroy(struct kv_http2_reply *reply)
{
   kv_http2_reply_drop(reply);
   free(reply->own);
}

void kv_http2_reply_drop(struct kv_http2_reply *reply)
{
   for (unsigned i = 0; i < reply->part_count; i++)
      if (reply->parts[i].piece)
         kv_piece_end(reply->parts[i].piece);
   if (reply->own_piece) {
      kv_piece_end(reply->own_piece);
      reply->own = reply->kept;
      reply->own_piece = NULL;
   } else if (reply->own_capacity > KEPT_SIZE) {
      free(reply->own);
      reply->own = NULL;
      reply->own_capacity = 0;
   }
   if (reply->parts != reply->few)
      free(reply->parts);
   reply->parts = reply->few;
   reply->part_capacity = KV_HTTP2_REPLY_INLINE;
   reply->part_count = 0;
   reply->own_size = reply->inserted_at = reply->size = 0;
}

static bool allocate_large(struct kv_http2_reply *reply, struct kv_charge *charge, size_t size)
{
   uint8_t *data;
   struct kv_piece *piece = kv_charge_allocate(charge, size, &data);
   if (!piece)
      return false;
   reply->kept = reply->own;
   reply->own = data;
   reply->own_piece = piece;
   return true;
}

static bool allocate(struct kv_http2_reply *reply, struct kv_charge *charge, size_t size)
{
   if (!kv_charge_reply(charge, size))
      return false;
   if (size <= reply->own_capacity)
      return true;
   size_t capacity = size > KEPT_SIZE ? size : KEPT_SIZE;
   uint8_t *own = malloc(capacity);
   if (!own)
      return false;
   free(reply->own);
   reply->own = own;
   reply->own_capacity = capacity;
   return true;
}

uint8_t *kv_http2_reply_message(struct kv_http2_reply *reply, struct kv_charge *charge, size_t size)
{
   size_t all = KV_FRAMING_PREFIX_SIZE + size;
   kv_http2_reply_drop(reply);
   kv_charge_drop_reply(charge);
   if (!(size >= LARGE_SIZE ? allocate_large(reply, charge, all) : allocate(reply, charge, all)))
      return NULL;
   reply->own_size = reply->size = all;
   return reply->own + KV_FRAMING_PREFIX_SIZE;
}

/* So that so many parts can be added. */
static bool reserve(struct kv_http2_reply *reply, unsigned count)
{
   if (reply->part_count + count <= reply->part_capacity)
      return true;
   unsigned capacity = 2 * (reply->part_capacity + count);
   struct kv_http2_part *old = reply->parts == reply->few ? NULL : reply->parts;
   struct kv_http2_part *parts = reallocarray(old, capacity, sizeof *parts);
   if (!parts)
      return false;
   if (!old)
      memcpy(parts, reply->few, sizeof reply->few);
   reply->parts = parts;
   reply->part_capacity = capacity;
   return true;
}

static void add_part(struct kv_http2_reply *reply, struct kv_slice bytes, struct kv_piece *piece)
{
   reply->parts[reply->part_count++] = (struct kv_http2_part){bytes, piece};
}

/* What is in `own` up to `end` and in no part yet. */
static void add_own(struct kv_http2_reply *reply, size_t end)
{
   size_t from = reply->inserted_at;
   reply->inserted_at = end;
   if (end > from)
      add_part(reply, kv_slice(reply->own + from, end - from), NULL);
}

bool kv_http2_reply_insert(struct kv_http2_reply *reply, size_t at, struct kv_slice bytes,
                           struct kv_piece *piece)
{
   at += KV_FRAMING_PREFIX_SIZE;
   KV_INVARIANT(at >= reply->inserted_at && at <= reply->own_size);
   if (!reserve(reply, 3)) /* the third is for kv_http2_reply_seal */
      return false;
   add_own(reply, at);
   add_part(reply, bytes, piece);
   reply->size += bytes.size;
   return true;
}

void kv_http2_reply_seal(struct kv_http2_reply *reply)
{
   static const uint8_t empty[KV_FRAMING_PREFIX_SIZE];
   if (reply->size > 0) {
      kv_framing_put_prefix(reply->own, reply->size - KV_FRAMING_PREFIX_SIZE);
      add_own(reply, reply->own_size);
   } else {
      add_part(reply, kv_slice(empty, sizeof empty), NULL);
      reply->size = sizeof empty;
   }
}

void kv_http2_reply_begin(struct kv_http2_reply *reply)
{
   reply->left = reply->size;
   reply->part_from = 0;
   reply->part_at = reply->parts_ended = 0;
}

void kv_http2_reply_write(struct kv_http2_reply *reply, size_t size, struct kv_http2_output *output)
{
   reply->left -= size;
   while (size > 0) {
      struct kv_slice bytes = reply->parts[reply->part_at].bytes;
      size_t now = bytes.size - reply->part_from < size ? bytes.size - reply->part_from : size;
      kv_http2_output_refer(output, (const char *)bytes.data + reply->part_from, now);
      reply->part_from += now;
      size -= now;
      if (reply->part_from == bytes.size) {
         reply->part_from = 0;
         reply->part_at++;
      }
   }
}

void kv_http2_reply_written(struct kv_http2_reply *reply)
{
   for (; reply->parts_ended < reply->part_at; reply->parts_ended++) {
      struct kv_http2_part *part = &reply->parts[reply->parts_ended];
      if (part->piece)
         kv_piece_end(part->piece);
      part->piece = NULL;
   }
}
