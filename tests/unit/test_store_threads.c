/*
 * Readers and holders of views beside the writers: what any of them sees is one version, whole.
 * Meant for the thread sanitizer too.
 */
#include "core/store/store.h"
#include "tests/support/store_check.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { KEYS = 500, TRANSACTIONS = 1500, WRITERS = 2, READERS = 3, HOLDERS = 2, VIEWS_A_HOLDER = 3 };

/* Version n holds the key i exactly if (i + n) % 5 != 0, with the value n. */
struct shared {
   struct kv_store *store;
   pthread_mutex_t turn; /* the writers' */
   uint64_t sequence;    /* under it: the last one published */
   atomic_bool done;     /* all has been committed */
   atomic_uint ready;    /* threads that have looked at a version */
   atomic_uint faults;   /* versions that were not what they must be */
};

static bool holds(uint64_t sequence, uint64_t key)
{
   return (key + sequence) % 5 != 0;
}

static struct kv_slice key_of(char text[static 24], uint64_t key)
{
   return kv_slice(text, (size_t)snprintf(text, 24, "key:%06u", (unsigned)key));
}

static bool is_value(struct kv_slice value, uint64_t sequence)
{
   return value.size == sizeof sequence && memcmp(value.data, &sequence, sizeof sequence) == 0;
}

static bool is_whole(const struct kv_version *version)
{
   char text[24];
   struct kv_cursor cursor;
   uint64_t sequence = kv_version_sequence(version), count = 0;
   kv_cursor_seek(&cursor, version, kv_slice(NULL, 0));
   for (uint64_t i = 0; i < KEYS && sequence > 0; i++) {
      struct kv_slice wanted = key_of(text, i);
      const struct kv_entry *found = kv_version_find(version, wanted);
      if ((found != NULL) != holds(sequence, i))
         return false;
      if (!found)
         continue;
      if (kv_cursor_next(&cursor) != found || !store_same(kv_entry_key(found), wanted) ||
          !is_value(kv_entry_value(found), sequence))
         return false;
      count++;
   }
   return !kv_cursor_next(&cursor) && kv_version_count(version) == count;
}

static void report(struct shared *shared, bool good, bool first)
{
   if (!good)
      atomic_fetch_add(&shared->faults, 1);
   if (first)
      atomic_fetch_add(&shared->ready, 1);
}

static void *read_versions(void *context)
{
   struct shared *shared = context;
   struct kv_reader *reader = kv_reader_create(shared->store);
   uint64_t last = 0;
   for (bool first = true; first || !atomic_load(&shared->done); first = false) {
      const struct kv_version *version = kv_reader_pin(reader);
      uint64_t sequence = kv_version_sequence(version);
      report(shared, is_whole(version) && sequence >= last, first);
      kv_reader_unpin(reader);
      last = sequence;
   }
   kv_reader_destroy(reader);
   return NULL;
}

/* Comes and goes, so that slots are added and removed under the writer's eyes. */
static void *come_and_go(void *context)
{
   struct shared *shared = context;
   for (bool first = true; first || !atomic_load(&shared->done); first = false) {
      struct kv_reader *reader = kv_reader_create(shared->store);
      report(shared, is_whole(kv_reader_pin(reader)), first);
      kv_reader_unpin(reader);
      kv_reader_destroy(reader);
   }
   return NULL;
}

static void *hold_views(void *context)
{
   struct shared *shared = context;
   struct kv_store_view *views[VIEWS_A_HOLDER] = {NULL};
   bool first = true;
   for (size_t i = 0; first || !atomic_load(&shared->done); i = (i + 1) % VIEWS_A_HOLDER) {
      if (views[i]) {
         report(shared, is_whole(kv_store_view_version(views[i])), false);
         kv_store_view_destroy(views[i]);
      }
      views[i] = kv_store_view_create(shared->store);
      report(shared, is_whole(kv_store_view_version(views[i])), first);
      first = false;
   }
   for (size_t i = 0; i < VIEWS_A_HOLDER; i++) {
      if (!views[i])
         continue;
      report(shared, is_whole(kv_store_view_version(views[i])), false);
      kv_store_view_destroy(views[i]);
   }
   return NULL;
}

/* Makes the working version what `sequence` must be. */
static void change_all(struct kv_transaction *transaction, uint64_t sequence)
{
   for (uint64_t i = 0; i < KEYS; i++) {
      char text[24];
      bool existed;
      if (holds(sequence, i))
         assert_true(kv_transaction_set(transaction, key_of(text, i),
                                        kv_slice(&sequence, sizeof sequence), 0, sequence));
      else
         assert_true(kv_transaction_delete(transaction, key_of(text, i), &existed));
   }
}

/* One writer at a time, each reclaiming what it has replaced while the next one writes. */
static void *write_versions(void *context)
{
   struct shared *shared = context;
   for (bool more = true; more;) {
      assert_int_equal(pthread_mutex_lock(&shared->turn), 0);
      uint64_t sequence = shared->sequence + 1;
      struct kv_transaction *transaction = kv_store_begin(shared->store);
      change_all(transaction, sequence);
      if (sequence % 7 == 0) {
         kv_transaction_abort(transaction);
         transaction = kv_store_begin(shared->store);
         change_all(transaction, sequence);
      }
      kv_transaction_publish(transaction, sequence);
      shared->sequence = sequence;
      more = sequence < TRANSACTIONS;
      assert_int_equal(pthread_mutex_unlock(&shared->turn), 0);
      kv_store_reclaim(shared->store);
   }
   return NULL;
}

static void everybody_sees_whole_versions_while_writers_go_on(void **state)
{
   (void)state;
   enum { THREADS = READERS + HOLDERS + 1 };
   pthread_t threads[THREADS], writers[WRITERS];
   struct shared shared = {.store = kv_store_create(), .turn = PTHREAD_MUTEX_INITIALIZER};
   assert_non_null(shared.store);
   for (size_t i = 0; i < THREADS; i++) {
      void *(*run)(void *) = i < READERS             ? read_versions
                             : i < READERS + HOLDERS ? hold_views
                                                     : come_and_go;
      assert_int_equal(pthread_create(&threads[i], NULL, run, &shared), 0);
   }
   for (size_t i = 0; i < WRITERS; i++)
      assert_int_equal(pthread_create(&writers[i], NULL, write_versions, &shared), 0);
   for (size_t i = 0; i < WRITERS; i++)
      assert_int_equal(pthread_join(writers[i], NULL), 0);
   atomic_store(&shared.done, true);
   for (size_t i = 0; i < THREADS; i++)
      assert_int_equal(pthread_join(threads[i], NULL), 0);
   assert_int_equal(atomic_load(&shared.ready), THREADS);
   assert_int_equal(atomic_load(&shared.faults), 0);
   kv_store_destroy(shared.store);
}

static void *destroy_view(void *view)
{
   kv_store_view_destroy(view);
   return NULL;
}

/* Views of many versions end on other threads while the writer retires more. */
static void views_may_end_on_any_thread(void **state)
{
   (void)state;
   enum { ROUNDS = 100, VIEWS = 6 };
   struct kv_store *store = kv_store_create();
   uint64_t sequence = 0;
   for (unsigned round = 0; round < ROUNDS; round++) {
      pthread_t threads[VIEWS];
      struct kv_store_view *views[VIEWS];
      for (size_t i = 0; i < VIEWS; i++) {
         struct kv_transaction *transaction = kv_store_begin(store);
         change_all(transaction, ++sequence);
         kv_transaction_commit(transaction, sequence);
         views[i] = kv_store_view_create(store);
      }
      for (size_t i = 0; i < VIEWS; i++)
         assert_int_equal(
             pthread_create(&threads[i], NULL, destroy_view, views[(i * 5 + round) % VIEWS]), 0);
      struct kv_transaction *transaction = kv_store_begin(store);
      change_all(transaction, ++sequence);
      kv_transaction_commit(transaction, sequence);
      for (size_t i = 0; i < VIEWS; i++)
         assert_int_equal(pthread_join(threads[i], NULL), 0);
   }
   kv_store_destroy(store);
}

struct visit {
   struct kv_store *store;
   atomic_bool left;
};

static void *visit_once(void *context)
{
   struct visit *visit = context;
   struct kv_reader *reader = kv_reader_create(visit->store);
   bool whole = is_whole(kv_reader_pin(reader));
   kv_reader_unpin(reader);
   /* Relaxed: only the unpin itself may order this thread's reads before the writer's frees. */
   atomic_store_explicit(&visit->left, true, memory_order_relaxed);
   while (atomic_load_explicit(&visit->left, memory_order_relaxed))
      sched_yield();
   kv_reader_destroy(reader);
   return whole ? visit : NULL;
}

/* For the thread sanitizer. */
static void what_a_reader_has_left_is_freed_after_its_last_read(void **state)
{
   (void)state;
   pthread_t thread;
   void *good;
   struct visit visit = {.store = kv_store_create()};
   for (uint64_t sequence = 1; sequence <= 2; sequence++) {
      struct kv_transaction *transaction = kv_store_begin(visit.store);
      change_all(transaction, sequence);
      if (sequence == 2) {
         assert_int_equal(pthread_create(&thread, NULL, visit_once, &visit), 0);
         while (!atomic_load_explicit(&visit.left, memory_order_relaxed))
            sched_yield();
      }
      kv_transaction_commit(transaction, sequence);
   }
   atomic_store_explicit(&visit.left, false, memory_order_relaxed);
   assert_int_equal(pthread_join(thread, &good), 0);
   assert_non_null(good);
   kv_store_destroy(visit.store);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(everybody_sees_whole_versions_while_writers_go_on),
       cmocka_unit_test(views_may_end_on_any_thread),
       cmocka_unit_test(what_a_reader_has_left_is_freed_after_its_last_read),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
