/* Who a peer is, also while the users file changes. */
#include "core/access/access.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* of "abc" */
#define LETTERS "abcdefghijklmnopqrs"
#define LETTERS_HASH "e250f886728b77ba63722c7e65fc73e203101a84281b32332fd67cc6a1ae3e22"

static char path[] = "/tmp/kvstore-users-XXXXXX";

static void write_users(const char *text)
{
   FILE *file = fopen(path, "w");
   assert_non_null(file);
   assert_true(fputs(text, file) >= 0);
   assert_int_equal(fclose(file), 0);
}

static struct kv_access *open_users(const char *text)
{
   struct kv_status status;
   write_users(text);
   struct kv_access *access = kv_access_create(path, &status);
   if (!access)
      fail_msg("%s", status.text);
   return access;
}

static void assert_is(struct kv_access *access, struct kv_proof proof, struct kv_known **known,
                      const char *name)
{
   struct kv_status status;
   struct kv_known *before = *known;
   const struct kv_user *user = kv_access_identify(access, &proof, known, &status);
   assert_non_null(user);
   if (*known != before)
      kv_known_destroy(before);
   assert_string_equal(kv_user_name(user), name);
}

static void assert_nobody(struct kv_access *access, struct kv_proof proof, struct kv_known **known,
                          const char *reason)
{
   struct kv_status status;
   assert_null(kv_access_identify(access, &proof, known, &status));
   assert_int_equal(status.code, KV_UNAUTHENTICATED);
   assert_string_equal(status.reason, reason);
}

static struct kv_proof token(const char *text)
{
   return (struct kv_proof){.token = kv_slice_of(text)};
}

static void a_token_decides_before_a_certificate_and_that_before_the_system(void **state)
{
   struct kv_known *known = NULL;
   struct kv_access *access = open_users("ann token=sha256:" ABC "\nbob cert=bob\ncal uid=5\n");
   struct kv_proof proof = {
       .token = kv_slice_of("abc"), .certificate = kv_slice_of("bob"), .is_local = true, .uid = 5};
   (void)state;
   assert_is(access, proof, &known, "ann");
   proof.token = kv_slice_of("abd"); /* a wrong token is not excused */
   assert_nobody(access, proof, &known, "TOKEN_UNKNOWN");
   proof.token = kv_slice(NULL, 0);
   assert_is(access, proof, &known, "bob");
   kv_known_destroy(known);
   known = NULL;
   proof.certificate = kv_slice_of("eve");
   assert_is(access, proof, &known, "cal");
   kv_known_destroy(known);
   known = NULL;
   proof.is_local = false; /* then the number says nothing */
   assert_nobody(access, proof, &known, "UNAUTHENTICATED");
   kv_access_destroy(access);
}

static void what_is_known_of_a_peer_ends_with_its_token_and_with_the_users(void **state)
{
   struct kv_status status;
   struct kv_known *known = NULL, *other = NULL;
   struct kv_access *access = open_users("ann token=sha256:" ABC "\n");
   (void)state;
   assert_is(access, token("abc"), &known, "ann");
   assert_is(access, token("abc"), &known, "ann");
   assert_is(access, token("abc"), &other, "ann");
   assert_nobody(access, token("ab"), &known, "TOKEN_UNKNOWN");
   assert_nobody(access, token(""), &known, "UNAUTHENTICATED");
   assert_is(access, token("abc"), &known, "ann");
   write_users("eve token=sha256:" ABC "\n");
   assert_int_equal(kv_access_reload(access, &status), KV_OK);
   assert_is(access, token("abc"), &known, "eve");
   write_users("");
   assert_int_equal(kv_access_reload(access, &status), KV_OK);
   assert_nobody(access, token("abc"), &known, "TOKEN_UNKNOWN");
   kv_known_destroy(known);
   kv_known_destroy(other);
   kv_access_destroy(access);
}

static void a_known_token_with_another_byte_anywhere_is_unknown(void **state)
{
   struct kv_known *known = NULL;
   struct kv_access *access = open_users("ann token=sha256:" LETTERS_HASH "\n");
   char text[] = LETTERS;
   (void)state;
   assert_is(access, token(text), &known, "ann");
   for (size_t i = 0; i < strlen(text); i++) {
      text[i] ^= 1;
      assert_nobody(access, token(text), &known, "TOKEN_UNKNOWN");
      text[i] ^= 1;
   }
   assert_is(access, token(text), &known, "ann");
   kv_known_destroy(known);
   kv_access_destroy(access);
}

static void a_file_with_a_fault_leaves_the_users_as_they_were(void **state)
{
   struct kv_status status;
   struct kv_known *known = NULL;
   struct kv_access *access = open_users("ann token=sha256:" ABC "\n");
   (void)state;
   write_users("# new\nann uid=x\n");
   assert_int_equal(kv_access_reload(access, &status), KV_INVALID_ARGUMENT);
   assert_non_null(strstr(status.text, path));
   assert_non_null(strstr(status.text, "line 2: \"x\""));
   assert_is(access, token("abc"), &known, "ann");
   assert_int_equal(unlink(path), 0);
   assert_int_equal(kv_access_reload(access, &status), KV_UNAVAILABLE);
   assert_is(access, token("abc"), &known, "ann");
   kv_known_destroy(known);
   kv_access_destroy(access);
}

static void a_file_that_others_may_write_is_refused_with_the_remedy(void **state)
{
   struct kv_status status;
   (void)state;
   write_users("ann admin uid=0\n");
   assert_int_equal(chmod(path, 0646), 0);
   assert_null(kv_access_create(path, &status));
   assert_int_equal(status.code, KV_PERMISSION_DENIED);
   assert_non_null(strstr(status.text, "chmod o-w"));
   assert_int_equal(chmod(path, 0644), 0);
   assert_null(kv_access_create("/", &status));
   assert_non_null(strstr(status.text, "is not a file"));
   assert_null(kv_access_create("/nowhere/users", &status));
   assert_non_null(strstr(status.text, "cannot open the users file /nowhere/users"));
}

/* ---- Threads ---- */

#define THREADS 4
#define EDITIONS 200

static struct kv_access *shared;
static atomic_bool over;

/* A connection: known by what it shows, again and again. Its token is ann's or eve's, or nobody's
 * when the file has been emptied, and never anything else. */
static void *ask(void *context)
{
   struct kv_known *known = NULL;
   struct kv_status status;
   uintptr_t wrong = 0;
   (void)context;
   while (!atomic_load(&over)) {
      struct kv_known *before = known;
      const struct kv_proof proof = token("abc");
      const struct kv_user *user = kv_access_identify(shared, &proof, &known, &status);
      if (known != before)
         kv_known_destroy(before);
      if (user)
         wrong += strcmp(kv_user_name(user), "ann") != 0 && strcmp(kv_user_name(user), "eve") != 0;
      else
         wrong += status.code != KV_UNAUTHENTICATED;
   }
   kv_known_destroy(known);
   return (void *)wrong;
}

static void threads_know_a_peer_by_one_edition_or_the_next_while_the_file_changes(void **state)
{
   static const char *const texts[] = {"ann token=sha256:" ABC "\n",
                                       "eve admin token=sha256:" ABC "\n", "# nobody\n"};
   pthread_t threads[THREADS];
   struct kv_status status;
   (void)state;
   shared = open_users(texts[0]);
   atomic_store(&over, false);
   for (size_t i = 0; i < THREADS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, ask, NULL), 0);
   for (size_t i = 0; i < EDITIONS; i++) {
      write_users(texts[i % 3]);
      assert_int_equal(kv_access_reload(shared, &status), KV_OK);
   }
   atomic_store(&over, true);
   for (size_t i = 0; i < THREADS; i++) {
      void *wrong;
      assert_int_equal(pthread_join(threads[i], &wrong), 0);
      assert_null(wrong);
   }
   kv_access_destroy(shared);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_token_decides_before_a_certificate_and_that_before_the_system),
       cmocka_unit_test(what_is_known_of_a_peer_ends_with_its_token_and_with_the_users),
       cmocka_unit_test(a_known_token_with_another_byte_anywhere_is_unknown),
       cmocka_unit_test(a_file_with_a_fault_leaves_the_users_as_they_were),
       cmocka_unit_test(a_file_that_others_may_write_is_refused_with_the_remedy),
       cmocka_unit_test(threads_know_a_peer_by_one_edition_or_the_next_while_the_file_changes),
   };
   int fd = mkstemp(path);
   if (fd < 0 || close(fd) != 0)
      return 1;
   int failures = cmocka_run_group_tests(tests, NULL, NULL);
   unlink(path);
   return failures;
}
