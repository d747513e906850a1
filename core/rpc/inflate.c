#include "core/rpc/inflate.h"

#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

/* For zlib: take the header of gzip, or that of zlib. */
#define WINDOW_BITS 15
#define WITH_GZIP_HEADER 16
/* What zlib allocates for that. */
#define ZLIB_SIZE ((size_t)48 * 1024)

#define FIRST_CAPACITY ((size_t)16 * 1024)

struct kv_inflater {
   struct kv_inflater_config config;
   z_stream stream;
   int state;     /* zlib's: Z_OK, or Z_STREAM_END at the end */
   bool took_all; /* what zlib holds of the input has been unpacked */
   size_t piece;  /* the next one of the input */
   char *data;    /* the result so far */
   size_t size, capacity;
};

static enum kv_code out_of_memory(struct kv_status *status)
{
   return kv_fail(status, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this request");
}

enum kv_code kv_inflater_create(const struct kv_inflater_config *config,
                                struct kv_inflater **inflater, struct kv_status *status)
{
   if (!config->admit(config->admit_context, ZLIB_SIZE))
      return out_of_memory(status);
   struct kv_inflater *made = calloc(1, sizeof *made);
   if (!made)
      return out_of_memory(status);
   int bits = WINDOW_BITS + (config->gzip ? WITH_GZIP_HEADER : 0);
   made->config = *config;
   made->took_all = true;
   made->state = inflateInit2(&made->stream, bits);
   if (made->state != Z_OK) {
      free(made);
      return out_of_memory(status);
   }
   *inflater = made;
   return KV_OK;
}

void kv_inflater_destroy(struct kv_inflater *inflater)
{
   if (!inflater)
      return;
   inflateEnd(&inflater->stream);
   free(inflater->data);
   free(inflater);
}

char *kv_inflater_take(struct kv_inflater *inflater, size_t *size)
{
   char *data = inflater->data;
   *size = inflater->size;
   inflater->data = NULL;
   return data;
}

/* Makes space for at least a byte more; false when memory or the limit does not allow it. One byte
 * beyond the limit is enough to see that there is too much. */
static bool grow(struct kv_inflater *inflater)
{
   const struct kv_inflater_config *config = &inflater->config;
   size_t capacity = inflater->capacity ? 2 * inflater->capacity : FIRST_CAPACITY;
   if (capacity > config->size_max + 1)
      capacity = config->size_max + 1;
   if (!config->admit(config->admit_context, capacity - inflater->capacity))
      return false;
   char *data = realloc(inflater->data, capacity);
   if (!data)
      return false;
   inflater->data = data;
   inflater->capacity = capacity;
   return true;
}

static enum kv_code too_large(size_t size_max, struct kv_status *status)
{
   return kv_fail_reason(
       status, KV_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
       "the request decompresses to more than %zu bytes (server setting max-message-size)",
       size_max);
}

/* Fills the free space, at most `most` bytes of it. */
static enum kv_code fill(struct kv_inflater *inflater, size_t most, struct kv_status *status)
{
   z_stream *stream = &inflater->stream;
   if (inflater->size > inflater->config.size_max)
      return too_large(inflater->config.size_max, status);
   if (inflater->size == inflater->capacity && !grow(inflater))
      return out_of_memory(status);
   size_t space = inflater->capacity - inflater->size;
   space = space < most ? space : most;
   stream->next_out = (Bytef *)inflater->data + inflater->size;
   stream->avail_out = (uInt)space;
   int state = inflate(stream, Z_NO_FLUSH);
   inflater->size += space - stream->avail_out;
   if (state == Z_BUF_ERROR && stream->avail_in == 0)
      state = Z_OK; /* it did not go on */
   inflater->state = state;
   /* What fills the space may go on without further input. */
   inflater->took_all = stream->avail_in == 0 && stream->avail_out > 0;
   if (state == Z_OK || (state == Z_STREAM_END && stream->avail_in == 0))
      return KV_OK;
   return kv_fail(status, KV_INTERNAL, "the request's compressed data is damaged");
}

/* Gives zlib the next piece; false when there is none. */
static bool feed(struct kv_inflater *inflater)
{
   const struct kv_inflater_config *config = &inflater->config;
   struct kv_slice piece;
   if (!config->piece(config->context, inflater->piece, &piece))
      return false;
   inflater->piece++;
   inflater->stream.next_in = (Bytef *)piece.data;
   inflater->stream.avail_in = (uInt)piece.size;
   inflater->took_all = piece.size == 0;
   return true;
}

static enum kv_code finish(const struct kv_inflater *inflater, struct kv_status *status)
{
   if (inflater->state != Z_STREAM_END)
      return kv_fail(status, KV_INTERNAL, "the request's compressed data ends too early");
   if (inflater->size > inflater->config.size_max)
      return too_large(inflater->config.size_max, status);
   return KV_OK;
}

enum kv_code kv_inflater_run(struct kv_inflater *inflater, size_t bytes, bool *done,
                             struct kv_status *status)
{
   size_t end = bytes < SIZE_MAX - inflater->size ? inflater->size + bytes : SIZE_MAX;
   *done = false;
   while (inflater->size < end) {
      if (inflater->took_all || inflater->state == Z_STREAM_END) {
         if (!feed(inflater)) {
            *done = true;
            return finish(inflater, status);
         }
         if (inflater->state == Z_STREAM_END && inflater->stream.avail_in > 0)
            return kv_fail(status, KV_INTERNAL,
                           "there are extra bytes after the request's compressed data");
         continue;
      }
      enum kv_code code = fill(inflater, end - inflater->size, status);
      if (code != KV_OK)
         return code;
   }
   return KV_OK;
}
