#include "core/net/acceptor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 60000 /* then a test that waits for an event has failed */

/* ---- A server that greets ---- */

static void greet(void *context, int fd)
{
   (void)context;
   (void)send(fd, "!", 1, MSG_NOSIGNAL); /* who waits for it sees whether it came */
   close(fd);
}

static struct kv_acceptor *create_admitting(const struct kv_admission *admission)
{
   const struct kv_acceptor_handler handler = {.connected = greet};
   struct kv_status status;
   struct kv_acceptor *acceptor = kv_acceptor_create(&handler, admission, &status);
   assert_non_null(acceptor);
   return acceptor;
}

static struct kv_acceptor *create_with(mode_t socket_mode)
{
   const struct kv_admission admission = {.socket_mode = socket_mode, .insecure = true};
   return create_admitting(&admission);
}

static struct kv_acceptor *create(void)
{
   return create_with(KV_SOCKET_MODE_PRIVATE);
}

static int set_up(void **state)
{
   *state = create();
   return 0;
}

static int tear_down(void **state)
{
   if (*state)
      kv_acceptor_destroy(*state);
   return 0;
}

/* For a test that watches what the end leaves. */
static void end(void **state)
{
   kv_acceptor_destroy(*state);
   *state = NULL;
}

/* The port. */
static int listen_at(struct kv_acceptor *acceptor, const char *address)
{
   struct kv_status status;
   int port = -1;
   if (kv_acceptor_listen(acceptor, address, &port, &status) != KV_OK)
      fail_msg("%s", status.text);
   return port;
}

static void start(struct kv_acceptor *acceptor)
{
   struct kv_status status;
   assert_int_equal(kv_acceptor_start(acceptor, &status), KV_OK);
}

static int listen_and_start(struct kv_acceptor *acceptor, const char *address)
{
   int port = listen_at(acceptor, address);
   start(acceptor);
   return port;
}

static int connect_to(const void *address, socklen_t size)
{
   int fd = socket(((const struct sockaddr *)address)->sa_family, SOCK_STREAM, 0);
   assert_true(fd >= 0);
   assert_int_equal(connect(fd, address, size), 0);
   return fd;
}

static int connect_to_port(int port)
{
   const struct sockaddr_in address = {.sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                       .sin_port = htons((uint16_t)port)};
   return connect_to(&address, sizeof address);
}

static int connect_to_path(const char *path)
{
   struct sockaddr_un address = {.sun_family = AF_UNIX};
   snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
   return connect_to(&address, sizeof address);
}

/* What comes first: '!', or 0 when the connection was closed without a word. */
static char greeting(int fd)
{
   struct pollfd polled = {.fd = fd, .events = POLLIN};
   char byte = 0;
   assert_int_equal(poll(&polled, 1, PATIENCE_MS), 1);
   if (read(fd, &byte, 1) != 1)
      byte = 0;
   close(fd);
   return byte;
}

static void assert_refused(struct kv_acceptor *acceptor, const char *address, const char *text)
{
   struct kv_status status;
   assert_int_not_equal(kv_acceptor_listen(acceptor, address, NULL, &status), KV_OK);
   if (!strstr(status.text, text) || !strstr(status.text, address))
      fail_msg("%s: \"%s\" does not say \"%s\"", address, status.text, text);
}

/* ---- host:port ---- */

static void each_connection_is_handed_on(void **state)
{
   int port = listen_at(*state, "127.0.0.1:0"), other = listen_at(*state, "127.0.0.1:0");
   start(*state);
   for (int i = 0; i < 20; i++)
      assert_int_equal(greeting(connect_to_port(i % 2 ? port : other)), '!');
}

static void a_port_in_use_is_refused_with_what_to_do(void **state)
{
   static const char *const hosts[] = {"127.0.0.1", "0.0.0.0"};
   struct kv_acceptor *second = create();
   int port = listen_at(*state, "127.0.0.1:0");
   for (size_t i = 0; i < 2; i++) {
      char address[32];
      snprintf(address, sizeof address, "%s:%d", hosts[i], port);
      assert_refused(second, address, "stop it or choose another address");
   }
   kv_acceptor_destroy(second);
}

static void an_ipv6_port_in_use_is_refused_with_what_to_do(void **state)
{
   struct kv_acceptor *second = create();
   struct kv_status status;
   char address[32];
   int port;
   if (kv_acceptor_listen(*state, "[::1]:0", &port, &status) != KV_OK) {
      print_message("no IPv6 here: %s\n", status.text);
   } else {
      assert_true(port > 0);
      snprintf(address, sizeof address, "[::1]:%d", port);
      assert_refused(second, address, "stop it or choose another address");
   }
   kv_acceptor_destroy(second);
}

static void a_name_is_listened_on_at_all_its_addresses_and_one_port(void **state)
{
   int port = listen_at(*state, "localhost:0");
   assert_true(port > 0);
   close(connect_to_port(port));
}

static void an_address_that_is_listened_on_already_is_no_second_one(void **state)
{
   static const char *const pairs[][2] = {{"127.0.0.1", "127.0.0.1"}, {"127.0.0.1", "localhost"},
                                          {"localhost", "127.0.0.1"}, {"0.0.0.0", "127.0.0.1"},
                                          {"0.0.0.0", "[::]"},        {"[::]", "0.0.0.0"},
                                          {"[::]", "localhost"}};
   (void)state;
   for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
      struct kv_acceptor *acceptor = create();
      char address[64];
      snprintf(address, sizeof address, "%s:0", pairs[i][0]);
      int port = listen_at(acceptor, address);
      snprintf(address, sizeof address, "%s:%d", pairs[i][1], port);
      assert_int_equal(listen_at(acceptor, address), port);
      close(connect_to_port(port));
      kv_acceptor_destroy(acceptor);
   }
}

static void the_address_for_all_serves_ipv4_too(void **state)
{
   close(connect_to_port(listen_at(*state, "[::]:0")));
}

/* The narrower one would have to be given up first. */
static void an_address_that_covers_an_earlier_one_is_refused_with_what_to_do(void **state)
{
   char address[32];
   snprintf(address, sizeof address, "0.0.0.0:%d", listen_at(*state, "127.0.0.1:0"));
   assert_refused(*state, address, "it includes an address given before it");
}

static void an_address_that_this_machine_does_not_have_is_refused(void **state)
{
   assert_refused(*state, "no.such.host.invalid:1", "cannot resolve the name");
   assert_refused(*state, "192.0.2.1:0", "192.0.2.1");
   assert_refused(*state, "nonsense", "not an address to listen on");
}

static void more_addresses_than_there_are_places_for_are_refused(void **state)
{
   for (int i = 0; i < 64; i++)
      listen_at(*state, "127.0.0.1:0");
   struct kv_status status;
   assert_int_equal(kv_acceptor_listen(*state, "127.0.0.1:0", NULL, &status),
                    KV_RESOURCE_EXHAUSTED);
}

static void nobody_is_listened_to_after_a_stop(void **state)
{
   int port = listen_at(*state, "127.0.0.1:0");
   start(*state);
   kv_acceptor_stop(*state);
   struct kv_acceptor *second = create();
   char address[32];
   snprintf(address, sizeof address, "127.0.0.1:%d", port);
   assert_int_equal(listen_at(second, address), port);
   kv_acceptor_destroy(second);
}

/* The listener outlives the failures, and the next connection is served. */
static void connections_beyond_the_limit_on_open_files_are_closed(void **state)
{
   struct rlimit before, low;
   int port = listen_at(*state, "127.0.0.1:0");
   assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
   start(*state);
   int fd = connect_to_port(port);
   low = (struct rlimit){.rlim_cur = (rlim_t)fd, .rlim_max = before.rlim_max};
   assert_int_equal(greeting(fd), '!');
   fd = socket(AF_INET, SOCK_STREAM, 0); /* before none can be opened */
   const struct sockaddr_in address = {.sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                       .sin_port = htons((uint16_t)port)};
   assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
   assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
   low.rlim_cur = (rlim_t)fd + 2; /* the system accepts, but from the reserved ones */
   assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
   assert_int_equal(greeting(fd), 0);
   assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
   assert_int_equal(greeting(connect_to_port(port)), '!');
}

static void note_tick(void *context)
{
   (void)eventfd_write(*(const int *)context, 1);
}

static void discard(void *context, int fd)
{
   (void)context;
   close(fd);
}

static void ticks_come_from_the_first_connection_on(void **state)
{
   int ticked = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK);
   struct pollfd polled = {.fd = ticked, .events = POLLIN};
   eventfd_t one;
   const struct kv_acceptor_handler handler = {
       .connected = discard, .tick = note_tick, .tick_ms = 1, .context = &ticked};
   struct kv_status status;
   const struct kv_admission admission = {.socket_mode = KV_SOCKET_MODE_PRIVATE};
   struct kv_acceptor *acceptor = kv_acceptor_create(&handler, &admission, &status);
   (void)state;
   int port = listen_at(acceptor, "127.0.0.1:0");
   start(acceptor);
   assert_int_equal(eventfd_read(ticked, &one), -1);
   int fd = connect_to_port(port);
   for (int i = 0; i < 3; i++) {
      assert_int_equal(poll(&polled, 1, PATIENCE_MS), 1);
      assert_int_equal(eventfd_read(ticked, &one), 0);
   }
   kv_acceptor_destroy(acceptor);
   close(fd);
   close(ticked);
}

/* ---- What other machines reach ---- */

static void what_other_machines_reach_needs_tls_and_users_or_the_word(void **state)
{
   static const struct {
      struct kv_admission admission;
      const char *text; /* NULL: it may listen */
   } cases[] = {
       {{0}, "neither TLS (--tls-cert, --tls-key) nor users (--users)"},
       {{.has_tls = true}, "TLS, but no users (--users)"},
       {{.has_users = true}, "users, but no TLS (--tls-cert, --tls-key)"},
       {{.has_tls = true, .has_users = true}, NULL},
       {{.insecure = true}, NULL},
   };
   (void)state;
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      struct kv_acceptor *acceptor = create_admitting(&cases[i].admission);
      listen_at(acceptor, "127.0.0.1:0");
      listen_at(acceptor, "localhost:0");
      if (cases[i].text) {
         assert_refused(acceptor, "0.0.0.0:0", cases[i].text);
         assert_refused(acceptor, "[::]:0", "take the risk with --insecure");
      } else {
         assert_int_equal(greeting(connect_to_port(listen_and_start(acceptor, "0.0.0.0:0"))), '!');
      }
      kv_acceptor_destroy(acceptor);
   }
}

/* ---- unix:PATH ---- */

/* A directory for sockets, away again with `leave`. */
struct place {
   char directory[32];
   char path[48];
   char address[64];
};

static struct place make_place(void)
{
   struct place place = {.directory = "/tmp/kv_net_XXXXXX"};
   assert_non_null(mkdtemp(place.directory));
   snprintf(place.path, sizeof place.path, "%s/socket", place.directory);
   snprintf(place.address, sizeof place.address, "unix:%s", place.path);
   return place;
}

static void leave(const struct place *place)
{
   assert_int_equal(rmdir(place->directory), 0); /* so the socket has been removed */
}

static void a_unix_socket_serves_its_owner_only_and_goes_with_the_acceptor(void **state)
{
   struct place place = make_place();
   struct stat file;
   assert_int_equal(listen_at(*state, place.address), 0);
   assert_int_equal(listen_at(*state, place.address), 0); /* is one */
   assert_int_equal(lstat(place.path, &file), 0);
   assert_int_equal(file.st_mode & 0777, 0600);
   start(*state);
   assert_int_equal(greeting(connect_to_path(place.path)), '!');
   end(state);
   leave(&place);
}

/* What the calls that make a Unix socket found, see below. */
static struct {
   const char *path; /* NULL: nobody asks */
   mode_t when_bound, when_listening;
} observed;

static mode_t mode_of(const char *path)
{
   struct stat file;
   assert_int_equal(lstat(path, &file), 0);
   return file.st_mode & 0777;
}

int __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
   int result = __real_bind(fd, address, size);
   if (observed.path)
      observed.when_bound = mode_of(observed.path);
   return result;
}

int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog)
{
   if (observed.path)
      observed.when_listening = mode_of(observed.path);
   return __real_listen(fd, backlog);
}

static void a_unix_socket_never_lets_in_more_than_its_mode_whatever_the_umask(void **state)
{
   static const mode_t modes[] = {0600, 0660, 0666}, masks[] = {0, 022, 0777};
   (void)state;
   for (size_t i = 0; i < 9; i++) {
      struct place place = make_place();
      mode_t mode = modes[i / 3], before = umask(masks[i % 3]);
      struct kv_acceptor *acceptor = create_with(mode);
      observed.path = place.path;
      listen_at(acceptor, place.address);
      observed.path = NULL;
      umask(before);
      assert_int_equal(observed.when_bound & ~mode, 0);
      assert_int_equal(observed.when_listening, mode);
      assert_int_equal(mode_of(place.path), mode);
      kv_acceptor_destroy(acceptor);
      leave(&place);
   }
}

static void a_second_server_on_a_unix_socket_is_refused_and_the_first_one_named(void **state)
{
   struct place place = make_place();
   struct kv_acceptor *second = create();
   char holder[64];
   snprintf(holder, sizeof holder, "process %d does; stop it", (int)getpid());
   listen_at(*state, place.address);
   assert_refused(second, place.address, holder);
   kv_acceptor_destroy(second);
   assert_int_equal(access(place.path, F_OK), 0);
   end(state);
   leave(&place);
}

static void a_stale_unix_socket_is_taken_over(void **state)
{
   struct place place = make_place();
   struct sockaddr_un address = {.sun_family = AF_UNIX};
   snprintf(address.sun_path, sizeof address.sun_path, "%s", place.path);
   int fd = socket(AF_UNIX, SOCK_STREAM, 0);
   assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
   close(fd);
   listen_at(*state, place.address);
   end(state);
   leave(&place);
}

static void a_file_in_the_way_of_a_unix_socket_is_left_alone(void **state)
{
   struct place place = make_place();
   FILE *file = fopen(place.path, "w");
   assert_non_null(file);
   fclose(file);
   assert_refused(*state, place.address, "not a socket");
   assert_int_equal(unlink(place.path), 0);
   leave(&place);
}

/* As when a second server has taken over the path meanwhile. */
static void the_end_leaves_a_socket_of_somebody_else_alone(void **state)
{
   struct place place = make_place();
   struct kv_acceptor *second = create();
   listen_at(*state, place.address);
   assert_int_equal(unlink(place.path), 0);
   listen_at(second, place.address);
   end(state);
   assert_int_equal(access(place.path, F_OK), 0);
   kv_acceptor_destroy(second);
   leave(&place);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(each_connection_is_handed_on),
       CASE(a_port_in_use_is_refused_with_what_to_do),
       CASE(an_ipv6_port_in_use_is_refused_with_what_to_do),
       CASE(a_name_is_listened_on_at_all_its_addresses_and_one_port),
       CASE(an_address_that_is_listened_on_already_is_no_second_one),
       CASE(the_address_for_all_serves_ipv4_too),
       CASE(an_address_that_covers_an_earlier_one_is_refused_with_what_to_do),
       CASE(an_address_that_this_machine_does_not_have_is_refused),
       CASE(more_addresses_than_there_are_places_for_are_refused),
       CASE(nobody_is_listened_to_after_a_stop),
       CASE(connections_beyond_the_limit_on_open_files_are_closed),
       CASE(ticks_come_from_the_first_connection_on),
       CASE(what_other_machines_reach_needs_tls_and_users_or_the_word),
       CASE(a_unix_socket_serves_its_owner_only_and_goes_with_the_acceptor),
       CASE(a_unix_socket_never_lets_in_more_than_its_mode_whatever_the_umask),
       CASE(a_second_server_on_a_unix_socket_is_refused_and_the_first_one_named),
       CASE(a_stale_unix_socket_is_taken_over),
       CASE(a_file_in_the_way_of_a_unix_socket_is_left_alone),
       CASE(the_end_leaves_a_socket_of_somebody_else_alone),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
