#include "core/http/http.h"

#include "core/http/host.h"
#include "core/http/places.h"
#include "core/net/acceptor.h"
#include "core/net/address.h"
#include "core/support/clock.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of a connection that neither sends nor takes anything. */
#define IDLE_S 10
#define LOOK_MS 1000
/* Above KV_HTTP_CONNECTIONS_MAX, as it must never be reached (places.h): the library counts one a
 * little longer than it has a place. */
#define LIBRARY_CONNECTIONS_MAX (2 * KV_HTTP_CONNECTIONS_MAX)
/* For what a client sends, and the headers of the answer. */
#define CONNECTION_MEMORY ((size_t)16 * 1024)
/* New connections in a window of time, so that a flood of them leaves the processors to calls. */
#define WINDOW_MS 100
#define WINDOW_CONNECTIONS 100

#define NO_CONTENT "default-src 'none'; frame-ancestors 'none'"

struct kv_http {
   const struct kv_http_page *pages;
   void *context;
   struct kv_acceptor *acceptor;
   struct MHD_Daemon *daemon; /* NULL: not started */
   /* The acceptor's thread. */
   uint64_t window_ms;
   unsigned window_count;
   struct kv_http_places places; /* any thread */
};

/* ---- Answers ---- */

static const struct kv_http_page *find(const struct kv_http *http, const char *path)
{
   for (const struct kv_http_page *page = http->pages; page->path; page++)
      if (strcmp(page->path, path) == 0)
         return page;
   return NULL;
}

static void say(struct kv_http_answer *answer, unsigned status, const char *text)
{
   *answer = (struct kv_http_answer){.status = status, .body = strdup(text)};
   answer->size = answer->body ? strlen(answer->body) : 0;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct kv_http_answer *answer)
{
   const char *const headers[][2] = {
       {"Content-Type", answer->content_type ? answer->content_type : "text/plain; charset=utf-8"},
       {"Content-Security-Policy", answer->content_policy ? answer->content_policy : NO_CONTENT},
       {"X-Content-Type-Options", "nosniff"},
       {"X-Frame-Options", "DENY"},
       {"Referrer-Policy", "no-referrer"},
       {"Cache-Control", "no-store"},
       {"Connection", "close"},
       {answer->status == MHD_HTTP_METHOD_NOT_ALLOWED ? "Allow" : NULL, "GET, HEAD"},
   };
   struct MHD_Response *response =
       MHD_create_response_from_buffer(answer->size, answer->body, MHD_RESPMEM_MUST_FREE);
   if (!response) {
      free(answer->body);
      return MHD_NO;
   }
   enum MHD_Result result = MHD_YES;
   for (size_t i = 0; i < sizeof headers / sizeof *headers && result == MHD_YES; i++)
      if (headers[i][0])
         result = MHD_add_response_header(response, headers[i][0], headers[i][1]);
   if (result == MHD_YES)
      result = MHD_queue_response(connection, answer->status, response);
   MHD_destroy_response(response);
   return result;
}

/* The address that the client has reached, which may be one of many. */
static struct sockaddr_storage own_address(struct MHD_Connection *connection)
{
   const union MHD_ConnectionInfo *info =
       MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
   struct sockaddr_storage own = {0};
   socklen_t size = sizeof own;
   if (!info || getsockname(info->connect_fd, (struct sockaddr *)&own, &size) != 0)
      own.ss_family = AF_UNSPEC;
   return own;
}

/* No browser reaches a Unix socket. */
static bool may_ask(struct MHD_Connection *connection, const struct sockaddr_storage *own)
{
   const char *host =
       MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
   return own->ss_family == AF_UNIX ||
          (own->ss_family != AF_UNSPEC && !kv_address_is_local((const struct sockaddr *)own)) ||
          kv_http_host_is_local(host);
}

/* Called with the headers of a request; whatever body follows is not waited for. */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
   struct kv_http *http = context;
   const struct sockaddr_storage own = own_address(connection);
   struct kv_http_answer answer = {.is_local = kv_address_is_local((const struct sockaddr *)&own),
                                   .status = MHD_HTTP_OK};
   const struct kv_http_page *page = find(http, path);
   (void)version, (void)upload, (void)upload_size, (void)state;
   if (!may_ask(connection, &own))
      say(&answer, MHD_HTTP_FORBIDDEN,
          "this address is for this machine; ask for it by number or as localhost\n");
   else if (!page)
      say(&answer, MHD_HTTP_NOT_FOUND, "there is no such page; see /metrics\n");
   else if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
      say(&answer, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are possible here\n");
   else
      page->make(http->context, &answer);
   if (!answer.body)
      say(&answer, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
   return answer.body ? send_answer(connection, &answer) : MHD_NO;
}

/* No path here needs an escape, and a NUL in one would end it. */
static size_t leave_escapes(void *context, struct MHD_Connection *connection, char *text)
{
   (void)context, (void)connection;
   return strlen(text);
}

static void log_nothing(void *context, const char *format, va_list arguments)
{
   (void)context, (void)format, (void)arguments;
}

/* ---- Connections ---- */

/* The library tells of the end before it closes the socket, so that no other has its number yet. */
static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode what)
{
   struct kv_http *http = context;
   const union MHD_ConnectionInfo *info =
       MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
   (void)state;
   if (info && what == MHD_CONNECTION_NOTIFY_CLOSED)
      kv_http_places_give_up(&http->places, info->connect_fd);
}

static void look(void *context)
{
   struct kv_http *http = context;
   kv_http_places_look(&http->places);
}

static void keep_pace(struct kv_http *http)
{
   uint64_t now_ms = kv_clock_monotonic_ms();
   if (now_ms - http->window_ms >= WINDOW_MS) {
      http->window_ms = now_ms;
      http->window_count = 0;
   }
   if (++http->window_count == WINDOW_CONNECTIONS)
      poll(NULL, 0, (int)(http->window_ms + WINDOW_MS - now_ms));
}

static void connected(void *context, int fd)
{
   struct kv_http *http = context;
   struct sockaddr_storage peer = {0};
   socklen_t size = sizeof peer;
   keep_pace(http);
   if (!kv_http_places_take(&http->places, fd)) {
      close(fd);
      return;
   }
   if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0)
      size = sizeof(struct sockaddr); /* it has ended; the library sees that */
   /* It closes what it does not take; no other thread opens connections, so the number is ours. */
   if (MHD_add_connection(http->daemon, fd, (struct sockaddr *)&peer, size) != MHD_YES)
      kv_http_places_give_up(&http->places, fd);
}

/* ---- Its life ---- */

struct kv_http *kv_http_create(const struct kv_http_page *pages, void *context,
                               const struct kv_admission *admission, struct kv_status *status)
{
   struct kv_http *http = calloc(1, sizeof *http);
   if (!http) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the HTTP server");
      return NULL;
   }
   http->pages = pages;
   http->context = context;
   kv_http_places_init(&http->places);
   const struct kv_acceptor_handler handler = {
       .connected = connected, .tick = look, .tick_ms = LOOK_MS, .context = http};
   http->acceptor = kv_acceptor_create(&handler, admission, status);
   if (http->acceptor)
      return http;
   kv_http_destroy(http);
   return NULL;
}

enum kv_code kv_http_listen(struct kv_http *http, const char *address, int *port,
                            struct kv_status *status)
{
   return kv_acceptor_listen(http->acceptor, address, port, status);
}

enum kv_code kv_http_start(struct kv_http *http, struct kv_status *status)
{
   http->daemon = MHD_start_daemon(
       MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0,
       NULL, NULL, handle, http, MHD_OPTION_EXTERNAL_LOGGER, log_nothing, NULL,
       MHD_OPTION_CONNECTION_LIMIT, (unsigned)LIBRARY_CONNECTIONS_MAX,
       MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
       CONNECTION_MEMORY, MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, NULL,
       MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
   if (!http->daemon)
      return kv_fail(status, KV_UNAVAILABLE, "cannot start the thread of the HTTP server");
   return kv_acceptor_start(http->acceptor, status);
}

void kv_http_destroy(struct kv_http *http)
{
   if (http->acceptor)
      kv_acceptor_stop(http->acceptor);
   if (http->daemon)
      MHD_stop_daemon(http->daemon);
   if (http->acceptor)
      kv_acceptor_destroy(http->acceptor);
   kv_http_places_deinit(&http->places);
   free(http);
}
