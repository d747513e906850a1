#include "core/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static void a_host_and_a_port_are_taken_apart(void **state)
{
   static const struct {
      const char *text, *host;
      unsigned port;
   } cases[] = {{"localhost:50051", "localhost", 50051},
                {"127.0.0.1:0", "127.0.0.1", 0},
                {"[::1]:65535", "::1", 65535},
                {"[::]:1", "::", 1},
                {"a.b-c:00080", "a.b-c", 80},
                {"[fe80::1%lo]:7", "fe80::1%lo", 7}};
   struct kv_address address;
   struct kv_status status;
   (void)state;
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      assert_int_equal(kv_address_parse(cases[i].text, &address, &status), KV_OK);
      assert_null(address.path);
      assert_string_equal(address.host, cases[i].host);
      assert_int_equal(address.port, cases[i].port);
   }
}

static void a_path_is_what_follows_unix(void **state)
{
   static const char text[] = "unix:/run/a:1";
   struct kv_address address;
   struct kv_status status;
   (void)state;
   assert_int_equal(kv_address_parse(text, &address, &status), KV_OK);
   assert_ptr_equal(address.path, text + 5);
}

static void assert_refused(const char *text, const char *reason)
{
   struct kv_address address;
   struct kv_status status;
   assert_int_equal(kv_address_parse(text, &address, &status), KV_INVALID_ARGUMENT);
   if (!strstr(status.text, text) || !strstr(status.text, reason))
      fail_msg("%s: \"%s\" does not say \"%s\"", text, status.text, reason);
}

static void a_malformed_address_is_refused_with_how_to_write_one(void **state)
{
   static const char *const malformed[] = {
       "",           "localhost", "localhost:",      "localhost:x", ":50051", "::1:50051",
       "[::1:50051", "[::1]x:1",  "127.0.0.1:65536", "[]:1",        "a:1:2",  "a:-1",
       "a:0x10",     "a:1 ",      "a:000001"};
   (void)state;
   for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
      assert_refused(malformed[i], "write host:port, [v6]:port");
}

static void what_is_too_long_for_the_system_is_refused(void **state)
{
   char path[5 + sizeof((struct sockaddr_un *)0)->sun_path + 1] = "unix:";
   char host[KV_ADDRESS_HOST_SIZE + 3];
   struct kv_address address;
   struct kv_status status;
   (void)state;
   assert_refused("unix:", "has 0 bytes; write 1 to 107");
   memset(path + 5, 'x', sizeof path - 6);
   assert_refused(path, "has 108 bytes; write 1 to 107");
   path[sizeof path - 2] = '\0';
   assert_int_equal(kv_address_parse(path, &address, &status), KV_OK);
   memset(host, 'x', sizeof host);
   memcpy(host + sizeof host - 3, ":1", 3);
   assert_refused(host, "write host:port");
   assert_int_equal(kv_address_parse(host + 1, &address, &status), KV_OK);
}

/* Sets a port on the way, which must be what is read and printed. */
static socklen_t make(const char *text, unsigned port, struct sockaddr_storage *storage)
{
   struct sockaddr_in v4 = {.sin_family = AF_INET};
   struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
   bool is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
   if (!is_v4)
      assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
   socklen_t size = is_v4 ? sizeof v4 : sizeof v6;
   memcpy(storage, is_v4 ? (void *)&v4 : &v6, size);
   kv_address_set_port((struct sockaddr *)storage, port);
   assert_int_equal(kv_address_port((struct sockaddr *)storage), port);
   return size;
}

static void an_address_of_the_system_is_printed_as_a_user_writes_it(void **state)
{
   struct sockaddr_storage storage;
   char text[KV_ADDRESS_TEXT_SIZE];
   (void)state;
   kv_address_print((struct sockaddr *)&storage, make("127.0.0.1", 80, &storage), text);
   assert_string_equal(text, "127.0.0.1:80");
   kv_address_print((struct sockaddr *)&storage, make("::1", 65535, &storage), text);
   assert_string_equal(text, "[::1]:65535");
}

static void an_address_covers_itself_and_the_one_for_all_those_of_its_family(void **state)
{
   static const struct {
      const char *a, *b;
      bool covers, reverse;
   } cases[] = {{"127.0.0.1", "127.0.0.1", true, true}, {"127.0.0.1", "127.0.0.2", false, false},
                {"0.0.0.0", "127.0.0.1", true, false},  {"::", "::1", true, false},
                {"::1", "::2", false, false},           {"::", "127.0.0.1", false, false}};
   struct sockaddr_storage storages[2];
   const struct sockaddr *a = (struct sockaddr *)&storages[0], *b = (struct sockaddr *)&storages[1];
   (void)state;
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      make(cases[i].a, 1, &storages[0]);
      make(cases[i].b, 1, &storages[1]);
      assert_int_equal(kv_address_covers(a, b), cases[i].covers);
      assert_int_equal(kv_address_covers(b, a), cases[i].reverse);
      make(cases[i].b, 2, &storages[1]);
      assert_false(kv_address_covers(a, b));
   }
}

static void loopback_alone_is_local(void **state)
{
   static const struct {
      const char *host;
      bool local;
   } cases[] = {{"127.0.0.1", true},        {"127.255.0.9", true},  {"::1", true},
                {"::ffff:127.0.0.1", true}, {"0.0.0.0", false},     {"::", false},
                {"::ffff:0.0.0.0", false},  {"128.0.0.1", false},   {"126.0.0.1", false},
                {"::ffff:10.0.0.1", false}, {"10.127.0.1", false},  {"fe80::1", false},
                {"::127.0.0.1", false},     {"2001:db8::1", false}, {"0.0.0.127", false}};
   struct sockaddr_storage storage;
   const struct sockaddr_un path = {.sun_family = AF_UNIX};
   (void)state;
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      make(cases[i].host, 1, &storage);
      if (kv_address_is_local((struct sockaddr *)&storage) != cases[i].local)
         fail_msg("%s", cases[i].host);
   }
   assert_true(kv_address_is_local((const struct sockaddr *)&path));
   storage.ss_family = AF_VSOCK;
   assert_false(kv_address_is_local((struct sockaddr *)&storage));
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_host_and_a_port_are_taken_apart),
       cmocka_unit_test(a_path_is_what_follows_unix),
       cmocka_unit_test(a_malformed_address_is_refused_with_how_to_write_one),
       cmocka_unit_test(what_is_too_long_for_the_system_is_refused),
       cmocka_unit_test(an_address_of_the_system_is_printed_as_a_user_writes_it),
       cmocka_unit_test(loopback_alone_is_local),
       cmocka_unit_test(an_address_covers_itself_and_the_one_for_all_those_of_its_family),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
