/*
 * A client that knows no manners: HTTP/2 by hand. It sends what it is told to, also what no client
 * should, and keeps what it gets by stream: fields, bytes of DATA, how it ended. It reads only
 * while it awaits something or sends what needs a window; then it answers SETTINGS and PING.
 *
 * Threads: one at a time for a client.
 */
#ifndef TESTS_HTTP2_CLIENT_H
#define TESTS_HTTP2_CLIENT_H

#include "core/support/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct http2_client;

enum { HTTP2_DATA, HTTP2_HEADERS, HTTP2_RESET = 3, HTTP2_SETTINGS, HTTP2_PING = 6, HTTP2_GOAWAY };
enum { HTTP2_WINDOW_UPDATE = 8 };
enum { HTTP2_END_STREAM = 1, HTTP2_END_HEADERS = 4 };

/* ---- A connection ---- */

/* A socket, on which nothing has been sent. */
int connect_raw(int port);
void write_all(int fd, const void *data, size_t size);
void write_frame(int fd, uint8_t type, uint8_t flags, uint32_t stream, struct kv_slice body);
/* Closes it with a reset, as a killed machine's connection would be. */
void vanish(int fd);

/* Begins a connection on which calls can be begun. Replies may use a window of so many bytes on
 * each stream; -1: HTTP/2's 65535. */
struct http2_client *http2_open(int port);
struct http2_client *http2_open_with(int port, int32_t window);
int http2_fd(const struct http2_client *client);
/* Closes the client's side. */
void http2_shut_down(struct http2_client *client);
/* Closes it, and frees the client; the other one with a reset. */
void http2_close(struct http2_client *client);
void http2_vanish(struct http2_client *client);

/* ---- What it sends ---- */

void http2_send_frame(struct http2_client *client, uint8_t type, uint8_t flags, uint32_t stream,
                      struct kv_slice body);
/* The headers of a call; `timeout` as in the header grpc-timeout, or NULL. */
void http2_begin(struct http2_client *client, uint32_t stream, const char *path,
                 const char *timeout);
/* Begins a call and announces a message of `announced` bytes, of which it sends what `sent` is. The
 * client's side stays open. */
void http2_call(struct http2_client *client, uint32_t stream, const char *path, size_t announced,
                struct kv_slice sent);
void http2_call_within(struct http2_client *client, uint32_t stream, const char *path,
                       const char *timeout, size_t announced, struct kv_slice sent);
/* Bytes in frames of so many, as the server's windows permit; false when it has ended the stream or
 * the connection before they were sent. */
bool http2_upload(struct http2_client *client, uint32_t stream, struct kv_slice bytes,
                  size_t frame_size, bool ends);
/* Stream 0: the connection's window. */
void http2_widen(struct http2_client *client, uint32_t stream, uint32_t size);
void http2_reset(struct http2_client *client, uint32_t stream);

/* ---- What it gets; the awaits are false when the server closes the connection before ---- */

/* A header or trailer, as "name: value". */
bool http2_await_field(struct http2_client *client, uint32_t stream, const char *field);
bool http2_await_text(struct http2_client *client, uint32_t stream, const char *part_of_field);
/* The bytes, somewhere in the stream's DATA. */
bool http2_await_data(struct http2_client *client, uint32_t stream, struct kv_slice bytes);
/* So many bytes of DATA. */
bool http2_await_size(struct http2_client *client, uint32_t stream, size_t size);
/* The end of the server's side of the stream, or its reset. */
bool http2_await_end(struct http2_client *client, uint32_t stream);
/* The answer to a ping that this sends: whatever was sent before has been handled. */
bool http2_await_pong(struct http2_client *client);
/* The server has closed the connection. */
void http2_await_close(struct http2_client *client);
/* Whether it has come already. */
bool http2_has_field(const struct http2_client *client, uint32_t stream, const char *field);
/* All DATA of the stream so far. */
struct kv_slice http2_data(const struct http2_client *client, uint32_t stream);
/* The code of the stream's reset; -1: there was none. */
int64_t http2_reset_code(const struct http2_client *client, uint32_t stream);

#endif
