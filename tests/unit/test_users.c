/* The users file: what a line may say, how a bad one is refused, and who may do what. */
#include "core/access/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NONE "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* of no bytes */
#define ABC "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"  /* of "abc" */

static struct kv_users *parse(const char *text)
{
   struct kv_status status;
   struct kv_users *users = kv_users_parse(kv_slice_of(text), &status);
   if (!users)
      fail_msg("%s", status.text);
   return users;
}

static void assert_is(const struct kv_user *user, const char *name)
{
   assert_non_null(user);
   assert_string_equal(kv_user_name(user), name);
}

static bool may(const struct kv_user *user, enum kv_role role, const char *prefix)
{
   return kv_user_may(user, role, kv_slice_of(prefix));
}

static void a_user_is_known_by_each_of_its_proofs_and_by_no_other(void **state)
{
   (void)state;
   struct kv_users *users = parse("# who there is\n\n"
                                  "ann read:a token=sha256:" ABC " uid=0\n"
                                  "  bob\twrite:b cert=spiffe://home/b%20b uid=1000 cert=bob\r\n");
   assert_int_equal(kv_users_count(users), 2);
   assert_is(kv_users_of_token(users, kv_slice_of("abc")), "ann");
   assert_null(kv_users_of_token(users, kv_slice_of("abd")));
   assert_null(kv_users_of_token(users, kv_slice_of(ABC))); /* the hash is no token */
   assert_null(kv_users_of_token(users, kv_slice(NULL, 0)));
   assert_is(kv_users_of_uid(users, 0), "ann");
   assert_is(kv_users_of_uid(users, 1000), "bob");
   assert_null(kv_users_of_uid(users, 1));
   assert_is(kv_users_of_certificate(users, kv_slice_of("spiffe://home/b b")), "bob");
   assert_is(kv_users_of_certificate(users, kv_slice_of("bob")), "bob");
   assert_null(kv_users_of_certificate(users, kv_slice_of("ann")));
   assert_null(kv_users_of_certificate(users, kv_slice(NULL, 0)));
   kv_users_destroy(users);
}

static void a_grant_holds_for_its_role_and_all_that_begins_with_its_prefix(void **state)
{
   (void)state;
   struct kv_users *users = parse("ann uid=1 read:app/ write:log/ readwrite:tmp/\n"
                                  "bob uid=2 read:*\n"
                                  "cal uid=3 admin\n"
                                  "dan uid=4\n"
                                  "eve uid=5 write:a%20b%00%2a read:%2A\n");
   const struct kv_user *ann = kv_users_of_uid(users, 1), *bob = kv_users_of_uid(users, 2);
   const struct kv_user *cal = kv_users_of_uid(users, 3), *dan = kv_users_of_uid(users, 4);
   const struct kv_user *eve = kv_users_of_uid(users, 5);
   assert_true(may(ann, KV_ROLE_READ, "app/"));
   assert_true(may(ann, KV_ROLE_READ, "app/x"));
   assert_false(may(ann, KV_ROLE_WRITE, "app/x")); /* separate roles */
   assert_false(may(ann, KV_ROLE_READ, "app"));    /* has neighbours outside of the grant */
   assert_false(may(ann, KV_ROLE_READ, "app0"));
   assert_false(may(ann, KV_ROLE_READ, ""));
   assert_true(may(ann, KV_ROLE_WRITE, "log/1"));
   assert_false(may(ann, KV_ROLE_READ, "log/1"));
   assert_true(may(ann, KV_ROLE_READ, "tmp/1") && may(ann, KV_ROLE_WRITE, "tmp/1"));
   assert_true(may(bob, KV_ROLE_READ, "") && may(bob, KV_ROLE_READ, "x"));
   assert_false(may(bob, KV_ROLE_WRITE, "x"));
   assert_true(may(cal, KV_ROLE_WRITE, "") && may(cal, KV_ROLE_READ, "x"));
   assert_true(kv_user_is_admin(cal) && !kv_user_is_admin(bob));
   assert_false(may(dan, KV_ROLE_READ, "x") || may(dan, KV_ROLE_WRITE, "x"));
   assert_true(kv_user_may(eve, KV_ROLE_WRITE, kv_slice("a b\0*x", 6)));
   assert_false(kv_user_may(eve, KV_ROLE_WRITE, kv_slice("a b\0x", 5)));
   assert_true(may(eve, KV_ROLE_READ, "*x")); /* an escaped star is a byte */
   assert_false(may(eve, KV_ROLE_READ, "x"));
   kv_users_destroy(users);
}

static void a_bad_line_is_refused_by_its_number_and_the_reason(void **state)
{
   static const struct {
      const char *line, *part;
   } cases[] = {
       {"a/b admin", "\"a/b\" is not a name"},
       {"ann", "\"ann\" is there already (line 1)"},
       {"bob read:", "an empty prefix"},
       {"bob read:a%2", "has a %"},
       {"bob read:%zz", "has a %"},
       {"bob read", "none of read:PREFIX"},
       {"bob Admin", "none of read:PREFIX"},
       {"bob token=" NONE, "token= is not followed by sha256:"},
       {"bob token=sha256:" NONE "0", "64 hexadecimal digits"},
       {"bob token=sha256:g" NONE, "64 hexadecimal digits"},
       {"bob token=sha256:" NONE, "this token is already that of \"ann\" (line 1)"},
       {"bob cert=ann", "this certificate is already that of \"ann\""},
       {"bob cert=", "is not the name of a certificate"},
       {"bob uid=7", "this uid is already that of \"ann\""},
       {"bob uid=", "is not the number"},
       {"bob uid=-1", "is not the number"},
       {"bob uid=4294967295", "is not the number"},
       {"bob uid=99999999999999999999", "is not the number"},
   };
   (void)state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      char text[512];
      struct kv_status status;
      snprintf(text, sizeof text, "ann uid=7 cert=ann token=sha256:" NONE "\n#\n%s\nzoe admin\n",
               cases[i].line);
      assert_null(kv_users_parse(kv_slice_of(text), &status));
      assert_int_equal(status.code, KV_INVALID_ARGUMENT);
      assert_int_equal(strncmp(status.text, "line 3: ", 8), 0);
      if (!strstr(status.text, cases[i].part))
         fail_msg("\"%s\" lacks \"%s\"", status.text, cases[i].part);
   }
}

static void what_may_be_a_token_by_mistake_is_not_shown(void **state)
{
   static const char *const lines[] = {"bob token=kvs_secret", "bob kvs_secret"};
   (void)state;
   for (size_t i = 0; i < 2; i++) {
      struct kv_status status;
      assert_null(kv_users_parse(kv_slice_of(lines[i]), &status));
      assert_null(strstr(status.text, "secret"));
   }
}

static void text_with_a_zero_byte_is_refused_and_no_text_is_nobody(void **state)
{
   struct kv_status status;
   (void)state;
   assert_null(kv_users_parse(kv_slice("ann\0admin", 9), &status));
   assert_non_null(strstr(status.text, "zero byte"));
   struct kv_users *users = parse("");
   assert_int_equal(kv_users_count(users), 0);
   assert_null(kv_users_of_uid(users, 0));
   kv_users_destroy(users);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_user_is_known_by_each_of_its_proofs_and_by_no_other),
       cmocka_unit_test(a_grant_holds_for_its_role_and_all_that_begins_with_its_prefix),
       cmocka_unit_test(a_bad_line_is_refused_by_its_number_and_the_reason),
       cmocka_unit_test(what_may_be_a_token_by_mistake_is_not_shown),
       cmocka_unit_test(text_with_a_zero_byte_is_refused_and_no_text_is_nobody),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
