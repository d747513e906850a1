#include "core/rpc/grpc/monopoly.h"
#include "core/rpc/grpc/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY_MAX ((size_t)32 * 1024)
#define TOO_MUCH (MEMORY_MAX + 1)

/* A server of one worker that is always busy, and a connection to it. */
struct world {
   struct kv_rpc rpc;
   struct kv_grpc_server *engine;
   struct kv_monopoly *monopoly;
   int client, server;
   atomic_bool ends;
};

static void *be_busy(void *argument)
{
   struct world *world = argument;
   while (!atomic_load(&world->ends))
      ;
   return NULL;
}

static void connect_to_self(int *client, int *server)
{
   struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
   socklen_t size = sizeof address;
   int listener = socket(AF_INET, SOCK_STREAM, 0);
   assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
   assert_int_equal(listen(listener, 1), 0);
   assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
   *client = socket(AF_INET, SOCK_STREAM, 0);
   assert_int_equal(connect(*client, (struct sockaddr *)&address, size), 0);
   *server = accept(listener, NULL, NULL);
   assert_true(*server >= 0);
   close(listener);
}

static int set_up(void **state)
{
   struct world *world = calloc(1, sizeof *world);
   struct kv_status status;
   world->rpc.options.memory_max = MEMORY_MAX;
   world->engine = calloc(1, sizeof *world->engine + sizeof world->engine->workers[0]);
   world->engine->rpc = &world->rpc;
   world->engine->worker_count = 1;
   atomic_store(&world->engine->workers[0].waits, 1);
   assert_int_equal(pthread_create(&world->engine->workers[0].thread, NULL, be_busy, world), 0);
   world->monopoly = kv_monopoly_create(world->engine, &status);
   connect_to_self(&world->client, &world->server);
   kv_monopoly_note(world->monopoly, world->server);
   *state = world;
   return 0;
}

static int tear_down(void **state)
{
   struct world *world = *state;
   atomic_store(&world->ends, true);
   pthread_join(world->engine->workers[0].thread, NULL);
   kv_monopoly_destroy(world->monopoly);
   close(world->client);
   close(world->server);
   free(world->engine);
   free(world);
   return 0;
}

/* Waits until the worker has run for much of the time between two looks, then looks. */
static void look(struct world *world)
{
   clockid_t clock;
   struct timespec begun, now;
   assert_int_equal(pthread_getcpuclockid(world->engine->workers[0].thread, &clock), 0);
   clock_gettime(clock, &begun);
   do {
      usleep(1000);
      clock_gettime(clock, &now);
   } while ((now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000 <
            KV_MONOPOLY_LOOK_MS / 3);
   kv_monopoly_look(world->monopoly);
}

/* Reads everything that has been received, as gRPC does. */
static void transfer(struct world *world, size_t size)
{
   static char data[TOO_MUCH];
   assert_int_equal(send(world->client, data, size, MSG_NOSIGNAL), size);
   for (size_t got = 0; got < size;)
      got += (size_t)recv(world->server, data, sizeof data, 0);
}

static bool is_ended(struct world *world)
{
   char byte;
   ssize_t got = recv(world->client, &byte, 1, MSG_DONTWAIT);
   return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void one_that_sends_too_much_within_one_wait_is_ended(void **state)
{
   struct world *world = *state;
   look(world);
   look(world);
   transfer(world, TOO_MUCH);
   assert_false(is_ended(world));
   look(world);
   assert_true(is_ended(world));
}

static void one_that_sends_what_requests_may_hold_is_left_alone(void **state)
{
   struct world *world = *state;
   transfer(world, TOO_MUCH); /* before the worker counts as monopolized */
   look(world);
   look(world);
   transfer(world, MEMORY_MAX);
   look(world);
   look(world);
   assert_false(is_ended(world));
}

static void one_whose_worker_goes_on_is_left_alone(void **state)
{
   struct world *world = *state;
   for (int i = 0; i < 4; i++) {
      look(world);
      transfer(world, TOO_MUCH);
      atomic_fetch_add(&world->engine->workers[0].waits, 2);
   }
   look(world);
   assert_false(is_ended(world));
}

static void one_that_has_the_number_of_an_earlier_one_is_left_alone(void **state)
{
   struct world *world = *state;
   int client, server;
   connect_to_self(&client, &server);
   assert_int_equal(dup2(server, world->server), world->server);
   close(server);
   close(world->client);
   world->client = client;
   look(world);
   look(world);
   transfer(world, TOO_MUCH);
   look(world);
   assert_false(is_ended(world));
}

/* As another process sees it. */
static bool is_locked(int fd)
{
   int status;
   pid_t child = fork();
   assert_true(child >= 0);
   if (child == 0) {
      struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
      _exit(fcntl(fd, F_GETLK, &wanted) == 0 && wanted.l_type == F_UNLCK ? 0 : 1);
   }
   assert_int_equal(waitpid(child, &status, 0), child);
   return status != 0;
}

/* The system drops a file's locks when the process closes any descriptor of it. */
static void a_file_that_has_the_number_of_an_earlier_one_keeps_its_lock(void **state)
{
   struct world *world = *state;
   char path[] = "/tmp/kvstore-monopoly-XXXXXX";
   int file = mkstemp(path);
   assert_true(file >= 0);
   assert_int_equal(unlink(path), 0);
   assert_int_equal(dup2(file, world->server), world->server);
   close(file);
   struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
   assert_int_equal(fcntl(world->server, F_SETLK, &lock), 0);
   for (int i = 0; i < 3; i++)
      look(world);
   assert_true(is_locked(world->server));
}

static void of_several_the_one_that_has_sent_the_most_is_ended(void **state)
{
   struct world *world = *state;
   struct world other = *world;
   connect_to_self(&other.client, &other.server);
   kv_monopoly_note(world->monopoly, other.server);
   look(world);
   look(world);
   transfer(world, TOO_MUCH);
   transfer(world, TOO_MUCH);
   transfer(&other, TOO_MUCH);
   look(world);
   assert_true(is_ended(world));
   assert_false(is_ended(&other));
   close(other.client);
   close(other.server);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(one_that_sends_too_much_within_one_wait_is_ended),
       CASE(one_that_sends_what_requests_may_hold_is_left_alone),
       CASE(one_whose_worker_goes_on_is_left_alone),
       CASE(one_that_has_the_number_of_an_earlier_one_is_left_alone),
       CASE(a_file_that_has_the_number_of_an_earlier_one_keeps_its_lock),
       CASE(of_several_the_one_that_has_sent_the_most_is_ended),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
