/* How those who guess tokens are slowed down, without a wire: a call is a number here. */
#include "core/service/guesses.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NEVER_MS 3600000
#define HERE 1
#define THERE 2

static struct {
   pthread_mutex_t lock;
   pthread_cond_t changed;
   unsigned count;
   uintptr_t last;
} answered = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct kv_call *call(uintptr_t number)
{
   return (struct kv_call *)number;
}

static void answer(struct kv_call *which)
{
   pthread_mutex_lock(&answered.lock);
   answered.count++;
   answered.last = (uintptr_t)which;
   pthread_cond_signal(&answered.changed);
   pthread_mutex_unlock(&answered.lock);
}

static unsigned count_answered(void)
{
   pthread_mutex_lock(&answered.lock);
   unsigned count = answered.count;
   pthread_mutex_unlock(&answered.lock);
   return count;
}

static void await_answered(unsigned count)
{
   pthread_mutex_lock(&answered.lock);
   while (answered.count < count)
      pthread_cond_wait(&answered.changed, &answered.lock);
   pthread_mutex_unlock(&answered.lock);
}

static struct kv_guesses *create(unsigned delay_ms)
{
   struct kv_status status;
   struct kv_guesses *guesses = kv_guesses_create(delay_ms, answer, &status);
   assert_non_null(guesses);
   answered.count = 0;
   return guesses;
}

static void a_guess_is_answered_after_the_delay_and_forgotten(void **state)
{
   struct kv_guesses *guesses = create(1);
   (void)state;
   for (unsigned i = 1; i <= 3; i++) {
      kv_guesses_add(guesses, HERE, call(i));
      await_answered(i);
      assert_int_equal(answered.last, i);
   }
   for (unsigned i = 0; i < KV_GUESSES_OF_NETWORK; i++)
      kv_guesses_add(guesses, HERE, NULL);
   while (kv_guesses_are_too_many(guesses, HERE))
      ;
   kv_guesses_destroy(guesses);
}

static void a_guess_waits_until_the_server_stops_and_later_ones_do_not(void **state)
{
   struct kv_guesses *guesses = create(NEVER_MS);
   (void)state;
   kv_guesses_add(guesses, HERE, call(1));
   kv_guesses_add(guesses, HERE, call(2));
   assert_int_equal(count_answered(), 0);
   kv_guesses_release(guesses);
   await_answered(2);
   kv_guesses_add(guesses, HERE, call(3));
   assert_int_equal(count_answered(), 3);
   kv_guesses_destroy(guesses);
   assert_int_equal(count_answered(), 3);
}

static void what_is_held_at_the_end_is_answered(void **state)
{
   struct kv_guesses *guesses = create(NEVER_MS);
   (void)state;
   for (unsigned i = 0; i < 10; i++)
      kv_guesses_add(guesses, HERE, call(1));
   kv_guesses_destroy(guesses);
   assert_int_equal(count_answered(), 10);
}

static void a_network_with_many_guesses_is_not_looked_at_and_another_is(void **state)
{
   struct kv_guesses *guesses = create(NEVER_MS);
   (void)state;
   for (unsigned i = 0; i < KV_GUESSES_OF_NETWORK; i++) {
      assert_false(kv_guesses_are_too_many(guesses, HERE));
      kv_guesses_add(guesses, HERE, i % 2 == 0 ? call(1) : NULL);
   }
   assert_true(kv_guesses_are_too_many(guesses, HERE));
   assert_false(kv_guesses_are_too_many(guesses, THERE));
   kv_guesses_add(guesses, THERE, call(1));
   assert_false(kv_guesses_are_too_many(guesses, THERE));
   kv_guesses_release(guesses);
   while (kv_guesses_are_too_many(guesses, HERE))
      ;
   kv_guesses_destroy(guesses);
}

static void beyond_what_is_kept_answers_come_at_once(void **state)
{
   struct kv_guesses *guesses = create(NEVER_MS);
   (void)state;
   for (unsigned i = 0; i < KV_GUESSES_CALLS_MAX; i++)
      kv_guesses_add(guesses, i, call(1));
   assert_int_equal(count_answered(), 0);
   for (unsigned i = KV_GUESSES_CALLS_MAX; i < KV_GUESSES_MAX; i++)
      kv_guesses_add(guesses, THERE, call(1));
   assert_int_equal(count_answered(), KV_GUESSES_MAX - KV_GUESSES_CALLS_MAX);
   assert_true(kv_guesses_are_too_many(guesses, THERE));
   for (unsigned i = 0; i < KV_GUESSES_OF_NETWORK; i++)
      kv_guesses_add(guesses, KV_GUESSES_MAX, call(1));
   assert_false(kv_guesses_are_too_many(guesses, KV_GUESSES_MAX));
   kv_guesses_destroy(guesses);
   assert_int_equal(count_answered(), KV_GUESSES_MAX + KV_GUESSES_OF_NETWORK);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_guess_is_answered_after_the_delay_and_forgotten),
       cmocka_unit_test(a_guess_waits_until_the_server_stops_and_later_ones_do_not),
       cmocka_unit_test(what_is_held_at_the_end_is_answered),
       cmocka_unit_test(a_network_with_many_guesses_is_not_looked_at_and_another_is),
       cmocka_unit_test(beyond_what_is_kept_answers_come_at_once),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
