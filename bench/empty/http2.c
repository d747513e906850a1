/*
 * On nghttp2: each worker has an epoll loop and the connections that the acceptor gave it in turn.
 * A read of a connection, all frames of it, one write of all that they brought about. Each request
 * is answered when it has ended, whatever its method and path. The server allocates nothing for it;
 * what is left is what nghttp2 allocates.
 */
#include "bench/empty/wire.h"

#include "core/net/acceptor.h"

#include <nghttp2/nghttp2.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 65536
#define WRITE_SIZE 65536
#define FRAME_SIZE_MAX 32768 /* no frame of this server has more */
#define EVENTS 256

struct connection {
   LIST_ENTRY(connection) others; /* of its worker */
   nghttp2_session *session;
   int fd;
   uint8_t *unsent; /* what the socket did not take, mostly NULL; until it has, nothing is read */
   size_t unsent_size;
};

struct worker {
   pthread_t thread;
   int epoll_fd;
   int adopt_fd;  /* read: sockets to serve; its end ends the worker */
   int assign_fd; /* the other end; the acceptor's */
   nghttp2_session_callbacks *callbacks;
   LIST_HEAD(, connection) connections;
   size_t out_size;
   uint8_t in[READ_SIZE];
   uint8_t out[WRITE_SIZE + FRAME_SIZE_MAX];
};

struct empty_server {
   struct kv_acceptor *acceptor;
   struct worker *workers;
   unsigned count;
   unsigned next; /* worker to get a connection; the acceptor's thread */
};

/* ---- Answers ---- */

#define FIXED(name, value)                                                                         \
   {                                                                                               \
      (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1,                  \
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                             \
   }

static ssize_t give_message(nghttp2_session *session, int32_t stream_id, uint8_t *data, size_t size,
                            uint32_t *flags, nghttp2_data_source *source, void *context)
{
   static const uint8_t empty_message[5]; /* not compressed, of length 0 */
   static const nghttp2_nv trailers[] = {FIXED("grpc-status", "0")};
   (void)source;
   (void)context;
   if (size < sizeof empty_message || nghttp2_submit_trailer(session, stream_id, trailers, 1) != 0)
      return NGHTTP2_ERR_CALLBACK_FAILURE;
   memcpy(data, empty_message, sizeof empty_message);
   *flags = NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
   return sizeof empty_message;
}

static int answer_when_ended(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
   static const nghttp2_nv headers[] = {FIXED(":status", "200"),
                                        FIXED("content-type", "application/grpc")};
   static const nghttp2_data_provider message = {.read_callback = give_message};
   (void)context;
   if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
       !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
      return 0;
   return nghttp2_submit_response(session, frame->hd.stream_id, headers, 2, &message) == 0
              ? 0
              : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- Connections ---- */

/* Of the frames that wait, as many as one write takes. */
static bool gather(struct worker *worker, nghttp2_session *session)
{
   worker->out_size = 0;
   while (worker->out_size < WRITE_SIZE) {
      const uint8_t *frame;
      ssize_t size = nghttp2_session_mem_send(session, &frame);
      if (size <= 0)
         return size == 0;
      if ((size_t)size > sizeof worker->out - worker->out_size)
         return false;
      memcpy(worker->out + worker->out_size, frame, (size_t)size);
      worker->out_size += (size_t)size;
   }
   return true;
}

/* How much the socket took, or -1 when the connection has ended. */
static ssize_t send_some(const struct connection *connection, const uint8_t *data, size_t size)
{
   ssize_t sent = send(connection->fd, data, size, MSG_NOSIGNAL);
   return sent >= 0 ? sent : errno == EAGAIN ? 0 : -1;
}

static bool send_unsent(struct connection *connection)
{
   ssize_t sent = send_some(connection, connection->unsent, connection->unsent_size);
   if (sent < 0)
      return false;
   connection->unsent_size -= (size_t)sent;
   memmove(connection->unsent, connection->unsent + sent, connection->unsent_size);
   if (connection->unsent_size == 0) {
      free(connection->unsent);
      connection->unsent = NULL;
   }
   return true;
}

static bool keep_unsent(struct connection *connection, const uint8_t *data, size_t size)
{
   connection->unsent = malloc(size);
   if (!connection->unsent)
      return false;
   memcpy(connection->unsent, data, size);
   connection->unsent_size = size;
   return true;
}

/* Sends what waits until nothing does or the socket takes no more; false when it has ended. */
static bool flush(struct worker *worker, struct connection *connection)
{
   if (connection->unsent && !send_unsent(connection))
      return false;
   while (!connection->unsent) {
      if (!gather(worker, connection->session))
         return false;
      if (worker->out_size == 0)
         return true;
      ssize_t sent = send_some(connection, worker->out, worker->out_size);
      if (sent < 0)
         return false;
      if ((size_t)sent < worker->out_size)
         return keep_unsent(connection, worker->out + sent, worker->out_size - (size_t)sent);
      if (worker->out_size < WRITE_SIZE)
         return true;
   }
   return true;
}

/* Epoll reports each change once, so this reads until nothing is left: after a short read only the
 * end of a connection that hangs up can be. False when it has ended. (Edge-triggered takes 2 % less
 * processor time than level-triggered; larger windows, no priorities and no record of closed
 * streams made no difference.) */
static bool serve(struct worker *worker, struct connection *connection, bool hangs_up)
{
   if (connection->unsent && !flush(worker, connection))
      return false;
   while (!connection->unsent) {
      ssize_t size = recv(connection->fd, worker->in, READ_SIZE, 0);
      if (size <= 0)
         return size < 0 && errno == EAGAIN;
      if (nghttp2_session_mem_recv(connection->session, worker->in, (size_t)size) < 0 ||
          !flush(worker, connection))
         return false;
      if (size < READ_SIZE && !hangs_up)
         break;
   }
   return connection->unsent || nghttp2_session_want_read(connection->session) ||
          nghttp2_session_want_write(connection->session);
}

static void release(struct connection *connection)
{
   nghttp2_session_del(connection->session);
   close(connection->fd);
   free(connection->unsent);
   free(connection);
}

static void end(struct connection *connection)
{
   LIST_REMOVE(connection, others);
   release(connection);
}

static bool greet(struct worker *worker, struct connection *connection)
{
   return nghttp2_session_server_new(&connection->session, worker->callbacks, NULL) == 0 &&
          nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, NULL, 0) == 0 &&
          flush(worker, connection);
}

static void adopt(struct worker *worker, int fd)
{
   struct connection *connection = calloc(1, sizeof *connection);
   if (!connection) {
      close(fd);
      return;
   }
   connection->fd = fd;
   struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                               .data.ptr = connection};
   if (greet(worker, connection) && epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
      LIST_INSERT_HEAD(&worker->connections, connection, others);
   else
      release(connection);
}

/* ---- Workers ---- */

/* False when there will be no more. */
static bool adopt_all(struct worker *worker)
{
   int fds[64];
   ssize_t size = read(worker->adopt_fd, fds, sizeof fds);
   if (size < 0)
      return errno == EINTR;
   for (size_t i = 0; i < (size_t)size / sizeof fds[0]; i++)
      adopt(worker, fds[i]);
   return size > 0;
}

static void *work(void *argument)
{
   struct worker *worker = argument;
   struct epoll_event events[EVENTS];
   for (bool more = true; more;) {
      int count = epoll_wait(worker->epoll_fd, events, EVENTS, -1);
      if (count < 0 && errno != EINTR)
         abort();
      for (int i = 0; i < count; i++) {
         struct connection *connection = events[i].data.ptr;
         if (!connection)
            more = adopt_all(worker);
         else if (!serve(worker, connection, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            end(connection);
      }
   }
   for (struct connection *next, *last = LIST_FIRST(&worker->connections); last; last = next) {
      next = LIST_NEXT(last, others);
      release(last);
   }
   return NULL;
}

/* A write of a few bytes to a pipe is whole. */
static void assign(void *context, int fd)
{
   struct empty_server *server = context;
   struct worker *worker = &server->workers[server->next];
   server->next = (server->next + 1) % server->count;
   if (write(worker->assign_fd, &fd, sizeof fd) != sizeof fd)
      close(fd);
}

static bool start_worker(struct worker *worker)
{
   int ends[2];
   struct epoll_event event = {.events = EPOLLIN};
   worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
   if (worker->epoll_fd < 0 || pipe2(ends, O_CLOEXEC) != 0)
      return false;
   worker->adopt_fd = ends[0];
   worker->assign_fd = ends[1];
   if (nghttp2_session_callbacks_new(&worker->callbacks) != 0)
      return false;
   nghttp2_session_callbacks_set_on_frame_recv_callback(worker->callbacks, answer_when_ended);
   return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->adopt_fd, &event) == 0 &&
          pthread_create(&worker->thread, NULL, work, worker) == 0;
}

static void stop_worker(struct worker *worker)
{
   close(worker->assign_fd);
   pthread_join(worker->thread, NULL);
   close(worker->adopt_fd);
   close(worker->epoll_fd);
   nghttp2_session_callbacks_del(worker->callbacks);
}

static void stop(struct empty_server *server)
{
   kv_acceptor_stop(server->acceptor);
   for (unsigned i = 0; i < server->count; i++)
      stop_worker(&server->workers[i]);
   kv_acceptor_destroy(server->acceptor);
   free(server->workers);
   free(server);
}

static struct empty_server *start(const char *address, unsigned count, int *port)
{
   struct empty_server *server = calloc(1, sizeof *server);
   struct worker *workers = calloc(count, sizeof *workers);
   if (!server || !workers)
      abort();
   *server = (struct empty_server){.workers = workers, .count = count};
   for (unsigned i = 0; i < count; i++) {
      if (!start_worker(&workers[i])) {
         perror("kvstore-empty-server: cannot start a worker");
         exit(1);
      }
   }
   struct kv_status status;
   const struct kv_acceptor_handler handler = {.connected = assign, .context = server};
   const struct kv_admission admission = {.socket_mode = KV_SOCKET_MODE_PRIVATE, .insecure = true};
   server->acceptor = kv_acceptor_create(&handler, &admission, &status);
   if (!server->acceptor || kv_acceptor_listen(server->acceptor, address, port, &status) != KV_OK ||
       kv_acceptor_start(server->acceptor, &status) != KV_OK) {
      fprintf(stderr, "kvstore-empty-server: %s\n", status.text);
      exit(1);
   }
   return server;
}

const struct empty_wire empty_http2 = {"http2", start, stop};
