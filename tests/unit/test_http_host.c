/* Which names in the header Host are no stranger's. */
#include "core/http/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void an_address_is_local_with_and_without_a_port(void **state)
{
   (void)state;
   assert_true(kv_http_host_is_local("127.0.0.1"));
   assert_true(kv_http_host_is_local("127.0.0.1:50052"));
   assert_true(kv_http_host_is_local("192.0.2.7:80"));
   assert_true(kv_http_host_is_local("[::1]"));
   assert_true(kv_http_host_is_local("[::1]:50052"));
}

static void localhost_is_local_in_upper_and_lower_case(void **state)
{
   (void)state;
   assert_true(kv_http_host_is_local("localhost"));
   assert_true(kv_http_host_is_local("LocalHost:50052"));
}

static void a_client_that_names_no_host_is_no_browser(void **state)
{
   (void)state;
   assert_true(kv_http_host_is_local(NULL));
}

static void a_name_is_not_local(void **state)
{
   static const char *const names[] = {"",
                                       ":80",
                                       "example.org",
                                       "example.org:50052",
                                       "localhost.example.org",
                                       "127.0.0.1.example.org",
                                       "127.0.0.1:80@example.org",
                                       "127.0.0.1:80x",
                                       "127.1",
                                       "0x7f000001",
                                       "::1",
                                       "[::1",
                                       "[example.org]",
                                       "[127.0.0.1]",
                                       "[::1]example.org",
                                       "[]",
                                       "localhost.",
                                       "localhost "};
   (void)state;
   for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      if (kv_http_host_is_local(names[i]))
         fail_msg("\"%s\" is taken for local", names[i]);
   char longest[1000];
   for (size_t i = 0; i < sizeof longest; i++)
      longest[i] = '1';
   longest[sizeof longest - 1] = '\0';
   assert_false(kv_http_host_is_local(longest));
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(an_address_is_local_with_and_without_a_port),
       cmocka_unit_test(localhost_is_local_in_upper_and_lower_case),
       cmocka_unit_test(a_client_that_names_no_host_is_no_browser),
       cmocka_unit_test(a_name_is_not_local),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
