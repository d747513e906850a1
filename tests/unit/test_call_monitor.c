/* Followers of calls as they are answered. */
#include "core/observe/monitor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define THREADS 3u
#define EVENTS_MAX ((size_t)2048)

static struct kv_event events[EVENTS_MAX];

static int set_up(void **state)
{
   *state = kv_monitor_create(THREADS);
   assert_non_null(*state);
   return 0;
}

static int tear_down(void **state)
{
   kv_monitor_destroy(*state);
   return 0;
}

/* Of a call. */
struct described {
   int64_t end_ms;
   atomic_uint *times;
};

static void describe(const void *context, struct kv_event *event)
{
   const struct described *described = context;
   memset(event, 0, sizeof *event);
   event->end_unix_ms = described->end_ms;
   if (described->times)
      atomic_fetch_add(described->times, 1);
}

static void offer_to(struct kv_monitor *monitor, unsigned thread, const char *method,
                     const char *key, enum kv_code code, const struct described *described)
{
   kv_monitor_offer(monitor, thread,
                    &(struct kv_monitor_call){.method = kv_slice_of(method),
                                              .code = code,
                                              .key = kv_slice_of(key),
                                              .describe = describe,
                                              .context = described});
}

static void offer(struct kv_monitor *monitor, unsigned thread, int64_t end_ms)
{
   offer_to(monitor, thread, "/a.B/C", "k", KV_OK, &(struct described){.end_ms = end_ms});
}

static struct kv_follower *follow(struct kv_monitor *monitor,
                                  const struct kv_monitor_filter *filter)
{
   static const struct kv_monitor_filter all = {.method_prefix = {NULL, 0}};
   struct kv_follower *follower;
   struct kv_status status;
   assert_int_equal(kv_monitor_follow(monitor, filter ? filter : &all, &follower, &status), KV_OK);
   return follower;
}

static void a_call_that_nobody_follows_is_not_described(void **state)
{
   atomic_uint times = 0;
   const struct described described = {.times = &times};
   offer_to(*state, 0, "/a.B/C", "k", KV_OK, &described);
   assert_false(kv_monitor_is_followed(*state));
   struct kv_follower *follower = follow(*state, NULL);
   assert_true(kv_monitor_is_followed(*state));
   offer_to(*state, 0, "/a.B/C", "k", KV_OK, &described);
   assert_int_equal(times, 1);
   kv_monitor_unfollow(*state, follower);
   offer_to(*state, 0, "/a.B/C", "k", KV_OK, &described);
   assert_int_equal(times, 1);
   assert_false(kv_monitor_is_followed(*state));
}

static void a_follower_gets_the_calls_it_wants_and_the_others_are_not_left_out(void **state)
{
   const struct kv_monitor_filter filters[] = {
       {.method_prefix = kv_slice_of("/a.")},
       {.key_prefix = kv_slice_of("user:")},
       {.failed_only = true},
       {.method_prefix = kv_slice_of("/a."),
        .key_prefix = kv_slice_of("user:"),
        .failed_only = true},
   };
   const size_t expected[] = {3, 3, 2, 1};
   struct kv_follower *followers[4];
   const struct described described = {0};
   for (size_t i = 0; i < 4; i++)
      followers[i] = follow(*state, &filters[i]);
   offer_to(*state, 0, "/a.B/C", "user:1", KV_OK, &described);
   offer_to(*state, 0, "/a.B/C", "user:2", KV_ABORTED, &described);
   offer_to(*state, 0, "/a.B/C", "", KV_ABORTED, &described);
   offer_to(*state, 0, "/b.B/C", "user:", KV_OK, &described);
   for (size_t i = 0; i < 4; i++) {
      assert_int_equal(kv_follower_take(followers[i], events, EVENTS_MAX), expected[i]);
      assert_int_equal(kv_follower_left_out(followers[i]), 0);
      kv_monitor_unfollow(*state, followers[i]);
   }
}

static void a_call_is_described_once_for_all_who_follow(void **state)
{
   atomic_uint times = 0;
   const struct described described = {.end_ms = 7, .times = &times};
   struct kv_follower *followers[] = {follow(*state, NULL), follow(*state, NULL)};
   offer_to(*state, 0, "/a.B/C", "k", KV_OK, &described);
   assert_int_equal(times, 1);
   for (size_t i = 0; i < 2; i++) {
      assert_int_equal(kv_follower_take(followers[i], events, EVENTS_MAX), 1);
      assert_int_equal(events[0].end_unix_ms, 7);
      kv_monitor_unfollow(*state, followers[i]);
   }
}

static void calls_of_all_threads_are_taken_in_the_order_in_which_they_ended(void **state)
{
   struct kv_follower *follower = follow(*state, NULL);
   for (int64_t i = 0; i < 9; i++)
      offer(*state, (unsigned)i % THREADS, i);
   assert_int_equal(kv_follower_take(follower, events, EVENTS_MAX), 9);
   for (int64_t i = 0; i < 9; i++)
      assert_int_equal(events[i].end_unix_ms, i);
   assert_int_equal(kv_follower_take(follower, events, EVENTS_MAX), 0);
   kv_monitor_unfollow(*state, follower);
}

static void what_a_follower_has_no_space_for_is_counted_and_not_described(void **state)
{
   atomic_uint times = 0;
   const struct described described = {.times = &times};
   struct kv_follower *follower = follow(*state, NULL);
   for (unsigned i = 0; i < 1000; i++)
      offer_to(*state, 1, "/a.B/C", "k", KV_OK, &described);
   assert_int_equal(times, KV_MONITOR_RING_SIZE);
   assert_int_equal(kv_follower_left_out(follower), 1000 - KV_MONITOR_RING_SIZE);
   assert_int_equal(kv_follower_left_out(follower), 0);
   assert_int_equal(kv_follower_take(follower, events, 10), 10);
   offer(*state, 1, 0);
   assert_int_equal(kv_follower_left_out(follower), 0);
   assert_int_equal(kv_follower_take(follower, events, EVENTS_MAX), KV_MONITOR_RING_SIZE - 9);
   kv_monitor_unfollow(*state, follower);
}

static void one_that_does_not_read_takes_nothing_from_another(void **state)
{
   struct kv_follower *idle = follow(*state, NULL), *reader = follow(*state, NULL);
   for (unsigned i = 0; i < 1000; i++) {
      offer(*state, 0, i);
      assert_int_equal(kv_follower_take(reader, events, EVENTS_MAX), 1);
      assert_int_equal(events[0].end_unix_ms, i);
   }
   assert_int_equal(kv_follower_left_out(reader), 0);
   kv_monitor_unfollow(*state, idle);
   kv_monitor_unfollow(*state, reader);
}

static void no_thread_is_passed_over_where_a_message_cannot_hold_the_calls_of_all(void **state)
{
   bool seen[THREADS] = {false};
   struct kv_follower *follower = follow(*state, NULL);
   for (unsigned i = 0; i < THREADS; i++) {
      for (unsigned thread = 0; thread < THREADS; thread++)
         for (unsigned k = 0; k < KV_MONITOR_RING_SIZE; k++)
            offer(*state, thread, thread);
      kv_follower_take(follower, events, KV_MONITOR_RING_SIZE);
      seen[events[0].end_unix_ms] = true;
   }
   for (unsigned i = 0; i < THREADS; i++)
      assert_true(seen[i]);
   kv_monitor_unfollow(*state, follower);
}

static void more_than_eight_are_refused_until_one_has_left(void **state)
{
   struct kv_follower *followers[KV_MONITOR_FOLLOWERS_MAX], *other;
   struct kv_status status;
   const struct kv_monitor_filter all = {0};
   for (size_t i = 0; i < KV_MONITOR_FOLLOWERS_MAX; i++)
      followers[i] = follow(*state, NULL);
   assert_int_equal(kv_monitor_follow(*state, &all, &other, &status), KV_RESOURCE_EXHAUSTED);
   assert_non_null(strstr(status.text, "8 monitors"));
   kv_monitor_unfollow(*state, followers[3]);
   followers[3] = follow(*state, NULL);
   offer(*state, 0, 1);
   for (size_t i = 0; i < KV_MONITOR_FOLLOWERS_MAX; i++) {
      assert_int_equal(kv_follower_take(followers[i], events, EVENTS_MAX), 1);
      kv_monitor_unfollow(*state, followers[i]);
   }
}

/* ---- Threads ---- */

#define CALLS 200000u

struct offering {
   struct kv_monitor *monitor;
   unsigned thread;
   pthread_barrier_t *begin;
};

static void *offer_many(void *argument)
{
   const struct offering *offering = argument;
   pthread_barrier_wait(offering->begin);
   for (unsigned i = 0; i < CALLS; i++)
      offer(offering->monitor, offering->thread, i);
   return NULL;
}

/* The last thread's place is shared, as by those that are no workers. */
static void a_call_is_seen_or_counted_whatever_threads_do_while_others_come_and_go(void **state)
{
   enum { OFFERING = THREADS + 2 };
   pthread_t threads[OFFERING];
   struct offering offerings[OFFERING];
   pthread_barrier_t begin;
   uint64_t seen = 0;
   struct kv_follower *follower = follow(*state, NULL);
   pthread_barrier_init(&begin, NULL, OFFERING + 1);
   for (unsigned i = 0; i < OFFERING; i++) {
      offerings[i] = (struct offering){*state, i < THREADS ? i : THREADS - 1, &begin};
      assert_int_equal(pthread_create(&threads[i], NULL, offer_many, &offerings[i]), 0);
   }
   pthread_barrier_wait(&begin);
   for (unsigned i = 0; i < 500; i++) {
      struct kv_follower *other = follow(*state, NULL);
      seen += kv_follower_take(follower, events, EVENTS_MAX);
      kv_follower_take(other, events, EVENTS_MAX);
      kv_monitor_unfollow(*state, other);
      sched_yield();
   }
   for (unsigned i = 0; i < OFFERING; i++)
      pthread_join(threads[i], NULL);
   seen += kv_follower_take(follower, events, EVENTS_MAX);
   assert_true(seen > 0);
   assert_int_equal(seen + kv_follower_left_out(follower), (uint64_t)OFFERING * CALLS);
   kv_monitor_unfollow(*state, follower);
   follower = follow(*state, NULL);
   assert_int_equal(kv_follower_left_out(follower), 0); /* what was missed before it came */
   kv_monitor_unfollow(*state, follower);
   pthread_barrier_destroy(&begin);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
       TEST(a_call_that_nobody_follows_is_not_described),
       TEST(a_follower_gets_the_calls_it_wants_and_the_others_are_not_left_out),
       TEST(a_call_is_described_once_for_all_who_follow),
       TEST(calls_of_all_threads_are_taken_in_the_order_in_which_they_ended),
       TEST(what_a_follower_has_no_space_for_is_counted_and_not_described),
       TEST(one_that_does_not_read_takes_nothing_from_another),
       TEST(no_thread_is_passed_over_where_a_message_cannot_hold_the_calls_of_all),
       TEST(more_than_eight_are_refused_until_one_has_left),
       TEST(a_call_is_seen_or_counted_whatever_threads_do_while_others_come_and_go),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
