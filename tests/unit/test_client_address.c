/* The addresses that a user gives: which are accepted, and what the refusal of the others says. */
#include "client/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const struct address *address, const char *text, const char *host,
                   const char *port)
{
   assert_string_equal(address->text, text);
   assert_string_equal(address->host, host);
   assert_string_equal(address->port, port);
   assert_null(address->path);
}

static void a_host_and_its_port_are_taken_apart(void **state)
{
   (void)state;
   struct address_list list;
   struct kv_status status;
   assert_int_equal(address_list_init(&list, "a.example:1,10.0.0.1:65535,[::1]:50051", &status),
                    KV_OK);
   assert_int_equal(list.count, 3);
   expect(&list.items[0], "a.example:1", "a.example", "1");
   expect(&list.items[1], "10.0.0.1:65535", "10.0.0.1", "65535");
   expect(&list.items[2], "[::1]:50051", "::1", "50051");
   address_list_deinit(&list);
}

static void a_socket_is_a_path(void **state)
{
   (void)state;
   struct address_list list;
   struct kv_status status;
   assert_int_equal(address_list_init(&list, "unix:a b,unix:///run/kv", &status), KV_OK);
   assert_int_equal(list.count, 2);
   assert_string_equal(list.items[0].path, "a b");
   assert_string_equal(list.items[1].path, "/run/kv");
   assert_null(list.items[1].host);
   address_list_deinit(&list);
}

static void what_is_no_address_is_refused_with_what_is_wrong_with_it(void **state)
{
   (void)state;
   static const struct {
      const char *text, *reason;
   } wrong[] = {
       {"127.0.0.1:99999", "from 1 to 65535"},
       {"a:0", "from 1 to 65535"},
       {"a:", "from 1 to 65535"},
       {"a:http", "from 1 to 65535"},
       {"a:-1", "from 1 to 65535"},
       {"a:000000000000000000001", "from 1 to 65535"},
       {"http://a:1", "has a scheme"},
       {"dns:///a:1", "has a scheme"},
       {"a:1/x", "has a slash"},
       {"a:1, b:2", "\" b:2\" has a space"},
       {"a:1\t", "has a space"},
       {"localhost", "has no port"},
       {":1", "has no host"},
       {"[]:1", "has no host"},
       {"::1:5", "in brackets"},
       {"[::1]", "in brackets"},
       {"[::1]5", "in brackets"},
       {"unix:", "has no path"},
       {"", "is empty"},
       {"a:1,", "is empty"},
       {",a:1", "is empty"},
       {"a:1,,b:2", "is empty"},
   };
   for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
      struct address_list list;
      struct kv_status status;
      assert_int_equal(address_list_init(&list, wrong[i].text, &status), KV_INVALID_ARGUMENT);
      if (!strstr(status.text, wrong[i].reason))
         fail_msg("%s: %s", wrong[i].text, status.text);
   }
}

static void what_is_too_long_for_a_socket_or_a_host_is_refused(void **state)
{
   (void)state;
   char text[2048];
   struct address_list list;
   struct kv_status status;
   snprintf(text, sizeof text, "unix:%0107d", 0);
   assert_int_equal(address_list_init(&list, text, &status), KV_OK);
   address_list_deinit(&list);
   snprintf(text, sizeof text, "unix:%0108d", 0);
   assert_int_equal(address_list_init(&list, text, &status), KV_INVALID_ARGUMENT);
   snprintf(text, sizeof text, "%01100d:1", 0);
   assert_int_equal(address_list_init(&list, text, &status), KV_INVALID_ARGUMENT);
}

static void only_what_is_this_machine_for_certain_is_loopback(void **state)
{
   static const char *const loopback[] = {"127.0.0.1",        "127.255.0.9", "::1",
                                          "::ffff:127.0.0.1", "localhost",   "LOCALHOST"};
   static const char *const others[] = {
       "0.0.0.0",         "128.0.0.1",         "10.0.0.1",          "::", "fe80::1",
       "::ffff:10.0.0.1", "localhost.example", "127.0.0.1.example", ""};
   (void)state;
   for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++)
      assert_true(address_is_loopback(loopback[i]));
   for (size_t i = 0; i < sizeof others / sizeof *others; i++)
      assert_false(address_is_loopback(others[i]));
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(only_what_is_this_machine_for_certain_is_loopback),
       cmocka_unit_test(a_host_and_its_port_are_taken_apart),
       cmocka_unit_test(a_socket_is_a_path),
       cmocka_unit_test(what_is_no_address_is_refused_with_what_is_wrong_with_it),
       cmocka_unit_test(what_is_too_long_for_a_socket_or_a_host_is_refused),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
