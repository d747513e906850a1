#include "core/rpc/http2/connection.h"

#include "core/net/tls_session.h"
#include "core/rpc/http2/secure.h"
#include "core/rpc/http2/session.h"
#include "core/rpc/http2/worker.h"
#include "core/rpc/limits.h"
#include "core/support/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Until a client must have sent its preface and SETTINGS. */
#define HANDSHAKE_MS 20000
/* A connection without a call for so long is ended; a client that needs it again opens it again. */
#define IDLE_MS (2 * 3600 * 1000)
/* How long a client may take to close its side when the server has closed its own: if what it has
 * sent were unread when the socket is closed, the system would reset the connection, and the last
 * bytes would be lost. */
#define LINGER_MS 1000
/* Read at a time while the client leaves something unread: what answers it waits in memory. */
#define UNSENT_READ_SIZE ((size_t)4 * 1024)
/* Written at a time, so that the others get their turn. */
#define OUTPUTS_MAX 4
/* Kept for a client that does not read, with all that TLS has to say meanwhile: far above what an
 * orderly one causes. */
#define UNSENT_MAX (2 * KV_HTTP2_OUTPUT_SIZE)

struct kv_http2_connection *kv_http2_connection_of(struct kv_connection *base)
{
   return (struct kv_http2_connection *)((char *)base - offsetof(struct kv_http2_connection, base));
}

static void close_socket(struct kv_http2_connection *connection)
{
   int fd = atomic_exchange(&connection->base.fd, -1);
   if (fd >= 0)
      close(fd);
}

struct kv_http2_connection *kv_http2_connection_create(struct kv_http2_worker *worker, int fd,
                                                       uint64_t number)
{
   struct kv_http2_connection *connection = calloc(1, sizeof *connection);
   struct kv_share *share = connection ? kv_share_open(worker->base.rpc->account) : NULL;
   if (share) {
      connection->worker = worker;
      connection->base = (struct kv_connection){.share = share, .fd = fd, .number = number};
      kv_connection_identify(&connection->base);
      LIST_INIT(&connection->calls);
   }
   if (share && kv_http2_secure_open(connection))
      return connection;
   if (share)
      kv_share_close(share);
   free(connection);
   if (fd >= 0)
      close(fd);
   return NULL;
}

static bool is_closed(const struct kv_http2_connection *connection)
{
   return !connection->session;
}

static void destroy_if_unused(struct kv_http2_connection *connection)
{
   if (!is_closed(connection) || connection->call_count > 0)
      return;
   kv_connection_set_note(&connection->base, NULL, NULL);
   kv_share_close(connection->base.share);
   kv_http2_secure_close(connection);
   free(connection);
}

/* With the others, or with those whose handshakes wait. */
static struct kv_http2_reading *queue_of(const struct kv_http2_connection *connection)
{
   struct kv_http2_worker *worker = connection->worker;
   return kv_http2_secure_is_shaking(connection) ? &worker->shaking : &worker->reading;
}

static void forget(struct kv_http2_connection *connection)
{
   struct kv_http2_worker *worker = connection->worker;
   LIST_REMOVE(connection, siblings);
   if (connection->in_reading)
      TAILQ_REMOVE(queue_of(connection), connection, reading);
   if (connection->in_touched)
      TAILQ_REMOVE(&worker->touched, connection, touched);
   connection->in_reading = connection->in_touched = false;
}

static void drop_unsent(struct kv_http2_connection *connection)
{
   if (!connection->unsent)
      return;
   kv_share_give(connection->base.share, connection->unsent_size);
   free(connection->unsent);
   connection->unsent = NULL;
}

void kv_http2_connection_close(struct kv_http2_connection *connection)
{
   if (is_closed(connection))
      return;
   forget(connection);
   kv_http2_session_close(connection);
   close_socket(connection);
   drop_unsent(connection);
   destroy_if_unused(connection);
}

void kv_http2_connection_call_ended(struct kv_http2_connection *connection)
{
   connection->call_count--;
   destroy_if_unused(connection);
}

static bool watch(struct kv_http2_connection *connection)
{
   struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                               .data.ptr = connection};
   return connection->base.fd < 0 ||
          epoll_ctl(connection->worker->epoll, EPOLL_CTL_ADD, connection->base.fd, &event) == 0;
}

/* Times are those of its worker's rounds: none must be later than `now_ms`. */
static void set_times(struct kv_http2_connection *connection, uint64_t now_ms)
{
   if (!connection->session || connection->heard_ms > now_ms)
      connection->heard_ms = now_ms;
   if (!connection->session || connection->called_ms > now_ms)
      connection->called_ms = now_ms;
}

void kv_http2_connection_join(struct kv_http2_connection *connection,
                              struct kv_http2_worker *worker)
{
   connection->worker = worker;
   set_times(connection, worker->now_ms);
   LIST_INSERT_HEAD(&worker->connections, connection, siblings);
   bool good = connection->session || kv_http2_session_open(connection);
   if (good && watch(connection))
      return;
   kv_log(KV_LOG_WARNING, "a connection was refused: the server is out of memory");
   if (connection->session) {
      kv_http2_connection_close(connection);
      return;
   }
   forget(connection);
   close_socket(connection);
   destroy_if_unused(connection);
}

bool kv_http2_connection_leave(struct kv_http2_connection *connection)
{
   struct kv_http2_worker *worker = connection->worker;
   if (connection->call_count > 0 || connection->ended || connection->unsent ||
       connection->in_reading || connection->in_touched)
      return false;
   if (connection->base.fd >= 0 &&
       epoll_ctl(worker->epoll, EPOLL_CTL_DEL, connection->base.fd, NULL) != 0)
      return false;
   LIST_REMOVE(connection, siblings);
   return true;
}

void kv_http2_connection_touch(struct kv_http2_connection *connection)
{
   if (connection->in_touched || is_closed(connection))
      return;
   connection->in_touched = true;
   TAILQ_INSERT_TAIL(&connection->worker->touched, connection, touched);
}

/* ---- Writing ---- */

/* Whether a write has failed because the socket takes nothing now. */
static bool takes_later(void)
{
   return errno == EAGAIN || errno == EINTR;
}

/* False: the connection cannot go on. */
static bool write_unsent(struct kv_http2_connection *connection)
{
   size_t left = connection->unsent_size - connection->unsent_from;
   ssize_t sent =
       send(connection->base.fd, connection->unsent + connection->unsent_from, left, MSG_NOSIGNAL);
   if (sent < 0)
      return takes_later();
   connection->unsent_from += (size_t)sent;
   if ((size_t)sent == left)
      drop_unsent(connection);
   return true;
}

/* Keeps what the socket has not taken. */
static bool keep_unsent(struct kv_http2_connection *connection,
                        const struct kv_http2_output *output, size_t sent)
{
   size_t size = output->size - sent;
   connection->unsent = malloc(size);
   if (!connection->unsent)
      return false;
   kv_http2_output_copy(output, sent, connection->unsent);
   connection->unsent_from = 0;
   connection->unsent_size = size;
   kv_share_add(connection->base.share, size);
   return true;
}

static ssize_t send_output(int fd, const struct kv_http2_output *output)
{
   if (output->part_count == 1)
      return send(fd, output->parts[0].iov_base, output->size, MSG_NOSIGNAL);
   const struct msghdr message = {.msg_iov = (struct iovec *)output->parts,
                                  .msg_iovlen = output->part_count};
   return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* What TLS has to say while something waits for the client. */
static bool keep_more(struct kv_http2_connection *connection, const struct kv_http2_output *output)
{
   size_t left = connection->unsent_size - connection->unsent_from;
   uint8_t *both = left + output->size <= UNSENT_MAX ? malloc(left + output->size) : NULL;
   if (!both)
      return false;
   memcpy(both, connection->unsent + connection->unsent_from, left);
   kv_http2_output_copy(output, 0, both + left);
   drop_unsent(connection);
   connection->unsent = both;
   connection->unsent_from = 0;
   connection->unsent_size = left + output->size;
   kv_share_add(connection->base.share, connection->unsent_size);
   return true;
}

/* False: the connection cannot go on. */
static bool write_output(struct kv_http2_connection *connection,
                         const struct kv_http2_output *output)
{
   if (output->size == 0)
      return true;
   if (connection->unsent)
      return keep_more(connection, output);
   ssize_t sent = send_output(connection->base.fd, output);
   if (sent < 0 && !takes_later())
      return false;
   size_t taken = sent > 0 ? (size_t)sent : 0;
   return taken == output->size || keep_unsent(connection, output, taken);
}

/* ---- Reading ---- */

void kv_http2_connection_readable(struct kv_http2_connection *connection)
{
   if (connection->in_reading || is_closed(connection))
      return;
   connection->in_reading = true;
   TAILQ_INSERT_TAIL(queue_of(connection), connection, reading);
}

void kv_http2_connection_hung_up(struct kv_http2_connection *connection)
{
   connection->hung_up = true;
   kv_http2_connection_readable(connection);
}

/* False: the connection must be closed at once. */
static bool receive(struct kv_http2_connection *connection, const uint8_t *data, size_t size)
{
   if (connection->ended)
      return true;
   if (!connection->tls)
      return kv_http2_session_receive(connection, data, size);
   struct kv_http2_output *sealed = &connection->worker->secure->sealed;
   bool good = kv_http2_secure_receive(connection, kv_slice(data, size));
   return write_output(connection, sealed) && good;
}

void kv_http2_connection_read(struct kv_http2_connection *connection)
{
   struct kv_http2_worker *worker = connection->worker;
   if (connection->in_reading)
      TAILQ_REMOVE(queue_of(connection), connection, reading);
   connection->in_reading = false;
   connection->halted = !connection->hung_up && kv_http2_session_waits_for_reader(connection);
   if (connection->halted)
      return;
   size_t most = connection->unsent ? UNSENT_READ_SIZE : sizeof worker->input;
   uint8_t *input = connection->tls ? worker->secure->arrived : worker->input;
   ssize_t got = recv(connection->base.fd, input, most, 0);
   if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      if (errno == EINTR)
         kv_http2_connection_readable(connection);
      return;
   }
   connection->heard_ms = worker->now_ms;
   connection->pinged = false;
   bool goes_on = got > 0 && receive(connection, input, (size_t)got);
   if (!goes_on)
      kv_http2_connection_close(connection);
   else if ((size_t)got == most || connection->hung_up)
      kv_http2_connection_readable(connection);
}

/* ---- Turns ---- */

/* Writes the worker's output. */
static bool send_made(struct kv_http2_connection *connection)
{
   struct kv_http2_worker *worker = connection->worker;
   if (!connection->tls)
      return write_output(connection, &worker->output);
   return kv_http2_secure_seal(connection) && write_output(connection, &worker->secure->sealed);
}

/* Makes an output and writes it. False: the connection cannot go on. */
static bool write_next(struct kv_http2_connection *connection, bool *more)
{
   struct kv_http2_output *output = &connection->worker->output;
   kv_http2_output_clear(output);
   bool good = kv_http2_session_fill(connection);
   *more = kv_http2_output_is_full(output);
   if (good)
      good = send_made(connection);
   kv_http2_session_written(connection);
   return good;
}

/* All is said: the client should close its side now. */
static void shut_down(struct kv_http2_connection *connection)
{
   if (connection->shut)
      return;
   kv_http2_connection_end(connection);
   bool good = true;
   if (connection->tls) {
      kv_http2_secure_end(connection);
      good = write_output(connection, &connection->worker->secure->sealed);
   }
   if (good && connection->unsent)
      return; /* comes back when it has left */
   connection->shut = true;
   if (!good || shutdown(connection->base.fd, SHUT_WR) != 0)
      kv_http2_connection_close(connection);
}

void kv_http2_connection_flush(struct kv_http2_connection *connection)
{
   struct kv_http2_worker *worker = connection->worker;
   bool good = true, more = true;
   if (connection->in_touched)
      TAILQ_REMOVE(&worker->touched, connection, touched);
   connection->in_touched = false;
   if (connection->shut) /* what calls still say is too late */
      return;
   if (connection->unsent)
      good = write_unsent(connection);
   if (kv_http2_secure_is_mute(connection))
      more = false;
   for (unsigned i = 0; good && more && !connection->unsent && i < OUTPUTS_MAX; i++)
      good = write_next(connection, &more);
   if (!good) {
      kv_http2_connection_close(connection);
   } else if (!connection->unsent) {
      if (connection->halted)
         kv_http2_connection_readable(connection);
      if (more)
         kv_http2_connection_touch(connection);
      else if (connection->ended || kv_http2_session_is_over(connection))
         shut_down(connection);
   }
}

void kv_http2_connection_end(struct kv_http2_connection *connection)
{
   struct kv_http2_worker *worker = connection->worker;
   if (connection->ended)
      return;
   connection->ended = true;
   connection->ended_ms = worker->now_ms;
   if (worker->look_at_ms > worker->now_ms + LINGER_MS)
      worker->look_at_ms = worker->now_ms + LINGER_MS;
   kv_http2_connection_touch(connection);
}

void kv_http2_connection_check(struct kv_http2_connection *connection, int result)
{
   if (!nghttp2_is_fatal(result) || connection->ended)
      return;
   kv_log(KV_LOG_WARNING, "a connection was ended: %s", nghttp2_strerror(result));
   kv_http2_connection_end(connection);
}

/* ---- The end of the server ---- */

/* Calls whose requests have not arrived are like calls that are not there yet. */
static void refuse_unbegun(struct kv_http2_connection *connection)
{
   struct kv_http2_call *call;
   struct kv_status status;
   LIST_FOREACH (call, &connection->calls, siblings)
      if (call->open && call->request.only_one && !call->request.delivered && !call->answered &&
          kv_call_may_begin(&call->base, &status) != KV_OK)
         kv_call_refuse(&call->base, &status);
}

void kv_http2_connection_drain(struct kv_http2_connection *connection)
{
   if (connection->ended || connection->draining)
      return;
   connection->draining = true;
   refuse_unbegun(connection);
   kv_http2_session_go_away(connection, false);
   kv_http2_session_ping(connection);
}

void kv_http2_connection_farewell(struct kv_http2_connection *connection)
{
   if (connection->ended)
      return;
   kv_http2_connection_drain(connection);
   kv_http2_session_go_away(connection, true);
   kv_http2_connection_end(connection);
}

/* ---- Time ---- */

void kv_http2_connection_look(struct kv_http2_connection *connection)
{
   uint64_t now = connection->worker->now_ms;
   if (!LIST_EMPTY(&connection->calls))
      connection->called_ms = now;
   if (connection->ended) {
      if (now - connection->ended_ms >= LINGER_MS)
         kv_http2_connection_close(connection);
   } else if (!connection->settled) {
      if (now - connection->called_ms >= HANDSHAKE_MS)
         kv_http2_connection_close(connection);
   } else if (connection->pinged) {
      if (now - connection->heard_ms >= KV_RPC_KEEPALIVE_MS + KV_RPC_KEEPALIVE_ANSWER_MS)
         kv_http2_connection_close(connection);
   } else if (now - connection->called_ms >= IDLE_MS) {
      kv_http2_session_go_away(connection, true);
   } else if (now - connection->heard_ms >= KV_RPC_KEEPALIVE_MS) {
      connection->pinged = true;
      kv_http2_session_ping(connection);
   }
}
