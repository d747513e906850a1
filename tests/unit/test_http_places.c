/* How many connections an HTTP server has, and what becomes of those that end unheard. */
#include "core/http/places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct kv_http_places places;
static int ours[KV_HTTP_CONNECTIONS_MAX + 1], theirs[KV_HTTP_CONNECTIONS_MAX + 1];

static int set_up(void **state)
{
   (void)state;
   kv_http_places_init(&places);
   for (size_t i = 0; i <= KV_HTTP_CONNECTIONS_MAX; i++) {
      int pair[2];
      assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
      ours[i] = pair[0];
      theirs[i] = pair[1];
   }
   return 0;
}

static int tear_down(void **state)
{
   (void)state;
   for (size_t i = 0; i <= KV_HTTP_CONNECTIONS_MAX; i++) {
      close(ours[i]);
      close(theirs[i]);
   }
   kv_http_places_deinit(&places);
   return 0;
}

static void take_all(void)
{
   for (size_t i = 0; i < KV_HTTP_CONNECTIONS_MAX; i++)
      assert_true(kv_http_places_take(&places, ours[i]));
}

static void there_is_a_limit_and_a_place_that_is_given_up_is_free(void **state)
{
   (void)state;
   take_all();
   assert_false(kv_http_places_take(&places, ours[KV_HTTP_CONNECTIONS_MAX]));
   kv_http_places_give_up(&places, ours[3]);
   assert_true(kv_http_places_take(&places, ours[KV_HTTP_CONNECTIONS_MAX]));
   assert_false(kv_http_places_take(&places, ours[3]));
}

static void the_place_of_a_socket_that_was_closed_unheard_is_freed(void **state)
{
   (void)state;
   take_all();
   assert_int_equal(dup2(theirs[5], ours[5]), ours[5]); /* the number is another's now */
   kv_http_places_look(&places);
   assert_true(kv_http_places_take(&places, ours[5]));
   assert_false(kv_http_places_take(&places, ours[KV_HTTP_CONNECTIONS_MAX]));
}

static void only_a_connection_that_is_too_old_is_shut_down(void **state)
{
   char byte;
   (void)state;
   take_all();
   places.places[2].since_ms -= KV_HTTP_LIFE_MS;
   kv_http_places_look(&places);
   assert_int_equal(recv(theirs[2], &byte, 1, MSG_DONTWAIT), 0);
   assert_int_equal(recv(theirs[1], &byte, 1, MSG_DONTWAIT), -1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(there_is_a_limit_and_a_place_that_is_given_up_is_free),
       CASE(the_place_of_a_socket_that_was_closed_unheard_is_freed),
       CASE(only_a_connection_that_is_too_old_is_shut_down),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
