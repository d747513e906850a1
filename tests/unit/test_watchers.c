/* Watches: whom the thread tells of which changes. */
#include "core/watch/watchers.h"

#include "core/support/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#define PATIENCE_S 60

struct fixture {
   struct kv_history *history;
   struct kv_watchers *watchers;
   struct kv_watch_group group;
   sem_t notified;
   atomic_bool holds_up; /* the thread, when it notifies */
   sem_t go_on;
   uint64_t sequence;
};

static void notify(void *context)
{
   struct fixture *fixture = context;
   sem_post(&fixture->notified);
   if (atomic_load(&fixture->holds_up))
      sem_wait(&fixture->go_on);
}

static int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   struct kv_status status;
   fixture->history = kv_history_create(KV_HISTORY_SIZE_MIN, 2);
   fixture->watchers = kv_watchers_create(fixture->history, 1, &status);
   assert_true(fixture->history && fixture->watchers);
   sem_init(&fixture->notified, 0, 0);
   sem_init(&fixture->go_on, 0, 0);
   kv_watch_group_init(&fixture->group, fixture->watchers, notify, fixture);
   *state = fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   kv_watch_group_deinit(&fixture->group);
   kv_watchers_destroy(fixture->watchers);
   kv_history_destroy(fixture->history);
   sem_destroy(&fixture->notified);
   sem_destroy(&fixture->go_on);
   free(fixture);
   return 0;
}

static void change_to(struct fixture *fixture, const char *key, const void *value, size_t size)
{
   const kvs_record record = {.sequence = ++fixture->sequence,
                              .kind = KVS_SET,
                              .key = {key, strlen(key)},
                              .value = {value, size}};
   kv_history_add(fixture->history, &record, NULL, NULL);
   kv_history_publish(fixture->history);
   kv_watchers_wake(fixture->watchers);
}

static void change(struct fixture *fixture, const char *key)
{
   change_to(fixture, key, NULL, 0);
}

static void await_notification(struct fixture *fixture)
{
   struct timespec until;
   clock_gettime(CLOCK_REALTIME, &until);
   until.tv_sec += PATIENCE_S;
   assert_int_equal(sem_timedwait(&fixture->notified, &until), 0);
}

/* Until everything so far was looked at. */
static void await_examined(struct fixture *fixture)
{
   const uint64_t until_ms = kv_clock_monotonic_ms() + PATIENCE_S * 1000;
   while (kv_watchers_examined(fixture->watchers) < fixture->sequence) {
      assert_true(kv_clock_monotonic_ms() < until_ms);
      sched_yield();
   }
}

static bool was_notified(struct fixture *fixture)
{
   return sem_trywait(&fixture->notified) == 0;
}

static void add(struct fixture *fixture, struct kv_watch *watch, const char *start, const char *end)
{
   const struct kv_key_range range = {kv_slice_of(start), kv_slice_of(end)};
   struct kv_status status;
   if (watch->kinds == 0)
      watch->kinds = 1u << KV_CHANGE_SET;
   watch->set = kv_range_set_create(&range, 1, watch);
   assert_int_equal(kv_watch_add(&fixture->group, watch, &status), KV_OK);
}

static void drop(struct fixture *fixture, struct kv_watch *watch)
{
   kv_watch_remove(watch);
   (void)kv_watch_group_take(&fixture->group);
   kv_range_set_destroy(watch->set);
}

/* The key at a position. */
static struct kv_slice key_at(struct fixture *fixture, uint64_t position)
{
   static char key[16];
   struct kv_history_cursor cursor;
   struct kv_change found;
   assert_true(kv_history_open(fixture->history, 0, position, &cursor));
   assert_true(kv_history_next(&cursor, &found));
   assert_true(found.key.size < sizeof key);
   memcpy(key, found.key.data, found.key.size);
   const struct kv_slice copied = kv_slice(key, found.key.size);
   kv_history_close(&cursor);
   return copied;
}

static void a_watch_is_told_of_the_first_change_that_concerns_it(void **state)
{
   struct fixture *fixture = *state;
   struct kv_watch watch = {0};
   uint64_t position;
   bool progress;
   add(fixture, &watch, "b", "c");
   change(fixture, "a");
   change(fixture, "b1");
   change(fixture, "b2");
   await_notification(fixture);
   await_examined(fixture);
   struct kv_watch *told = kv_watch_group_take(&fixture->group);
   assert_ptr_equal(told, &watch);
   assert_null(told->next_told);
   assert_true(kv_watch_ask(told, &position, &progress));
   assert_false(progress);
   assert_int_equal(kv_slice_compare(key_at(fixture, position), kv_slice_of("b1")), 0);
   assert_null(kv_watch_group_take(&fixture->group));
   assert_false(was_notified(fixture));
   drop(fixture, &watch);
}

static void after_it_has_asked_it_is_told_again(void **state)
{
   struct fixture *fixture = *state;
   struct kv_watch watch = {0};
   uint64_t position;
   bool progress;
   add(fixture, &watch, "b", "c");
   for (int i = 0; i < 100; i++) {
      char key[8];
      snprintf(key, sizeof key, "b%d", i);
      change(fixture, key);
      await_notification(fixture);
      struct kv_watch *told = kv_watch_group_take(&fixture->group);
      assert_ptr_equal(told, &watch);
      assert_true(kv_watch_ask(told, &position, &progress));
      assert_int_equal(kv_slice_compare(key_at(fixture, position), kv_slice_of(key)), 0);
   }
   drop(fixture, &watch);
}

static void what_does_not_concern_it_is_not_told(void **state)
{
   struct fixture *fixture = *state;
   struct kv_watch watch = {.kinds = 1u << KV_CHANGE_DELETE}, other = {0};
   add(fixture, &watch, "", "");
   add(fixture, &other, "x", "");
   change(fixture, "a");
   change(fixture, "b");
   await_examined(fixture);
   assert_false(was_notified(fixture));
   drop(fixture, &watch);
   change(fixture, "c");
   await_examined(fixture);
   assert_false(was_notified(fixture));
   drop(fixture, &other);
}

static void all_watches_are_told_when_other_data_takes_the_place(void **state)
{
   struct fixture *fixture = *state;
   struct kv_watch watch = {.kinds = 1u << KV_CHANGE_DELETE}, other = {0};
   uint64_t position;
   bool progress;
   add(fixture, &watch, "a", "b");
   add(fixture, &other, "x", "y");
   kv_history_replace(fixture->history, 50);
   kv_watchers_wake(fixture->watchers);
   fixture->sequence = 50;
   await_examined(fixture);
   unsigned count = 0;
   struct kv_watch *next, *told = kv_watch_group_take(&fixture->group);
   for (; told; told = next, count++) {
      next = told->next_told;
      assert_true(kv_watch_ask(told, &position, &progress));
   }
   assert_int_equal(count, 2);
   drop(fixture, &watch);
   drop(fixture, &other);
}

/* Makes changes to others' keys, of a size together, while the thread is held up; then one of "b".
 * Returns those who were told. */
static struct kv_watch *fall_behind(struct fixture *fixture, size_t size)
{
   char value[1000] = {0};
   atomic_store(&fixture->holds_up, true);
   change(fixture, "held up");
   await_notification(fixture);
   (void)kv_watch_group_take(&fixture->group);
   for (size_t added = 0; added < size; added += sizeof value)
      change_to(fixture, "other", value, sizeof value);
   change(fixture, "b");
   atomic_store(&fixture->holds_up, false);
   sem_post(&fixture->go_on);
   await_examined(fixture);
   return kv_watch_group_take(&fixture->group);
}

static void a_thread_that_falls_behind_tells_only_those_concerned(void **state)
{
   struct fixture *fixture = *state;
   struct kv_watch held_up = {0}, watch = {0}, other = {0};
   uint64_t position;
   bool progress;
   add(fixture, &held_up, "held up", "held up!");
   add(fixture, &watch, "b", "c");
   add(fixture, &other, "x", "y");
   struct kv_watch *told = fall_behind(fixture, KV_HISTORY_SIZE_MIN * 3 / 2);
   assert_true(kv_history_lowest(fixture->history) > 2); /* it was dropped */
   assert_ptr_equal(told, &watch);
   assert_null(told->next_told);
   assert_true(kv_watch_ask(&watch, &position, &progress));
   assert_int_equal(kv_slice_compare(key_at(fixture, position), kv_slice_of("b")), 0);
   drop(fixture, &held_up);
   drop(fixture, &watch);
   drop(fixture, &other);
}

static void a_thread_that_falls_too_far_behind_gives_up_what_is_gone_and_tells_all(void **state)
{
   struct fixture *fixture = *state;
   struct kv_watch held_up = {0}, other = {0};
   struct kv_history_cursor cursor;
   uint64_t position;
   bool progress;
   add(fixture, &held_up, "held up", "held up!");
   add(fixture, &other, "x", "y");
   struct kv_watch *told = fall_behind(fixture, KV_HISTORY_SIZE_MIN * 3);
   for (; told && told != &other; told = told->next_told)
      ;
   assert_ptr_equal(told, &other);
   assert_true(kv_watch_ask(&other, &position, &progress));
   assert_false(kv_history_open(fixture->history, 0, position, &cursor));
   drop(fixture, &held_up);
   drop(fixture, &other);
}

static void progress_is_due_after_its_time_and_once(void **state)
{
   struct fixture *fixture = *state;
   struct kv_watch watch = {.progress_ms = KV_WATCH_PROGRESS_MIN_MS};
   uint64_t position;
   bool progress;
   add(fixture, &watch, "x", "y");
   for (int i = 0; i < 3; i++) {
      await_notification(fixture);
      assert_ptr_equal(kv_watch_group_take(&fixture->group), &watch);
      assert_false(kv_watch_ask(&watch, &position, &progress));
      assert_true(progress);
      kv_watch_note_sent(&watch);
   }
   drop(fixture, &watch);
}

static void a_drain_notifies_every_group(void **state)
{
   struct fixture *fixture = *state;
   assert_false(kv_watchers_is_draining(fixture->watchers));
   kv_watchers_drain(fixture->watchers);
   await_notification(fixture);
   assert_true(kv_watchers_is_draining(fixture->watchers));
   assert_true(kv_watchers_is_drained(fixture->watchers));
}

static void ranges_that_would_take_too_much_are_refused(void **state)
{
   struct fixture *fixture = *state;
   const size_t size = KV_WATCHES_SIZE_MAX / 3;
   char *bytes = malloc(size);
   memset(bytes, 'a', size);
   const struct kv_key_range range = {kv_slice(bytes, size), kv_slice(NULL, 0)};
   struct kv_watch watches[3];
   struct kv_status status = {.code = KV_OK};
   struct kv_watch_figures figures;
   for (int i = 0; i < 3; i++) {
      watches[i] = (struct kv_watch){.kinds = 1u << KV_CHANGE_SET};
      watches[i].set = kv_range_set_create(&range, 1, &watches[i]);
      (void)kv_watch_add(&fixture->group, &watches[i], &status);
   }
   assert_int_equal(status.code, KV_RESOURCE_EXHAUSTED);
   assert_string_equal(status.reason, KV_REASON_TOO_MANY_WATCHES);
   kv_watchers_read_figures(fixture->watchers, &figures);
   assert_int_equal(figures.watches, 2);
   drop(fixture, &watches[0]); /* makes space */
   assert_int_equal(kv_watch_add(&fixture->group, &watches[2], &status), KV_OK);
   drop(fixture, &watches[1]);
   drop(fixture, &watches[2]);
   free(bytes);
}

/* ---- Beside a writer ---- */

enum { CHANGES = 20000 };

static void *write_all(void *argument)
{
   for (int i = 0; i < CHANGES; i++) {
      char key[16];
      snprintf(key, sizeof key, "%c%06d", 'a' + i % 3, i);
      change(argument, key);
   }
   return NULL;
}

/* Reads from the position to the end; returns how many changes of `letter` there were above
 * *last. */
static unsigned read_on(struct fixture *fixture, uint64_t position, char letter, uint64_t *last)
{
   struct kv_history_cursor cursor;
   struct kv_change found;
   unsigned count = 0;
   assert_true(kv_history_open(fixture->history, 0, position, &cursor));
   while (kv_history_next(&cursor, &found))
      if (*(const char *)found.key.data == letter && found.sequence > *last) {
         *last = found.sequence;
         count++;
      }
   kv_history_close(&cursor);
   return count;
}

static void no_change_is_missed_while_others_are_made(void **state)
{
   struct fixture *fixture = *state;
   struct kv_watch watch = {0};
   pthread_t writer;
   uint64_t position, last = 0;
   bool progress;
   unsigned count = 0;
   add(fixture, &watch, "b", "c");
   assert_int_equal(pthread_create(&writer, NULL, write_all, fixture), 0);
   while (count < (CHANGES + 1) / 3) {
      await_notification(fixture);
      struct kv_watch *told = kv_watch_group_take(&fixture->group);
      if (told && kv_watch_ask(told, &position, &progress))
         count += read_on(fixture, position, 'b', &last);
   }
   pthread_join(writer, NULL);
   assert_int_equal(count, (CHANGES + 1) / 3);
   drop(fixture, &watch);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(a_watch_is_told_of_the_first_change_that_concerns_it),
       CASE(after_it_has_asked_it_is_told_again),
       CASE(what_does_not_concern_it_is_not_told),
       CASE(all_watches_are_told_when_other_data_takes_the_place),
       CASE(a_thread_that_falls_behind_tells_only_those_concerned),
       CASE(a_thread_that_falls_too_far_behind_gives_up_what_is_gone_and_tells_all),
       CASE(progress_is_due_after_its_time_and_once),
       CASE(a_drain_notifies_every_group),
       CASE(ranges_that_would_take_too_much_are_refused),
       CASE(no_change_is_missed_while_others_are_made),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
