#include "tests/fuzz/http2_speaker.h"

#include "tests/fuzz/http2_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* ---- Frames ---- */

static void put32(uint8_t *to, uint32_t value)
{
   to[0] = (uint8_t)(value >> 24);
   to[1] = (uint8_t)(value >> 16);
   to[2] = (uint8_t)(value >> 8);
   to[3] = (uint8_t)value;
}

static bool put_frame(uint8_t type, uint8_t flags, int32_t id, const void *payload, size_t size)
{
   uint8_t head[PEER_FRAME_HEAD_SIZE];
   put32(head, (uint32_t)size << 8);
   head[3] = type;
   head[4] = flags;
   put32(head + 5, (uint32_t)id);
   return peer_put(head, sizeof head) && peer_put(payload, size);
}

static int32_t next_id(void)
{
   return 2 * (int32_t)peer.stream_count + 1;
}

/* One that there is, or any. */
static int32_t choose_id(struct fuzz_input *input)
{
   uint8_t choice = (uint8_t)fuzz_take(input, 1);
   if (choice < 224)
      return peer.stream_count > 0 ? peer.streams[choice % peer.stream_count].id : 1;
   return choice - 224;
}

static struct peer_stream *choose_stream(struct fuzz_input *input)
{
   uint8_t choice = (uint8_t)fuzz_take(input, 1);
   return peer.stream_count > 0 ? &peer.streams[choice % peer.stream_count] : NULL;
}

/* ---- A client session ---- */

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size,
                       uint32_t *flags, nghttp2_data_source *source, void *context)
{
   struct peer_stream *stream = source->ptr;
   size_t left = stream->allowed - stream->framed;
   (void)session;
   (void)id;
   (void)context;
   size = size < left ? size : left;
   if (size > 0)
      memcpy(buffer, stream->data + stream->framed, size);
   stream->framed += size;
   if (stream->ends && stream->framed == stream->size) {
      stream->ended = true;
      *flags |= NGHTTP2_DATA_FLAG_EOF;
   } else if (size == 0) {
      return NGHTTP2_ERR_DEFERRED;
   }
   return (ssize_t)size;
}

static void give_window_back(nghttp2_session *session, struct peer_stream *stream)
{
   if (stream->unread == 0)
      return;
   nghttp2_session_consume(session, stream->id, stream->unread);
   stream->unread = 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *context)
{
   struct peer_stream *stream = peer_stream(id);
   (void)flags;
   (void)data;
   (void)context;
   REQUIRE(stream);
   stream->unread += size;
   if (peer.reads)
      give_window_back(session, stream);
   return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *context)
{
   (void)session;
   (void)context;
   fprintf(stderr, "a frame of type %u: %s\n", frame->hd.type, nghttp2_strerror(error));
   fuzz_broken("the client accepts it", __FILE__, __LINE__, __func__);
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_size, const uint8_t *value,
                             size_t value_size, uint8_t flags, void *context)
{
   (void)session;
   (void)frame;
   (void)flags;
   (void)context;
   fprintf(stderr, "%.*s: %.*s\n", (int)name_size, (const char *)name, (int)value_size,
           (const char *)value);
   fuzz_broken("the client accepts it", __FILE__, __LINE__, __func__);
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
   (void)session;
   (void)context;
   if (frame->hd.type == NGHTTP2_GOAWAY)
      REQUIRE(frame->goaway.error_code == NGHTTP2_NO_ERROR);
   return 0;
}

static void open_client(void)
{
   static nghttp2_session_callbacks *callbacks;
   static nghttp2_option *options;
   if (!callbacks) {
      REQUIRE(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
      nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
      nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
      nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
      nghttp2_option_set_no_auto_window_update(options, 1);
   }
   REQUIRE(nghttp2_session_client_new2(&peer.client, callbacks, NULL, options) == 0);
}

void speaker_flush(void)
{
   const uint8_t *data;
   ssize_t size;
   if (!peer.client)
      return;
   while ((size = nghttp2_session_mem_send(peer.client, &data)) > 0)
      (void)peer_put(data, (size_t)size);
   REQUIRE(size == 0);
}

void speaker_begin(unsigned window)
{
   const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
   if (peer.is_client) {
      open_client();
      nghttp2_submit_settings(peer.client, 0, &entry, 1);
      speaker_flush();
      return;
   }
   uint8_t payload[6] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE};
   put32(payload + 2, window);
   peer_put(PREFACE, sizeof PREFACE - 1);
   put_frame(NGHTTP2_SETTINGS, 0, 0, payload, sizeof payload);
}

/* ---- Streams ---- */

static void send_data(struct peer_stream *stream, size_t size, bool ends, uint8_t padding)
{
   uint8_t payload[PEER_FRAME_SIZE] = {padding};
   size_t left = stream->size - stream->framed, prefix = padding > 0 ? 1 : 0;
   size = size < left ? size : left;
   do {
      size_t most = sizeof payload - prefix - padding, now = size < most ? size : most;
      bool last = ends && now == left;
      uint8_t flags =
          (uint8_t)((last ? NGHTTP2_FLAG_END_STREAM : 0) | (padding > 0 ? NGHTTP2_FLAG_PADDED : 0));
      if (now > 0)
         memcpy(payload + prefix, stream->data + stream->framed, now);
      memset(payload + prefix + now, 0, padding);
      if (!put_frame(NGHTTP2_DATA, flags, stream->id, payload, prefix + now + padding))
         return;
      stream->ended = stream->ends = last;
      stream->framed += now;
      left -= now;
      size -= now;
   } while (size > 0);
}

static void release_data(struct peer_stream *stream, size_t size, bool ends, uint8_t padding)
{
   if (!peer.is_client) {
      send_data(stream, size, ends, padding);
      return;
   }
   size_t left = stream->size - stream->allowed;
   stream->allowed += size < left ? size : left;
   stream->ends = stream->ends || ends;
   nghttp2_session_resume_data(peer.client, stream->id);
}

static void add_message(struct peer_stream *stream, struct fuzz_input *input)
{
   static uint8_t message[MESSAGE_FRAMED_MAX];
   if (!stream->ends) /* to nghttp2 the end is told once */
      peer_stream_add(stream, message, message_make(input, message));
}

/* Literals that no table keeps, without Huffman's code. */
static size_t put_text(uint8_t *to, const uint8_t *text, size_t size)
{
   size_t used = 1;
   if (size < 127) {
      to[0] = (uint8_t)size;
   } else {
      to[0] = 127;
      size_t rest = size - 127;
      for (; rest >= 128; rest /= 128)
         to[used++] = (uint8_t)(rest % 128 | 128);
      to[used++] = (uint8_t)rest;
   }
   memcpy(to + used, text, size);
   return used + size;
}

/* A field that the table keeps, which a byte then names again and again. */
static size_t put_bomb(uint8_t *to)
{
   static const uint8_t letters[2000] = {[0 ... 1999] = 'b'};
   size_t size = 1;
   to[0] = 0x40;
   size += put_text(to + size, letters, 1);
   size += put_text(to + size, letters, sizeof letters);
   memset(to + size, 0xbe, 150);
   return size + 150;
}

static void put_headers(int32_t id, const struct message_fields *fields, bool ends, bool is_bomb)
{
   static uint8_t block[4 * PEER_FRAME_SIZE];
   size_t size = 0, at = 0;
   for (size_t i = 0; i < fields->count; i++) {
      const nghttp2_nv *field = &fields->items[i];
      block[size++] = 0x10;
      size += put_text(block + size, field->name, field->namelen);
      size += put_text(block + size, field->value, field->valuelen);
      REQUIRE(size <= sizeof block / 2);
   }
   if (is_bomb)
      size += put_bomb(block + size);
   do {
      size_t now = size - at < PEER_FRAME_SIZE ? size - at : PEER_FRAME_SIZE;
      uint8_t type = at == 0 ? NGHTTP2_HEADERS : NGHTTP2_CONTINUATION;
      uint8_t flags = at == 0 && ends ? NGHTTP2_FLAG_END_STREAM : 0;
      if (at + now == size)
         flags |= NGHTTP2_FLAG_END_HEADERS;
      put_frame(type, flags, id, block + at, now);
      at += now;
   } while (at < size);
}

enum { HAS_MESSAGE = 1, ENDS = 2, SENDS_ALL = 4, NO_BODY = 8, HEADER_BOMB = 16 + 32 + 64 + 128 };

void speaker_request(struct fuzz_input *input)
{
   struct message_fields fields;
   if (peer.stream_count == PEER_STREAMS_MAX || peer.goes_away)
      return;
   struct peer_stream *stream = peer_stream(next_id());
   message_fields(input, !peer.is_client, &fields);
   uint8_t choices = (uint8_t)fuzz_take(input, 1);
   bool no_body = (choices & NO_BODY) && (choices & ENDS) && !(choices & HAS_MESSAGE);
   if (peer.is_client) {
      const nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = on_read};
      REQUIRE(nghttp2_submit_request(peer.client, NULL, fields.items, fields.count,
                                     no_body ? NULL : &provider, NULL) == stream->id);
   } else {
      put_headers(stream->id, &fields, no_body, (choices & HEADER_BOMB) == HEADER_BOMB);
   }
   if (no_body)
      stream->ends = stream->ended = true;
   if (choices & HAS_MESSAGE)
      add_message(stream, input);
   if (!no_body && (choices & (SENDS_ALL | ENDS)))
      release_data(stream, SIZE_MAX, choices & ENDS, 0);
}

void speaker_message(struct fuzz_input *input)
{
   struct peer_stream *stream = choose_stream(input);
   uint8_t choices = (uint8_t)fuzz_take(input, 1);
   if (!stream || stream->ends)
      return;
   for (unsigned i = 0; i <= choices >> 4; i++) {
      struct fuzz_input again = *input;
      add_message(stream, &again);
      if (i == choices >> 4)
         *input = again;
   }
   if (choices & (SENDS_ALL | ENDS))
      release_data(stream, SIZE_MAX, choices & ENDS, 0);
}

void speaker_data(struct fuzz_input *input)
{
   struct peer_stream *stream = choose_stream(input);
   uint8_t size = (uint8_t)fuzz_take(input, 1), choices = (uint8_t)fuzz_take(input, 1);
   if (!stream || stream->ends)
      return;
   release_data(stream, size < 128 ? size : (size_t)(size - 127) * 512, choices & ENDS,
                choices & 1 ? choices / 2 : 0);
}

/* ---- The connection ---- */

void speaker_reset(struct fuzz_input *input)
{
   struct peer_stream *stream = choose_stream(input);
   uint8_t code = (uint8_t)fuzz_take(input, 1);
   if (!stream)
      return;
   if (peer.is_client) {
      speaker_flush(); /* else nghttp2 sends the reset before the stream's HEADERS */
      if (nghttp2_session_find_stream(peer.client, stream->id))
         nghttp2_submit_rst_stream(peer.client, 0, stream->id, code % 14);
   } else {
      uint8_t payload[4] = {0, 0, 0, code};
      put_frame(NGHTTP2_RST_STREAM, 0, stream->id, payload, sizeof payload);
   }
}

void speaker_ping(struct fuzz_input *input)
{
   uint8_t flags = (uint8_t)fuzz_take(input, 1), payload[8] = {0};
   if (peer.is_client)
      nghttp2_submit_ping(peer.client, 0, NULL);
   else
      put_frame(NGHTTP2_PING, flags, 0, payload, sizeof payload);
}

void speaker_settings(struct fuzz_input *input)
{
   static const uint32_t values[] = {0, 1, 100, 16384, 65535, 1 << 20, INT32_MAX, 20000};
   uint8_t choices = (uint8_t)fuzz_take(input, 1);
   uint16_t id = choices & 1 ? NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE
                             : (choices & 2 ? NGHTTP2_SETTINGS_HEADER_TABLE_SIZE
                                            : NGHTTP2_SETTINGS_MAX_FRAME_SIZE);
   uint32_t value = values[choices >> 5];
   if (id == NGHTTP2_SETTINGS_MAX_FRAME_SIZE && value < 16384)
      value = 16384;
   if (id == NGHTTP2_SETTINGS_MAX_FRAME_SIZE && value > 16777215)
      value = 16777215;
   if (peer.is_client) {
      const nghttp2_settings_entry entry = {id, value};
      nghttp2_submit_settings(peer.client, 0, &entry, 1);
      return;
   }
   uint8_t payload[6] = {0, (uint8_t)id};
   put32(payload + 2, value);
   put_frame(NGHTTP2_SETTINGS, 0, 0, payload, sizeof payload);
}

void speaker_window(struct fuzz_input *input)
{
   uint8_t choices = (uint8_t)fuzz_take(input, 1), payload[4];
   if (peer.is_client) {
      peer.reads = choices & 1;
      for (size_t i = 0; peer.reads && i < peer.stream_count; i++)
         give_window_back(peer.client, &peer.streams[i]);
      return;
   }
   put32(payload, (uint32_t)1 << (choices & 31));
   put_frame(NGHTTP2_WINDOW_UPDATE, 0, choices & 32 ? 0 : choose_id(input), payload,
             sizeof payload);
}

void speaker_go_away(struct fuzz_input *input)
{
   uint8_t payload[8] = {0};
   payload[7] = (uint8_t)fuzz_take(input, 1);
   peer.goes_away = peer.is_client;
   if (peer.is_client)
      nghttp2_submit_goaway(peer.client, 0, 0, NGHTTP2_NO_ERROR, NULL, 0);
   else
      put_frame(NGHTTP2_GOAWAY, 0, 0, payload, sizeof payload);
}

/* ---- Against the rules ---- */

void speaker_frame(struct fuzz_input *input)
{
   uint8_t type = (uint8_t)fuzz_take(input, 1), flags = (uint8_t)fuzz_take(input, 1);
   int32_t id = choose_id(input);
   kvs_bytes payload = fuzz_take_bytes(input, (size_t)fuzz_take(input, 1));
   if (peer.is_client)
      return;
   if (type == NGHTTP2_DATA || type == NGHTTP2_HEADERS)
      peer.knows = false;
   put_frame(type, flags, id, payload.data, payload.size);
}

void speaker_bytes(struct fuzz_input *input)
{
   kvs_bytes bytes = fuzz_take_bytes(input, (size_t)fuzz_take(input, 1));
   if (peer.is_client)
      return;
   peer.knows = false;
   peer_put(bytes.data, bytes.size);
}

void speaker_flood(struct fuzz_input *input)
{
   uint8_t type = (uint8_t)fuzz_take(input, 1), flags = (uint8_t)fuzz_take(input, 1);
   int32_t id = choose_id(input);
   size_t count = 4 * (size_t)fuzz_take(input, 1), size = (size_t)fuzz_take(input, 1) % 16;
   uint8_t payload[16] = {0};
   payload[3] = (uint8_t)fuzz_take(input, 1);
   if (peer.is_client)
      return;
   if (type == NGHTTP2_DATA || type == NGHTTP2_HEADERS)
      peer.knows = false;
   for (size_t i = 0; i < count; i++)
      put_frame(type, flags, id, payload, size);
}
