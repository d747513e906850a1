#include "tests/fuzz/http2_peer.h"

#include "core/support/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PENDING_MAX ((size_t)512 * 1024)
#define STREAM_DATA_MAX ((size_t)512 * 1024) /* of each stream */
#define PREFIX_SIZE 5

struct peer peer;

/* ---- The socket ---- */

uint64_t __wrap_kv_clock_monotonic_ms(void);
ssize_t __wrap_recv(int fd, void *to, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __wrap_shutdown(int fd, int how);

uint64_t __wrap_kv_clock_monotonic_ms(void)
{
   return peer.now_ms;
}

static ssize_t fail(int error)
{
   errno = error;
   return -1;
}

ssize_t __wrap_recv(int fd, void *to, size_t size, int flags)
{
   size_t left = peer.pending_size - peer.pending_from;
   REQUIRE(fd == -1 && flags == 0);
   if (peer.reset)
      return fail(ECONNRESET);
   if (left == 0)
      return peer.closed ? 0 : fail(EAGAIN);
   size = size < left ? size : left;
   size = size < peer.chunk ? size : peer.chunk;
   memcpy(to, peer.pending + peer.pending_from, size);
   peer.pending_from += size;
   if (peer.pending_from == peer.pending_size)
      peer.pending_from = peer.pending_size = 0;
   return (ssize_t)size;
}

static void receive(const uint8_t *data, size_t size);

/* The first bytes of the parts, as far as there is room. */
static ssize_t take(const struct iovec *parts, size_t count)
{
   size_t taken = 0;
   REQUIRE(!peer.shut);
   if (peer.refuses || peer.reset)
      return fail(EPIPE);
   for (size_t i = 0; i < count && peer.room > 0; i++) {
      size_t size = parts[i].iov_len < peer.room ? parts[i].iov_len : peer.room;
      receive(parts[i].iov_base, size);
      peer.room -= size;
      taken += size;
   }
   return taken > 0 ? (ssize_t)taken : fail(EAGAIN);
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
   const struct iovec part = {(void *)(uintptr_t)data, size};
   REQUIRE(fd == -1 && flags == MSG_NOSIGNAL && size > 0);
   return take(&part, 1);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
   REQUIRE(fd == -1 && flags == MSG_NOSIGNAL);
   return take(message->msg_iov, message->msg_iovlen);
}

int __wrap_shutdown(int fd, int how)
{
   REQUIRE(fd == -1 && how == SHUT_WR && !peer.shut);
   peer.shut = true;
   return peer.reset ? (int)fail(ENOTCONN) : 0;
}

/* ---- What it sends ---- */

bool peer_put(const void *data, size_t size)
{
   if (size > PENDING_MAX - peer.pending_size)
      peer.closed = true;
   if (peer.closed)
      return false;
   if (size > 0)
      memcpy(peer.pending + peer.pending_size, data, size);
   peer.pending_size += size;
   return true;
}

bool peer_has_pending(void)
{
   return peer.pending_from < peer.pending_size;
}

struct peer_stream *peer_stream(int32_t id)
{
   for (size_t i = peer.stream_count; i > 0; i--)
      if (peer.streams[i - 1].id == id)
         return &peer.streams[i - 1];
   if (peer.stream_count == PEER_STREAMS_MAX)
      return NULL;
   static uint8_t data[PEER_STREAMS_MAX][STREAM_DATA_MAX];
   struct peer_stream *stream = &peer.streams[peer.stream_count];
   *stream = (struct peer_stream){
       .id = id, .data = data[peer.stream_count++], .http_status = -1, .grpc_status = -1};
   return stream;
}

void peer_stream_add(struct peer_stream *stream, const void *data, size_t size)
{
   if (size > STREAM_DATA_MAX - stream->size)
      return;
   memcpy(stream->data + stream->size, data, size);
   stream->size += size;
}

static size_t get_size(const uint8_t *prefix)
{
   return (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
}

/* gzip's header and that of a stored block; zlib's. */
#define GZIP_SIZE 15
#define GZIP_END 8
#define ZLIB_SIZE 7
#define ZLIB_END 4

void peer_check_delivery(int32_t id, bool packed, const void *message, size_t size)
{
   struct peer_stream *stream = peer.knows && id != 0 ? peer_stream(id) : NULL;
   if (id > peer.last_begun)
      peer.last_begun = id;
   if (!stream)
      return;
   REQUIRE(stream->framed - stream->delivered >= PREFIX_SIZE);
   const uint8_t *next = stream->data + stream->delivered;
   size_t sent = get_size(next);
   REQUIRE(stream->framed - stream->delivered >= PREFIX_SIZE + sent);
   REQUIRE(next[0] <= 1 && packed == (next[0] == 1));
   stream->delivered += PREFIX_SIZE + sent;
   next += PREFIX_SIZE;
   if (!packed) {
      REQUIRE(sent == size && (size == 0 || memcmp(next, message, size) == 0));
   } else if (next[0] == 0x1f && next[10] == 1) {
      REQUIRE(sent == size + GZIP_SIZE + GZIP_END);
      REQUIRE(memcmp(next + GZIP_SIZE, message, size) == 0);
   } else if (next[0] == 0x78 && next[2] == 1) {
      REQUIRE(sent == size + ZLIB_SIZE + ZLIB_END);
      REQUIRE(memcmp(next + ZLIB_SIZE, message, size) == 0);
   }
}

void peer_check_half_close(int32_t id)
{
   struct peer_stream *stream = peer.knows && id != 0 ? peer_stream(id) : NULL;
   if (stream)
      REQUIRE(stream->ended && stream->delivered == stream->size);
}

/* ---- What it gets ---- */

const uint8_t *peer_pattern(size_t size)
{
   static uint8_t pattern[PEER_MESSAGE_MAX + 256];
   REQUIRE(size <= PEER_MESSAGE_MAX);
   for (size_t i = 0; pattern[1] == 0 && i < sizeof pattern; i++)
      pattern[i] = (uint8_t)(i * 31);
   return pattern + size % 256;
}

static void check_end(const struct peer_stream *stream)
{
   if (stream->http_status != 200) {
      REQUIRE(stream->http_status == 405 || stream->http_status == 415);
      REQUIRE(stream->messages == 0);
      return;
   }
   REQUIRE(stream->grpc_status >= 0 && stream->grpc_status <= 16);
   if (stream->grpc_status != 0)
      return;
   REQUIRE(stream->prefix_size == 0);
   REQUIRE(stream->messages == stream->replies);
   REQUIRE(!stream->unary || stream->messages == 1);
}

static void take_field(struct peer_stream *stream, const nghttp2_nv *field)
{
   const char *name = (const char *)field->name, *value = (const char *)field->value;
   if (strcmp(name, ":status") == 0) {
      REQUIRE(stream->http_status == -1);
      stream->http_status = atoi(value);
   } else if (strcmp(name, "grpc-status") == 0) {
      REQUIRE(stream->grpc_status == -1);
      stream->grpc_status = atoi(value);
   }
}

/* All blocks must be read, as they share a table. */
static void take_headers(struct peer_stream *stream, const uint8_t *block, size_t size,
                         uint8_t flags)
{
   bool first = stream && stream->http_status == -1;
   int state = 0;
   REQUIRE(flags & NGHTTP2_FLAG_END_HEADERS);
   while (!(state & NGHTTP2_HD_INFLATE_FINAL)) {
      nghttp2_nv field;
      ssize_t used = nghttp2_hd_inflate_hd2(peer.inflater, &field, &state, block, size, 1);
      REQUIRE(used >= 0);
      block += used;
      size -= (size_t)used;
      if ((state & NGHTTP2_HD_INFLATE_EMIT) && stream)
         take_field(stream, &field);
   }
   nghttp2_hd_inflate_end_headers(peer.inflater);
   if (!stream)
      return;
   REQUIRE(!stream->over && stream->http_status != -1);
   REQUIRE(first || (flags & NGHTTP2_FLAG_END_STREAM));
   stream->over = flags & NGHTTP2_FLAG_END_STREAM;
   if (stream->over)
      check_end(stream);
}

static void take_data(struct peer_stream *stream, const uint8_t *data, size_t size, uint8_t flags)
{
   REQUIRE(flags == 0);
   if (!stream)
      return;
   REQUIRE(!stream->over && stream->http_status == 200);
   while (size > 0) {
      if (stream->prefix_size < PREFIX_SIZE) {
         stream->prefix[stream->prefix_size++] = *data++;
         size--;
         stream->message_size = get_size(stream->prefix);
         stream->arrived = 0;
      } else {
         size_t now = stream->message_size - stream->arrived;
         now = now < size ? now : size;
         REQUIRE(memcmp(peer_pattern(stream->message_size) + stream->arrived, data, now) == 0);
         stream->arrived += now;
         data += now;
         size -= now;
      }
      if (stream->prefix_size == PREFIX_SIZE && stream->arrived == stream->message_size) {
         REQUIRE(stream->prefix[0] == 0);
         stream->prefix_size = 0;
         stream->messages++;
      }
   }
}

static uint32_t get32(const uint8_t *from)
{
   return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* A client that keeps the rules is not told that it broke one. */
static void check_error(const uint8_t *code)
{
   uint32_t error = get32(code);
   if (peer.is_client)
      REQUIRE(error == NGHTTP2_NO_ERROR || error == NGHTTP2_REFUSED_STREAM ||
              error == NGHTTP2_ENHANCE_YOUR_CALM);
}

static void take_frame(const uint8_t *head, const uint8_t *payload, size_t size)
{
   int32_t id = (int32_t)get32(head + 5);
   struct peer_stream *stream = id > 0 ? peer_stream(id) : NULL;
   uint8_t type = head[3], flags = head[4];
   REQUIRE(peer.frames++ > 0 || type == NGHTTP2_SETTINGS);
   switch (type) {
   case NGHTTP2_HEADERS:
      REQUIRE(id % 2 == 1);
      take_headers(stream, payload, size, flags);
      break;
   case NGHTTP2_DATA:
      REQUIRE(id % 2 == 1);
      take_data(stream, payload, size, flags);
      break;
   case NGHTTP2_RST_STREAM:
      REQUIRE(id > 0 && size == 4);
      check_error(payload);
      if (stream)
         stream->over = true;
      break;
   case NGHTTP2_WINDOW_UPDATE:
      REQUIRE(size == 4 && get32(payload) > 0 && get32(payload) <= INT32_MAX);
      break;
   case NGHTTP2_GOAWAY:
      REQUIRE(id == 0 && size >= 8);
      /* The client may do elsewhere what comes after the stream that it names. */
      REQUIRE(get32(payload) >= (uint32_t)peer.last_begun);
      check_error(payload + 4);
      break;
   default:
      REQUIRE(id == 0 && (type == NGHTTP2_SETTINGS || type == NGHTTP2_PING));
   }
}

static void receive(const uint8_t *data, size_t size)
{
   if (peer.client)
      REQUIRE(nghttp2_session_mem_recv(peer.client, data, size) == (ssize_t)size);
   while (size > 0) {
      size_t all = PEER_FRAME_HEAD_SIZE;
      if (peer.frame_size >= PEER_FRAME_HEAD_SIZE)
         all += get32(peer.frame) >> 8;
      REQUIRE(all <= sizeof peer.frame);
      size_t now = all - peer.frame_size < size ? all - peer.frame_size : size;
      memcpy(peer.frame + peer.frame_size, data, now);
      peer.frame_size += now;
      data += now;
      size -= now;
      if (peer.frame_size < PEER_FRAME_HEAD_SIZE ||
          peer.frame_size < PEER_FRAME_HEAD_SIZE + (get32(peer.frame) >> 8))
         continue;
      take_frame(peer.frame, peer.frame + PEER_FRAME_HEAD_SIZE,
                 peer.frame_size - PEER_FRAME_HEAD_SIZE);
      peer.frame_size = 0;
   }
}

/* ---- Its life ---- */

void peer_begin(bool is_client)
{
   static uint8_t pending[PENDING_MAX];
   peer.is_client = is_client;
   peer.knows = true;
   peer.now_ms = 1000000;
   peer.pending = pending;
   peer.pending_from = peer.pending_size = 0;
   peer.chunk = SIZE_MAX;
   peer.room = SIZE_MAX;
   peer.closed = peer.reset = peer.shut = peer.refuses = peer.goes_away = false;
   peer.frame_size = peer.frames = peer.stream_count = 0;
   peer.last_begun = 0;
   peer.client = NULL;
   peer.reads = true;
   REQUIRE(nghttp2_hd_inflate_new(&peer.inflater) == 0);
}

void peer_end(void)
{
   nghttp2_hd_inflate_del(peer.inflater);
   nghttp2_session_del(peer.client);
}
