#include "tests/support/http2_client.h"

#include <nghttp2/nghttp2.h>

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define HEAD_SIZE 9
#define FRAME_MAX ((size_t)16384)
#define WINDOW 65535
#define STREAMS_MAX 1024 /* the streams 1, 3, 5... */
#define PATIENCE_S 60    /* then a test that waits has failed */

enum { SETTING_WINDOW = 4 };
enum { ACK = 1 };

struct bytes {
   char *data;
   size_t size, capacity;
};

struct stream {
   struct bytes fields; /* each is "name: value" and a line feed; the first one follows one */
   struct bytes data;
   bool ended;
   int64_t reset; /* -1: none */
   int64_t window;
};

struct http2_client {
   int fd;
   nghttp2_hd_inflater *inflater;
   struct bytes block; /* a header block that goes on */
   bool block_ends_stream;
   unsigned pings, pongs;
   int64_t first_window, window;
   struct stream streams[STREAMS_MAX];
};

static void append(struct bytes *bytes, const void *data, size_t size)
{
   if (bytes->size + size > bytes->capacity) {
      bytes->capacity = 2 * (bytes->size + size);
      bytes->data = realloc(bytes->data, bytes->capacity);
      assert_non_null(bytes->data);
   }
   if (size > 0)
      memcpy(bytes->data + bytes->size, data, size);
   bytes->size += size;
}

static struct stream *stream_of(const struct http2_client *client, uint32_t stream)
{
   assert_true(stream % 2 == 1 && stream / 2 < STREAMS_MAX);
   return (struct stream *)&client->streams[stream / 2];
}

static uint32_t get_number(const uint8_t *from)
{
   return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void put_number(uint8_t *to, uint32_t number)
{
   for (int i = 0; i < 4; i++)
      to[i] = (uint8_t)(number >> (24 - 8 * i));
}

/* ---- A connection ---- */

int connect_raw(int port)
{
   const struct timeval patience = {.tv_sec = PATIENCE_S};
   struct sockaddr_in address = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)port)};
   int fd = socket(AF_INET, SOCK_STREAM, 0);
   assert_true(fd >= 0);
   assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
   assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
   assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
   return fd;
}

/* Where the server has closed the connection the bytes are lost, and reading will say so. */
void write_all(int fd, const void *data, size_t size)
{
   ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
   if (sent >= 0 || (errno != EPIPE && errno != ECONNRESET))
      assert_int_equal(sent, size);
}

/* A frame's bytes; returns their number. */
static size_t put_frame(uint8_t *to, uint8_t type, uint8_t flags, uint32_t stream,
                        struct kv_slice body)
{
   assert_in_range(body.size, 0, FRAME_MAX);
   put_number(to, (uint32_t)body.size << 8 | type);
   to[4] = flags;
   put_number(to + 5, stream);
   if (body.size > 0)
      memcpy(to + HEAD_SIZE, body.data, body.size);
   return HEAD_SIZE + body.size;
}

void write_frame(int fd, uint8_t type, uint8_t flags, uint32_t stream, struct kv_slice body)
{
   uint8_t frame[HEAD_SIZE + FRAME_MAX];
   write_all(fd, frame, put_frame(frame, type, flags, stream, body));
}

void vanish(int fd)
{
   const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
   assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
   close(fd);
}

struct http2_client *http2_open_with(int port, int32_t window)
{
   struct http2_client *client = calloc(1, sizeof *client);
   uint8_t setting[6] = {0, SETTING_WINDOW};
   assert_non_null(client);
   assert_int_equal(nghttp2_hd_inflate_new(&client->inflater), 0);
   client->fd = connect_raw(port);
   client->first_window = client->window = WINDOW;
   for (size_t i = 0; i < STREAMS_MAX; i++) {
      client->streams[i].reset = -1;
      client->streams[i].window = WINDOW;
   }
   write_all(client->fd, PREFACE, sizeof PREFACE - 1);
   put_number(setting + 2, (uint32_t)window);
   http2_send_frame(client, HTTP2_SETTINGS, 0, 0, kv_slice(setting, window < 0 ? 0 : 6));
   return client;
}

struct http2_client *http2_open(int port)
{
   return http2_open_with(port, -1);
}

int http2_fd(const struct http2_client *client)
{
   return client->fd;
}

static void destroy(struct http2_client *client)
{
   nghttp2_hd_inflate_del(client->inflater);
   for (size_t i = 0; i < STREAMS_MAX; i++) {
      free(client->streams[i].fields.data);
      free(client->streams[i].data.data);
   }
   free(client->block.data);
   free(client);
}

void http2_shut_down(struct http2_client *client)
{
   assert_int_equal(shutdown(client->fd, SHUT_WR), 0);
}

void http2_close(struct http2_client *client)
{
   close(client->fd);
   destroy(client);
}

void http2_vanish(struct http2_client *client)
{
   vanish(client->fd);
   destroy(client);
}

/* ---- What it sends ---- */

void http2_send_frame(struct http2_client *client, uint8_t type, uint8_t flags, uint32_t stream,
                      struct kv_slice body)
{
   write_frame(client->fd, type, flags, stream, body);
}

static size_t put_field(char *to, const char *name, const char *value)
{
   size_t name_size = strlen(name), value_size = strlen(value);
   *to++ = 0; /* HPACK: a literal with a new name, not to be indexed */
   *to++ = (char)name_size;
   memcpy(to, name, name_size);
   to += name_size;
   *to++ = (char)value_size;
   memcpy(to, value, value_size);
   return name_size + value_size + 3;
}

void http2_begin(struct http2_client *client, uint32_t stream, const char *path,
                 const char *timeout)
{
   char fields[512];
   size_t size = put_field(fields, ":method", "POST");
   size += put_field(fields + size, ":scheme", "http");
   size += put_field(fields + size, ":path", path);
   size += put_field(fields + size, ":authority", "test");
   size += put_field(fields + size, "content-type", "application/grpc");
   size += put_field(fields + size, "te", "trailers");
   if (timeout)
      size += put_field(fields + size, "grpc-timeout", timeout);
   http2_send_frame(client, HTTP2_HEADERS, HTTP2_END_HEADERS, stream, kv_slice(fields, size));
}

void http2_call_within(struct http2_client *client, uint32_t stream, const char *path,
                       const char *timeout, size_t announced, struct kv_slice sent)
{
   uint8_t message[5 + 512] = {0};
   assert_in_range(sent.size, 0, sizeof message - 5);
   put_number(message + 1, (uint32_t)announced);
   if (sent.size > 0)
      memcpy(message + 5, sent.data, sent.size);
   http2_begin(client, stream, path, timeout);
   http2_send_frame(client, HTTP2_DATA, 0, stream, kv_slice(message, 5 + sent.size));
   stream_of(client, stream)->window -= (int64_t)(5 + sent.size);
   client->window -= (int64_t)(5 + sent.size);
}

void http2_call(struct http2_client *client, uint32_t stream, const char *path, size_t announced,
                struct kv_slice sent)
{
   http2_call_within(client, stream, path, NULL, announced, sent);
}

void http2_widen(struct http2_client *client, uint32_t stream, uint32_t size)
{
   uint8_t body[4];
   put_number(body, size);
   http2_send_frame(client, HTTP2_WINDOW_UPDATE, 0, stream, kv_slice(body, sizeof body));
}

void http2_reset(struct http2_client *client, uint32_t stream)
{
   static const uint8_t cancel[4] = {0, 0, 0, 8};
   http2_send_frame(client, HTTP2_RESET, 0, stream, kv_slice(cancel, sizeof cancel));
}

/* ---- What it gets ---- */

static void unpack_block(struct http2_client *client, struct stream *stream)
{
   const uint8_t *in = (const uint8_t *)client->block.data;
   size_t left = client->block.size;
   int flags = 0;
   append(&stream->fields, "\n", 1);
   while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
      nghttp2_nv field;
      ssize_t used = nghttp2_hd_inflate_hd2(client->inflater, &field, &flags, in, left, 1);
      assert_true(used >= 0);
      in += used;
      left -= (size_t)used;
      if (!(flags & NGHTTP2_HD_INFLATE_EMIT))
         continue;
      append(&stream->fields, field.name, field.namelen);
      append(&stream->fields, ": ", 2);
      append(&stream->fields, field.value, field.valuelen);
      append(&stream->fields, "\n", 1);
   }
   nghttp2_hd_inflate_end_headers(client->inflater);
   client->block.size = 0;
}

static void handle_headers(struct http2_client *client, struct stream *stream, uint8_t flags,
                           struct kv_slice body)
{
   append(&client->block, body.data, body.size);
   client->block_ends_stream |= flags & HTTP2_END_STREAM;
   if (!(flags & HTTP2_END_HEADERS))
      return;
   unpack_block(client, stream);
   stream->ended |= client->block_ends_stream;
   client->block_ends_stream = false;
}

/* May fail: the server may be gone already. */
static void answer(struct http2_client *client, uint8_t type, struct kv_slice body)
{
   uint8_t frame[HEAD_SIZE + 8];
   (void)!send(client->fd, frame, put_frame(frame, type, ACK, 0, body), MSG_NOSIGNAL);
}

static void handle_settings(struct http2_client *client, uint8_t flags, struct kv_slice body)
{
   const uint8_t *at = body.data;
   if (flags & ACK)
      return;
   for (size_t i = 0; i + 6 <= body.size; i += 6) {
      if (at[i + 1] != SETTING_WINDOW)
         continue;
      int64_t window = get_number(at + i + 2), step = window - client->first_window;
      client->first_window = window;
      for (size_t j = 0; j < STREAMS_MAX; j++)
         client->streams[j].window += step;
   }
   answer(client, HTTP2_SETTINGS, kv_slice(NULL, 0));
}

static void handle_frame(struct http2_client *client, uint8_t type, uint8_t flags, uint32_t id,
                         struct kv_slice body)
{
   struct stream *stream = id > 0 ? stream_of(client, id) : NULL;
   switch (type) {
   case HTTP2_DATA:
      append(&stream->data, body.data, body.size);
      stream->ended |= flags & HTTP2_END_STREAM;
      break;
   case HTTP2_HEADERS:
   case NGHTTP2_CONTINUATION:
      handle_headers(client, stream, flags, body);
      break;
   case HTTP2_RESET:
      stream->reset = get_number(body.data);
      break;
   case HTTP2_SETTINGS:
      handle_settings(client, flags, body);
      break;
   case HTTP2_PING:
      if (flags & ACK)
         client->pongs++;
      else
         answer(client, HTTP2_PING, body);
      break;
   case HTTP2_WINDOW_UPDATE:
      *(stream ? &stream->window : &client->window) += get_number(body.data);
      break;
   default:
      break;
   }
}

static bool read_all(int fd, uint8_t *to, size_t size)
{
   ssize_t got = size > 0 ? recv(fd, to, size, MSG_WAITALL) : 0;
   if (got < 0 && errno == EAGAIN)
      fail_msg("nothing has come for %d s", PATIENCE_S);
   return got == (ssize_t)size;
}

/* One frame; false: the server has closed the connection. */
static bool read_frame(struct http2_client *client)
{
   uint8_t head[HEAD_SIZE], body[FRAME_MAX];
   if (!read_all(client->fd, head, sizeof head))
      return false;
   size_t size = get_number(head) >> 8;
   assert_in_range(size, 0, FRAME_MAX);
   if (!read_all(client->fd, body, size))
      return false;
   handle_frame(client, head[3], head[4], get_number(head + 5) & INT32_MAX, kv_slice(body, size));
   return true;
}

static bool contains(const struct bytes *bytes, const void *wanted, size_t size)
{
   return bytes->size > 0 && memmem(bytes->data, bytes->size, wanted, size);
}

bool http2_await_text(struct http2_client *client, uint32_t stream, const char *part_of_field)
{
   const struct stream *of = stream_of(client, stream);
   while (!contains(&of->fields, part_of_field, strlen(part_of_field)))
      if (!read_frame(client))
         return false;
   return true;
}

/* `line` has space for it. */
static const char *as_line(const char *field, char line[256])
{
   assert_in_range(snprintf(line, 256, "\n%s\n", field), 0, 255);
   return line;
}

bool http2_await_field(struct http2_client *client, uint32_t stream, const char *field)
{
   char line[256];
   return http2_await_text(client, stream, as_line(field, line));
}

bool http2_has_field(const struct http2_client *client, uint32_t stream, const char *field)
{
   char line[256];
   as_line(field, line);
   return contains(&stream_of(client, stream)->fields, line, strlen(line));
}

bool http2_await_data(struct http2_client *client, uint32_t stream, struct kv_slice bytes)
{
   const struct stream *of = stream_of(client, stream);
   while (!contains(&of->data, bytes.data, bytes.size))
      if (!read_frame(client))
         return false;
   return true;
}

bool http2_await_size(struct http2_client *client, uint32_t stream, size_t size)
{
   const struct stream *of = stream_of(client, stream);
   while (of->data.size < size)
      if (!read_frame(client))
         return false;
   return true;
}

static bool is_over(const struct stream *stream)
{
   return stream->ended || stream->reset >= 0;
}

bool http2_await_end(struct http2_client *client, uint32_t stream)
{
   const struct stream *of = stream_of(client, stream);
   while (!is_over(of))
      if (!read_frame(client))
         return false;
   return true;
}

bool http2_await_pong(struct http2_client *client)
{
   http2_send_frame(client, HTTP2_PING, 0, 0, kv_slice("a ping!", 8));
   client->pings++;
   while (client->pongs < client->pings)
      if (!read_frame(client))
         return false;
   return true;
}

void http2_await_close(struct http2_client *client)
{
   while (read_frame(client))
      ;
}

struct kv_slice http2_data(const struct http2_client *client, uint32_t stream)
{
   const struct bytes *data = &stream_of(client, stream)->data;
   return kv_slice(data->data, data->size);
}

int64_t http2_reset_code(const struct http2_client *client, uint32_t stream)
{
   return stream_of(client, stream)->reset;
}

/* ---- Uploads ---- */

static size_t least(size_t a, size_t b)
{
   return a < b ? a : b;
}

bool http2_upload(struct http2_client *client, uint32_t id, struct kv_slice bytes,
                  size_t frame_size, bool ends)
{
   struct stream *stream = stream_of(client, id);
   size_t sent = 0;
   do {
      int64_t window = stream->window < client->window ? stream->window : client->window;
      size_t size = least(frame_size, bytes.size - sent);
      if ((int64_t)size > window) {
         if (!read_frame(client) || is_over(stream))
            return false;
         continue;
      }
      struct kv_slice body = kv_slice((const char *)bytes.data + sent, size);
      sent += size;
      uint8_t flags = ends && sent == bytes.size ? HTTP2_END_STREAM : 0;
      http2_send_frame(client, HTTP2_DATA, flags, id, body);
      stream->window -= (int64_t)size;
      client->window -= (int64_t)size;
   } while (sent < bytes.size);
   return true;
}
