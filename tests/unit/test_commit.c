#include "core/commit/targets.h"

#include "core/host/plugin_library.h"
#include "core/support/clock.h"
#include "tests/support/temporary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TARGETS_MAX 3
#define SUBMITTERS 4
#define ROUNDS 500
#define PATIENCE_S 60

/* A pipeline over a real store and real plug-in instances, each in a directory of its own. */
struct fixture {
   struct temporary plugins;
   struct kv_plugin_library *library;
   struct kv_store *store;
   struct kv_commit *commit;
   struct kv_instance *instances[TARGETS_MAX];
   struct kv_instance *active, *standby;
   struct kv_status detached; /* of the last standby that was */
   atomic_uint failures;      /* how often writes began to be refused */
   atomic_uint repairs;       /* how often they were accepted again */
   atomic_ullong refusals;    /* changes that were reported as refused */
   sem_t expired;             /* keys deleted as their time had come, one post each */
   atomic_uint replaced;      /* records published with the entry that they replaced */
   struct kv_status status;
};

static void count_change(void *context, bool read_only)
{
   struct fixture *fixture = context;
   atomic_fetch_add(read_only ? &fixture->failures : &fixture->repairs, 1);
}

static void count_refusal(void *context, const struct kv_status *status, size_t changes)
{
   struct fixture *fixture = context;
   assert_int_equal(status->code, KV_RESOURCE_EXHAUSTED);
   atomic_fetch_add(&fixture->refusals, changes);
}

static void note_published(void *context, const kvs_record *records,
                           const struct kv_replaced *previous, size_t count)
{
   struct fixture *fixture = context;
   for (size_t i = 0; i < count; i++) {
      if (records[i].flags & KVS_RECORD_EXPIRED)
         sem_post(&fixture->expired);
      if (previous && previous[i].existed)
         atomic_fetch_add(&fixture->replaced, 1);
   }
}

static int set_up(void **state)
{
   static struct fixture fixture;
   memset(&fixture, 0, sizeof fixture);
   temporary_create(&fixture.plugins);
   temporary_copy(&fixture.plugins, TEST_PLUGIN_DIR "/memory.so", "memory.so");
   temporary_copy(&fixture.plugins, TEST_PLUGIN_DIR "/prompt.so", "prompt.so");
   temporary_copy(&fixture.plugins, TEST_PLUGIN_DIR "/faulty.so", "faulty.so");
   fixture.library = kv_plugin_library_create(fixture.plugins.path, &fixture.status);
   assert_non_null(fixture.library);
   fixture.store = kv_store_create();
   assert_non_null(fixture.store);
   const struct kv_commit_options options = {.workers = SUBMITTERS};
   fixture.commit = kv_commit_create(fixture.store, &options, &fixture.status);
   assert_non_null(fixture.commit);
   const struct kv_commit_observer observer = {.context = &fixture,
                                               .read_only_changed = count_change,
                                               .refused = count_refusal,
                                               .published = note_published};
   sem_init(&fixture.expired, 0, 0);
   kv_commit_observe(fixture.commit, &observer);
   *state = &fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   if (fixture->commit)
      kv_commit_destroy(fixture->commit);
   for (size_t i = 0; i < TARGETS_MAX; i++)
      if (fixture->instances[i])
         kv_instance_close(fixture->instances[i]);
   kv_store_destroy(fixture->store);
   sem_destroy(&fixture->expired);
   kv_plugin_library_destroy(fixture->library);
   temporary_remove(&fixture->plugins);
   return 0;
}

/* ---- Targets ---- */

static struct kv_instance *open_target(struct fixture *fixture, size_t number, const char *name,
                                       const struct kv_mode_option *options, size_t count)
{
   char directory[TEMPORARY_PATH_SIZE], part[16];
   snprintf(part, sizeof part, "%zu", number);
   temporary_path(&fixture->plugins, part, directory);
   if (!temporary_has(&fixture->plugins, part))
      assert_int_equal(mkdir(directory, 0700), 0);
   struct kv_instance_config config = {.directory = directory};
   assert_int_equal(
       kv_plugin_library_find(fixture->library, name, &config.plugin, &fixture->status), KV_OK);
   assert_int_equal(
       kv_settings_create(config.plugin, options, count, &config.settings, &fixture->status),
       KV_OK);
   assert_int_equal(kv_instance_open(&config, &fixture->instances[number], &fixture->status),
                    KV_OK);
   return fixture->instances[number];
}

/* A faulty target whose write returns `code` after so many healthy ones. */
static struct kv_instance *open_faulty(struct fixture *fixture, size_t number, const char *code,
                                       const char *healthy_writes)
{
   const struct kv_mode_option options[] = {{"write", code}, {"healthy_writes", healthy_writes}};
   return open_target(fixture, number, "faulty", options, 2);
}

static void attach(struct fixture *fixture, struct kv_instance *standby)
{
   struct kv_commit_point point;
   assert_int_equal(
       kv_commit_attach(fixture->commit, standby, KV_STANDBY_CANDIDATE, &point, &fixture->status),
       KV_OK);
   kv_store_view_destroy(point.view);
   fixture->standby = standby;
}

static void detach(struct fixture *fixture)
{
   fixture->detached.code = KV_OK;
   kv_commit_detach(fixture->commit, NULL, &fixture->detached);
   fixture->standby = NULL;
}

static enum kv_code record_nothing(void *context, struct kv_status *doubt, struct kv_status *status)
{
   (void)context, (void)doubt, (void)status;
   return KV_OK;
}

static enum kv_code promote(struct fixture *fixture)
{
   enum kv_code code = kv_commit_promote(fixture->commit, record_nothing, NULL, &fixture->status);
   if (code != KV_OK)
      return code;
   fixture->active = fixture->standby;
   fixture->standby = NULL;
   return KV_OK;
}

static void set_targets(struct fixture *fixture, struct kv_instance *active,
                        struct kv_instance *standby)
{
   if (fixture->standby)
      detach(fixture);
   if (!fixture->active) {
      kv_commit_set_active(fixture->commit, active);
      fixture->active = active;
   } else if (fixture->active != active) {
      attach(fixture, active);
      assert_int_equal(promote(fixture), KV_OK);
   }
   if (standby)
      attach(fixture, standby);
}

/* ---- Submissions ---- */

struct write {
   struct kv_submission submission;
   struct kv_operation operation;
   struct kv_status status;
   enum kv_code code;
   unsigned completions;
   sem_t done;
   char text[32];
};

static void note_done(struct kv_submission *submission, const struct kv_status *status)
{
   struct write *write = (struct write *)submission;
   write->completions++;
   write->code = status ? status->code : KV_OK;
   if (status)
      write->status = *status;
   sem_post(&write->done);
}

static void prepare_set(struct write *write, const char *key, const char *value)
{
   *write = (struct write){
       .operation = {.kind = KV_OPERATION_SET},
       .submission = {.operations = &write->operation, .count = 1, .done = note_done},
   };
   snprintf(write->text, sizeof write->text, "%s", value);
   write->operation.key = kv_slice_of(key);
   write->operation.value = kv_slice_of(write->text);
   sem_init(&write->done, 0, 0);
}

/* As a turn of its own. */
static void submit(struct fixture *fixture, unsigned worker, struct kv_submission *submission)
{
   kv_commit_add(fixture->commit, worker, submission);
   kv_commit_flush(fixture->commit, worker);
}

static void submit_set_as(struct fixture *fixture, unsigned worker, struct write *write,
                          const char *key, const char *value)
{
   prepare_set(write, key, value);
   submit(fixture, worker, &write->submission);
}

static void submit_set(struct fixture *fixture, struct write *write, const char *key,
                       const char *value)
{
   submit_set_as(fixture, 0, write, key, value);
}

/* A write that nobody commits fails the test, and does not hang it. */
static void await_within_patience(sem_t *semaphore)
{
   struct timespec until;
   clock_gettime(CLOCK_REALTIME, &until);
   until.tv_sec += PATIENCE_S;
   while (sem_timedwait(semaphore, &until) != 0)
      assert_int_equal(errno, EINTR);
}

static enum kv_code await(struct write *write)
{
   await_within_patience(&write->done);
   sem_destroy(&write->done);
   return write->code;
}

static enum kv_code set(struct fixture *fixture, const char *key, const char *value)
{
   struct write write;
   submit_set(fixture, &write, key, value);
   enum kv_code code = await(&write);
   assert_int_equal(write.completions, 1);
   fixture->status = write.status;
   return code;
}

/* ---- What came of it ---- */

static void assert_version_has(const struct kv_version *version, const char *key,
                               const char *expected)
{
   const struct kv_entry *entry = kv_version_find(version, kv_slice_of(key));
   assert_int_equal(entry != NULL, expected != NULL);
   if (!expected)
      return;
   const struct kv_slice value = kv_entry_value(entry);
   assert_int_equal(value.size, strlen(expected));
   assert_memory_equal(value.data, expected, value.size);
}

/* `expected` is NULL for a key that must not be there. */
static void assert_readable(struct fixture *fixture, const char *key, const char *expected)
{
   struct kv_store_view *view = kv_store_view_create(fixture->store);
   assert_non_null(view);
   assert_version_has(kv_store_view_version(view), key, expected);
   kv_store_view_destroy(view);
}

/* What a plug-in of the memory kind was given, seen by loading it into a store of its own. */
static struct kv_store *load_kept(struct fixture *fixture, size_t number)
{
   struct kv_store *store = kv_store_create();
   assert_non_null(store);
   struct kv_transaction *transaction = kv_store_begin(store);
   assert_non_null(transaction);
   uint64_t sequence;
   assert_int_equal(
       kv_instance_load(fixture->instances[number], transaction, &sequence, &fixture->status),
       KV_OK);
   kv_transaction_commit(transaction, sequence);
   return store;
}

static void assert_kept(struct fixture *fixture, size_t number, const char *key,
                        const char *expected)
{
   struct kv_store *store = load_kept(fixture, number);
   struct kv_store_view *view = kv_store_view_create(store);
   assert_non_null(view);
   assert_version_has(kv_store_view_version(view), key, expected);
   kv_store_view_destroy(view);
   kv_store_destroy(store);
}

static bool is_unwanted(const struct kv_submission *submission)
{
   (void)submission;
   return true;
}

/* ---- Tests ---- */

static void writes_before_the_data_is_loaded_are_refused(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(set(fixture, "k", "v"), KV_UNAVAILABLE);
   assert_non_null(strstr(fixture->status.text, "try again"));
   assert_readable(fixture, "k", NULL);
}

static void what_is_acknowledged_is_readable_and_kept(void **state)
{
   struct fixture *fixture = *state;
   static const char *const names[] = {"memory", "prompt"};
   for (size_t i = 0; i < 2; i++) {
      set_targets(fixture, open_target(fixture, i, names[i], NULL, 0), NULL);
      assert_int_equal(set(fixture, names[i], "v"), KV_OK);
      assert_readable(fixture, names[i], "v");
      assert_kept(fixture, i, names[i], "v");
   }
}

static void a_batch_that_the_plugin_cannot_store_changes_nothing(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_faulty(fixture, 0, "io", "1"), NULL);
   assert_int_equal(set(fixture, "k", "before"), KV_OK);
   assert_int_equal(set(fixture, "k", "lost"), KV_UNAVAILABLE);
   assert_readable(fixture, "k", "before");
}

static void after_a_failed_write_the_store_is_read_only_and_says_why(void **state)
{
   struct fixture *fixture = *state;
   assert_false(kv_commit_read_only(fixture->commit, &fixture->status));
   set_targets(fixture, open_faulty(fixture, 0, "io", "0"), NULL);
   set(fixture, "k", "lost");
   for (int i = 0; i < 2; i++) {
      assert_int_equal(set(fixture, "k", "refused"), KV_UNAVAILABLE);
      assert_non_null(strstr(fixture->status.text, "told to fail"));
   }
   assert_true(kv_commit_read_only(fixture->commit, &fixture->status));
   assert_non_null(strstr(fixture->status.text, "told to fail"));
   assert_int_equal(atomic_load(&fixture->failures), 1);
}

static void a_fresh_target_ends_read_only(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_faulty(fixture, 0, "io", "0"), NULL);
   set(fixture, "k", "lost");
   set_targets(fixture, open_target(fixture, 1, "memory", NULL, 0), NULL);
   assert_int_equal(fixture->repairs, 1);
   assert_int_equal(set(fixture, "k", "v"), KV_OK);
   assert_false(kv_commit_read_only(fixture->commit, &fixture->status));
   assert_kept(fixture, 1, "k", "v");
}

static void lack_of_space_refuses_only_the_batch(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_faulty(fixture, 0, "no_space", "1"), NULL);
   assert_int_equal(set(fixture, "k", "v"), KV_OK);
   assert_int_equal(set(fixture, "k", "too much"), KV_RESOURCE_EXHAUSTED);
   assert_readable(fixture, "k", "v");
   assert_false(kv_commit_read_only(fixture->commit, &fixture->status));
   assert_int_equal(atomic_load(&fixture->failures), 0);
   assert_int_equal(atomic_load(&fixture->refusals), 1);
}

static void a_standby_is_given_each_batch(void **state)
{
   struct fixture *fixture = *state;
   struct kv_instance *active = open_target(fixture, 0, "memory", NULL, 0);
   set_targets(fixture, active, NULL);
   assert_int_equal(set(fixture, "early", "1"), KV_OK);
   set_targets(fixture, active, open_target(fixture, 1, "prompt", NULL, 0));
   assert_int_equal(set(fixture, "late", "2"), KV_OK);
   assert_kept(fixture, 0, "late", "2");
   assert_kept(fixture, 1, "late", "2");
   assert_kept(fixture, 1, "early", NULL);
}

static void what_the_active_plugin_refused_is_not_given_to_the_standby(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_faulty(fixture, 0, "no_space", "0"),
               open_target(fixture, 1, "memory", NULL, 0));
   assert_int_equal(set(fixture, "k", "v"), KV_RESOURCE_EXHAUSTED);
   assert_kept(fixture, 1, "k", NULL);
}

static void a_failing_standby_costs_no_acknowledgement(void **state)
{
   struct fixture *fixture = *state;
   struct kv_instance *active = open_target(fixture, 0, "memory", NULL, 0);
   set_targets(fixture, active, open_faulty(fixture, 1, "io", "0"));
   assert_int_equal(set(fixture, "k", "v"), KV_OK);
   assert_int_equal(set(fixture, "k", "w"), KV_OK);
   assert_int_equal(promote(fixture), KV_UNAVAILABLE);
   assert_non_null(strstr(fixture->status.text, "told to fail"));
   detach(fixture);
   assert_non_null(strstr(fixture->detached.text, "told to fail"));
   assert_int_equal(fixture->failures, 0);
   assert_kept(fixture, 0, "k", "w");
}

static void one_submitters_writes_are_committed_in_its_order(void **state)
{
   struct fixture *fixture = *state;
   static const char *const names[] = {"memory", "prompt"};
   static struct write writes[ROUNDS];
   for (size_t i = 0; i < 2; i++) {
      set_targets(fixture, open_target(fixture, i, names[i], NULL, 0), NULL);
      char value[32];
      for (unsigned n = 0; n < ROUNDS; n++) {
         snprintf(value, sizeof value, "%u", n);
         submit_set(fixture, &writes[n], "k", value);
      }
      for (unsigned n = 0; n < ROUNDS; n++)
         assert_int_equal(await(&writes[n]), KV_OK);
      assert_readable(fixture, "k", value);
      assert_kept(fixture, i, "k", value);
   }
}

/* Sets a key to 1, 2 and 3. */
static void submit_three(struct fixture *fixture, struct write writes[static 3])
{
   static const char *const values[] = {"1", "2", "3"};
   for (unsigned n = 0; n < 3; n++) {
      prepare_set(&writes[n], "k", values[n]);
      kv_commit_add(fixture->commit, 0, &writes[n].submission);
   }
   kv_commit_flush(fixture->commit, 0);
}

static void what_a_turn_adds_is_one_batch_in_its_order(void **state)
{
   struct fixture *fixture = *state;
   struct write writes[3];
   set_targets(fixture, open_faulty(fixture, 0, "io", "1"), NULL);
   submit_three(fixture, writes);
   for (unsigned n = 0; n < 3; n++)
      assert_int_equal(await(&writes[n]), KV_OK);
   assert_readable(fixture, "k", "3");
   submit_three(fixture, writes);
   for (unsigned n = 0; n < 3; n++)
      assert_int_equal(await(&writes[n]), KV_UNAVAILABLE);
   set_targets(fixture, open_target(fixture, 1, "prompt", NULL, 0), NULL);
   submit_three(fixture, writes);
   for (unsigned n = 0; n < 3; n++) {
      assert_int_equal(await(&writes[n]), KV_OK);
      assert_int_equal(writes[n].completions, 1);
   }
   assert_kept(fixture, 1, "k", "3");
}

static void batches_are_counted_with_their_changes(void **state)
{
   struct fixture *fixture = *state;
   struct kv_commit_statistics figures;
   struct write writes[3], single;
   set_targets(fixture, open_faulty(fixture, 0, "no_space", "2"), NULL);
   submit_three(fixture, writes);
   for (unsigned n = 0; n < 3; n++)
      assert_int_equal(await(&writes[n]), KV_OK);
   submit_set(fixture, &single, "k", "v");
   assert_int_equal(await(&single), KV_OK);
   kv_commit_read_statistics(fixture->commit, &figures);
   assert_int_equal(figures.changes, 4);
   assert_int_equal(figures.buckets[0], 1); /* one change */
   assert_int_equal(figures.buckets[2], 1); /* three or four */
   assert_int_equal(figures.failed_batches, 0);
   assert_int_equal(figures.queued, 0);
   submit_set(fixture, &single, "k", "v");
   assert_int_equal(await(&single), KV_RESOURCE_EXHAUSTED);
   kv_commit_read_statistics(fixture->commit, &figures);
   assert_int_equal(figures.failed_batches, 1);
   assert_int_equal(figures.changes, 4);
}

/* ---- A plug-in that lets submitters commit for themselves, and can be held in on_write ---- */

static sem_t write_entered, write_gate;

static int open_held(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                     kvs_error *error)
{
   (void)host, (void)settings, (void)count, (void)error;
   *self = NULL;
   return KVS_OK;
}

static int write_held(void *self, const kvs_record *records, size_t count, uint32_t flags,
                      kvs_error *error)
{
   (void)self, (void)records, (void)count, (void)flags, (void)error;
   sem_post(&write_entered);
   await_within_patience(&write_gate);
   return KVS_OK;
}

static void close_held(void *self)
{
   (void)self;
}

static const kvs_plugin held_plugin = {
    .size = sizeof held_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .name = "held",
    .version = "1",
    .description = "waits in on_write",
    .promise = KVS_VOLATILE,
    .flags = KVS_PLUGIN_PROMPT,
    .open = open_held,
    .on_write = write_held,
    .close = close_held,
};

static struct kv_instance *open_own_target(struct fixture *fixture, const kvs_plugin *plugin)
{
   struct kv_instance_config config = {.plugin = plugin, .directory = fixture->plugins.path};
   assert_int_equal(kv_settings_create(plugin, NULL, 0, &config.settings, &fixture->status), KV_OK);
   assert_int_equal(kv_instance_open(&config, &fixture->instances[0], &fixture->status), KV_OK);
   return fixture->instances[0];
}

/* ---- A plug-in that refuses every batch and counts them ---- */

static atomic_uint refused_batches;

static int refuse_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                        kvs_error *error)
{
   (void)self, (void)records, (void)count, (void)flags;
   snprintf(error->text, sizeof error->text, "told to refuse");
   refused_batches++;
   return KVS_NO_SPACE;
}

static const kvs_plugin refusing_plugin = {
    .size = sizeof refusing_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .name = "refusing",
    .version = "1",
    .description = "has no room",
    .promise = KVS_VOLATILE,
    .open = open_held,
    .on_write = refuse_write,
    .close = close_held,
};

/* Its sequence would have a gap that nobody could fill. */
static void a_standby_that_has_refused_a_batch_is_given_no_more(void **state)
{
   struct fixture *fixture = *state;
   struct kv_instance *active = open_target(fixture, 1, "memory", NULL, 0);
   refused_batches = 0;
   set_targets(fixture, active, open_own_target(fixture, &refusing_plugin));
   for (int i = 0; i < 3; i++)
      assert_int_equal(set(fixture, "k", "v"), KV_OK);
   assert_int_equal(refused_batches, 1);
   detach(fixture);
   assert_int_equal(fixture->detached.code, KV_RESOURCE_EXHAUSTED);
}

/* A write of a worker of its own. */
struct other_worker {
   struct fixture *fixture;
   unsigned worker;
   pthread_t thread;
   struct write write;
};

/* Workers that sleep until nobody commits. */
static sem_t asleep;
static _Thread_local bool is_worker;

int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);

/* The mutex is still held: who finds it free afterwards finds the worker asleep. */
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
   if (is_worker)
      sem_post(&asleep);
   return __real_pthread_cond_wait(condition, mutex);
}

static void *submit_on_thread(void *argument)
{
   struct other_worker *other = argument;
   is_worker = true;
   submit_set_as(other->fixture, other->worker, &other->write, "k", "v");
   return NULL;
}

static void begin_submit(struct fixture *fixture, struct other_worker *other, unsigned worker)
{
   other->fixture = fixture;
   other->worker = worker;
   assert_int_equal(pthread_create(&other->thread, NULL, submit_on_thread, other), 0);
}

/* Nobody else comes: neither another write nor a step of the control thread. */
static void what_is_flushed_while_another_worker_commits_waits_for_nobody_else(void **state)
{
   enum { WORKERS = 3 };
   struct fixture *fixture = *state;
   struct other_worker workers[WORKERS];
   sem_init(&write_entered, 0, 0);
   sem_init(&write_gate, 0, 0);
   sem_init(&asleep, 0, 0);
   set_targets(fixture, open_own_target(fixture, &held_plugin), NULL);
   begin_submit(fixture, &workers[0], 0);
   await_within_patience(&write_entered);
   for (unsigned i = 1; i < WORKERS; i++) {
      begin_submit(fixture, &workers[i], i);
      await_within_patience(&asleep);
   }
   for (unsigned i = 0; i < WORKERS; i++)
      sem_post(&write_gate);
   for (unsigned i = 0; i < WORKERS; i++) {
      assert_int_equal(await(&workers[i].write), KV_OK);
      pthread_join(workers[i].thread, NULL);
   }
   assert_readable(fixture, "k", "v");
   sem_destroy(&write_entered);
   sem_destroy(&write_gate);
   sem_destroy(&asleep);
}

/* ---- Many threads, while the targets change ---- */

struct submitter {
   pthread_t thread;
   struct fixture *fixture;
   unsigned worker;
   char key[16];
   unsigned failed, completed_not_once;
};

static void *submit_many(void *argument)
{
   struct submitter *submitter = argument;
   char value[32];
   for (unsigned n = 1; n <= ROUNDS; n++) {
      struct write write;
      snprintf(value, sizeof value, "%u", n);
      submit_set_as(submitter->fixture, submitter->worker, &write, submitter->key, value);
      submitter->failed += await(&write) != KV_OK;
      submitter->completed_not_once += write.completions != 1;
   }
   return NULL;
}

/* Goes once through all pairs of active and standby, so that both ways to commit take turns. */
static void change_targets(struct fixture *fixture)
{
   for (unsigned round = 0; round < 20; round++)
      for (size_t active = 0; active < 2; active++) {
         set_targets(fixture, fixture->instances[active], fixture->instances[1 - active]);
         set_targets(fixture, fixture->instances[active], NULL);
         set_targets(fixture, fixture->instances[active], fixture->instances[1 - active]);
      }
}

static void no_write_is_lost_when_targets_change_under_many_threads(void **state)
{
   struct fixture *fixture = *state;
   open_target(fixture, 0, "memory", NULL, 0);
   open_target(fixture, 1, "prompt", NULL, 0);
   set_targets(fixture, fixture->instances[1], NULL);
   struct submitter submitters[SUBMITTERS];
   for (unsigned i = 0; i < SUBMITTERS; i++) {
      submitters[i] = (struct submitter){.fixture = fixture, .worker = i};
      snprintf(submitters[i].key, sizeof submitters[i].key, "key %u", i);
      assert_int_equal(pthread_create(&submitters[i].thread, NULL, submit_many, &submitters[i]), 0);
   }
   change_targets(fixture);
   char last[32];
   snprintf(last, sizeof last, "%u", ROUNDS);
   for (unsigned i = 0; i < SUBMITTERS; i++) {
      pthread_join(submitters[i].thread, NULL);
      assert_int_equal(submitters[i].failed, 0);
      assert_int_equal(submitters[i].completed_not_once, 0);
      assert_readable(fixture, submitters[i].key, last);
   }
   struct kv_store_view *view = kv_store_view_create(fixture->store);
   assert_non_null(view);
   assert_int_equal(kv_version_sequence(kv_store_view_version(view)), SUBMITTERS * ROUNDS);
   kv_store_view_destroy(view);
}

/* ---- Promotion ---- */

/* What happens between two batches while a standby is promoted. */
struct recording {
   struct fixture *fixture;
   struct write writes[3];
   enum kv_code code;
   bool doubtful;
};

static enum kv_code record_while_writes_wait(void *context, struct kv_status *doubt,
                                             struct kv_status *status)
{
   struct recording *recording = context;
   submit_three(recording->fixture, recording->writes);
   assert_readable(recording->fixture, "k", "before");
   if (recording->doubtful)
      kv_fail(doubt, KV_UNAVAILABLE, "the record is in doubt");
   return recording->code == KV_OK ? KV_OK
                                   : kv_fail(status, recording->code, "it was not recorded");
}

static enum kv_code promote_by(struct fixture *fixture, struct recording *recording)
{
   recording->fixture = fixture;
   return kv_commit_promote(fixture->commit, record_while_writes_wait, recording, &fixture->status);
}

/* Also where a submitter may commit for itself: it must not wait for the end of the record. */
static void what_is_submitted_while_it_is_recorded_goes_to_the_promoted_one(void **state)
{
   struct fixture *fixture = *state;
   static const char *const names[] = {"memory", "prompt"};
   struct kv_instance *new = open_target(fixture, 2, "memory", NULL, 0);
   for (size_t i = 0; i < 2; i++) {
      struct recording recording = {.code = KV_OK};
      set_targets(fixture, open_target(fixture, i, names[i], NULL, 0), NULL);
      assert_int_equal(set(fixture, "k", "before"), KV_OK);
      attach(fixture, new);
      assert_int_equal(promote_by(fixture, &recording), KV_OK);
      fixture->active = new;
      fixture->standby = NULL;
      for (unsigned n = 0; n < 3; n++)
         assert_int_equal(await(&recording.writes[n]), KV_OK);
      assert_kept(fixture, i, "k", "before");
      assert_kept(fixture, 2, "k", "3");
   }
}

static void after_a_record_that_failed_the_active_one_goes_on(void **state)
{
   struct fixture *fixture = *state;
   struct recording recording = {.code = KV_RESOURCE_EXHAUSTED};
   set_targets(fixture, open_target(fixture, 0, "memory", NULL, 0),
               open_target(fixture, 1, "memory", NULL, 0));
   assert_int_equal(set(fixture, "k", "before"), KV_OK);
   assert_int_equal(promote_by(fixture, &recording), KV_RESOURCE_EXHAUSTED);
   for (unsigned n = 0; n < 3; n++)
      assert_int_equal(await(&recording.writes[n]), KV_OK);
   detach(fixture);
   assert_int_equal(set(fixture, "k", "after"), KV_OK);
   assert_kept(fixture, 0, "k", "after");
   assert_kept(fixture, 1, "k", "3");
   assert_int_equal(fixture->failures, 0);
}

static void after_a_record_in_doubt_no_write_is_accepted(void **state)
{
   struct fixture *fixture = *state;
   struct recording recording = {.code = KV_UNAVAILABLE, .doubtful = true};
   set_targets(fixture, open_target(fixture, 0, "memory", NULL, 0),
               open_target(fixture, 1, "memory", NULL, 0));
   assert_int_equal(set(fixture, "k", "before"), KV_OK);
   assert_int_equal(promote_by(fixture, &recording), KV_UNAVAILABLE);
   for (unsigned n = 0; n < 3; n++)
      assert_int_equal(await(&recording.writes[n]), KV_UNAVAILABLE);
   assert_kept(fixture, 0, "k", "before");
   assert_int_equal(fixture->failures, 1);
   struct kv_status status;
   assert_true(kv_commit_read_only(fixture->commit, &status));
   assert_string_equal(status.text, "the record is in doubt");
}

static void destroy_commits_what_was_submitted(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_target(fixture, 0, "memory", NULL, 0), NULL);
   static struct write writes[ROUNDS];
   for (unsigned n = 0; n < ROUNDS; n++)
      submit_set(fixture, &writes[n], "k", n + 1 < ROUNDS ? "earlier" : "last");
   kv_commit_destroy(fixture->commit);
   fixture->commit = NULL;
   for (unsigned n = 0; n < ROUNDS; n++)
      assert_int_equal(await(&writes[n]), KV_OK);
   assert_kept(fixture, 0, "k", "last");
}

/* ---- Large submissions ---- */

#define LARGE_COUNT 10000
#define KEY_SIZE 16

struct large {
   struct write write; /* first: for note_done; its operation is not used */
   struct kv_arena arena;
   struct kv_operation operations[LARGE_COUNT];
   char keys[LARGE_COUNT][KEY_SIZE];
};

static struct large *submit_large(struct fixture *fixture, struct kv_compound *compound)
{
   struct large *large = calloc(1, sizeof *large);
   assert_non_null(large);
   prepare_set(&large->write, "", "");
   kv_arena_init(&large->arena);
   for (size_t i = 0; i < LARGE_COUNT; i++) {
      snprintf(large->keys[i], KEY_SIZE, "large%06zu", i);
      large->operations[i] = (struct kv_operation){
          .kind = KV_OPERATION_SET, .key = kv_slice_of(large->keys[i]), .value = kv_slice_of("v")};
   }
   large->write.submission.operations = large->operations;
   large->write.submission.count = LARGE_COUNT;
   large->write.submission.compound = compound;
   large->write.submission.arena = &large->arena;
   submit(fixture, 0, &large->write.submission);
   return large;
}

static void free_large(struct large *large)
{
   kv_arena_reset(&large->arena);
   free(large);
}

static void assert_first_are_readable(struct fixture *fixture, const struct large *large,
                                      size_t count)
{
   struct kv_store_view *view = kv_store_view_create(fixture->store);
   assert_int_equal(kv_version_count(kv_store_view_version(view)), count);
   for (size_t i = 0; i < count; i++)
      assert_non_null(kv_version_find(kv_store_view_version(view), kv_slice_of(large->keys[i])));
   kv_store_view_destroy(view);
}

static void a_large_submission_is_committed_whole(void **state)
{
   struct fixture *fixture = *state;
   static const char *const plugins[] = {"memory", "prompt"};
   for (size_t i = 0; i < 2; i++) {
      set_targets(fixture, open_target(fixture, i, plugins[i], NULL, 0), NULL);
      struct large *large = submit_large(fixture, NULL);
      assert_int_equal(await(&large->write), KV_OK);
      assert_int_equal(large->write.completions, 1);
      assert_first_are_readable(fixture, large, LARGE_COUNT);
      free_large(large);
   }
}

static void one_that_fails_midway_says_how_much_of_it_was_committed(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_faulty(fixture, 0, "no_space", "1"), NULL);
   struct large *large = submit_large(fixture, NULL);
   assert_int_equal(await(&large->write), KV_RESOURCE_EXHAUSTED);
   assert_int_equal(large->write.completions, 1);
   assert_in_range(large->write.submission.committed, 1, LARGE_COUNT - 1);
   assert_first_are_readable(fixture, large, large->write.submission.committed);
   free_large(large);
}

static void a_compound_that_fails_has_changed_nothing(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_faulty(fixture, 0, "no_space", "0"), NULL);
   struct kv_compound compound = {.otherwise = LARGE_COUNT};
   struct large *large = submit_large(fixture, &compound);
   assert_int_equal(await(&large->write), KV_RESOURCE_EXHAUSTED);
   assert_int_equal(large->write.submission.committed, 0);
   assert_first_are_readable(fixture, large, 0);
   free_large(large);
}

/* A write with a request_id. */
struct remembered {
   struct write write;
   struct kv_arena arena;
   struct kv_remembered request;
   struct kv_compound compound;
};

static struct kv_slice encode(const struct kv_submission *submission)
{
   (void)submission;
   return kv_slice_of("answer");
}

static void prepare_remembered(struct remembered *remembered, const char *id)
{
   prepare_set(&remembered->write, "k", "v");
   kv_arena_init(&remembered->arena);
   remembered->request = (struct kv_remembered){.key = kv_slice_of(id),
                                                .digest = kv_slice_of("digest"),
                                                .expires_at = KV_EXPIRES_AT_MAX,
                                                .encode = encode};
   remembered->compound = (struct kv_compound){.otherwise = 1, .request = &remembered->request};
   remembered->write.submission.arena = &remembered->arena;
   remembered->write.submission.compound = &remembered->compound;
}

/* What was carried out was so, whatever has become of the instance. */
static void a_repetition_is_answered_while_writes_are_refused(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_faulty(fixture, 0, "io", "1"), NULL);
   for (int i = 0; i < 4; i++) {
      /* The third one is in a batch that fails, the fourth one after that. */
      struct remembered remembered;
      prepare_remembered(&remembered, "id");
      kv_commit_add(fixture->commit, 0, &remembered.write.submission);
      struct write beside;
      prepare_set(&beside, "beside", "v");
      if (i == 2)
         kv_commit_add(fixture->commit, 0, &beside.submission);
      kv_commit_flush(fixture->commit, 0);
      const enum kv_code code = await(&remembered.write);
      assert_int_equal(remembered.compound.code, KV_OK);
      assert_int_equal(remembered.compound.repeated, i > 0);
      if (i == 0) {
         assert_int_equal(code, KV_OK);
      } else {
         assert_int_equal(remembered.compound.answer.size, 6);
         assert_int_equal(remembered.write.submission.reached, KV_DURABILITY_WRITTEN);
      }
      if (i == 2)
         assert_int_equal(await(&beside), KV_UNAVAILABLE);
      assert_int_equal(code, i < 2 ? KV_OK : KV_UNAVAILABLE);
      kv_arena_reset(&remembered.arena);
   }
   assert_int_equal(set(fixture, "k", "other"), KV_UNAVAILABLE);
}

static void a_request_and_its_repetition_in_a_batch_that_fails_are_both_refused(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_faulty(fixture, 0, "io", "0"), NULL);
   struct remembered both[2];
   for (size_t i = 0; i < 2; i++) {
      prepare_remembered(&both[i], "id");
      kv_commit_add(fixture->commit, 0, &both[i].write.submission);
   }
   kv_commit_flush(fixture->commit, 0);
   for (size_t i = 0; i < 2; i++) {
      assert_int_equal(await(&both[i].write), KV_UNAVAILABLE);
      assert_false(both[i].compound.repeated);
      kv_arena_reset(&both[i].arena);
   }
}

/* Neither a write nor anything else makes the pipeline look. */
static void keys_are_deleted_by_themselves_when_their_time_has_come(void **state)
{
   struct fixture *fixture = *state;
   static const char *const names[] = {"memory", "prompt"};
   for (size_t i = 0; i < 2; i++) {
      set_targets(fixture, open_target(fixture, i, names[i], NULL, 0), NULL);
      const struct kv_terms soon = {.expiry = {KV_EXPIRY_AT, kv_clock_unix_ms() + 20}};
      struct write writes[3];
      static const char *const keys[] = {"a", "b", "stays"};
      for (size_t j = 0; j < 3; j++) {
         prepare_set(&writes[j], keys[j], "v");
         writes[j].operation.terms = j < 2 ? &soon : NULL;
         submit(fixture, 0, &writes[j].submission);
         assert_int_equal(await(&writes[j]), KV_OK);
      }
      await_within_patience(&fixture->expired);
      await_within_patience(&fixture->expired);
      kv_commit_set_active(fixture->commit, fixture->active); /* after the batch */
      assert_readable(fixture, "a", NULL);
      assert_readable(fixture, "b", NULL);
      assert_readable(fixture, "stays", "v");
      assert_kept(fixture, i, "a", NULL);
      assert_kept(fixture, i, "stays", "v");
   }
}

/* A clock that is set back once it has been read at that time or later, for some readings. */
#define SET_BACK_FOR 4

static _Atomic int64_t set_back_at = INT64_MAX;
static atomic_int readings_since;
static sem_t was_set_forth;

int64_t __real_kv_clock_unix_ms(void);
int64_t __wrap_kv_clock_unix_ms(void);
int64_t __wrap_kv_clock_unix_ms(void)
{
   const int64_t now_ms = __real_kv_clock_unix_ms();
   if (now_ms < atomic_load(&set_back_at))
      return now_ms;
   const int reading = atomic_fetch_add(&readings_since, 1);
   if (reading == SET_BACK_FOR)
      sem_post(&was_set_forth);
   return reading >= 1 && reading <= SET_BACK_FOR ? now_ms - 3600000 : now_ms;
}

static void a_clock_that_is_set_back_as_keys_expire_only_makes_them_stay(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_target(fixture, 0, "memory", NULL, 0), NULL);
   const struct kv_terms soon = {.expiry = {KV_EXPIRY_AT, kv_clock_unix_ms() + 20}};
   struct write write;
   prepare_set(&write, "a", "v");
   write.operation.terms = &soon;
   atomic_store(&readings_since, 0);
   assert_int_equal(sem_init(&was_set_forth, 0, 0), 0);
   atomic_store(&set_back_at, soon.expiry.at_ms);
   submit(fixture, 0, &write.submission);
   assert_int_equal(await(&write), KV_OK);
   await_within_patience(&was_set_forth);
   await_within_patience(&fixture->expired); /* later */
   atomic_store(&set_back_at, INT64_MAX);
}

static struct kv_commit_statistics count_after_the_batch(struct fixture *fixture)
{
   struct kv_commit_statistics statistics;
   kv_commit_set_active(fixture->commit, fixture->active);
   kv_commit_read_statistics(fixture->commit, &statistics);
   return statistics;
}

/* More of them than one batch deletes. */
static void a_start_deletes_what_expired_meanwhile(void **state)
{
   struct fixture *fixture = *state;
   const unsigned count = 2500;
   struct kv_transaction *loaded = kv_store_begin(fixture->store);
   assert_non_null(loaded);
   for (unsigned i = 0; i < count; i++) {
      char key[16];
      snprintf(key, sizeof key, "%u", i);
      assert_true(kv_transaction_set(loaded, kv_slice_of(key), kv_slice_of("v"), 1, i + 1));
   }
   kv_transaction_commit(loaded, count);
   set_targets(fixture, open_target(fixture, 0, "memory", NULL, 0), NULL);
   for (unsigned i = 0; i < count; i++)
      await_within_patience(&fixture->expired);
   const struct kv_commit_statistics statistics = count_after_the_batch(fixture);
   assert_int_equal(statistics.expired, count);
   assert_int_equal(statistics.changes, count);
}

static void load_expired(struct fixture *fixture, struct kv_slice key, struct kv_slice value,
                         uint64_t sequence)
{
   struct kv_transaction *loaded = kv_store_begin(fixture->store);
   assert_non_null(loaded);
   assert_true(kv_transaction_set(loaded, key, value, 1, sequence));
   kv_transaction_commit(loaded, sequence);
}

static void what_expires_is_counted_whoever_deletes_it_but_for_what_clients_do_not_see(void **state)
{
   struct fixture *fixture = *state;
   load_expired(fixture, kv_slice("\0r", 2), kv_slice_of("v"), 1);
   load_expired(fixture, kv_slice_of("a"), kv_slice_of("v"), 2);
   set_targets(fixture, open_target(fixture, 0, "memory", NULL, 0), NULL);
   for (int i = 0; i < 2; i++)
      await_within_patience(&fixture->expired);
   kv_commit_stop_expiring(fixture->commit);
   const struct kv_terms past = {.expiry = {KV_EXPIRY_AT, 1}};
   struct write write;
   prepare_set(&write, "b", "v");
   write.operation.terms = &past;
   submit(fixture, 0, &write.submission);
   assert_int_equal(await(&write), KV_OK);
   assert_int_equal(set(fixture, "b", "v"), KV_OK); /* it has expired first */
   const struct kv_commit_statistics statistics = count_after_the_batch(fixture);
   assert_int_equal(statistics.expired, 2);
}

/* Else a step would copy a thousand of them. */
static void a_step_deletes_fewer_keys_where_it_keeps_their_values(void **state)
{
   struct fixture *fixture = *state;
   static char value[60000];
   enum { COUNT = 200, MOST = 32 /* of some MiB */ };
   kv_commit_keep_previous(fixture->commit, true);
   for (unsigned i = 0; i < COUNT; i++) {
      char key[16];
      snprintf(key, sizeof key, "%u", i);
      load_expired(fixture, kv_slice_of(key), kv_slice(value, sizeof value), i + 1);
   }
   set_targets(fixture, open_target(fixture, 0, "memory", NULL, 0), NULL);
   for (unsigned i = 0; i < COUNT; i++)
      await_within_patience(&fixture->expired);
   const struct kv_commit_statistics statistics = count_after_the_batch(fixture);
   for (size_t i = kv_histogram_bucket(KV_BATCH_SHAPE, MOST); i < KV_BATCH_BUCKETS; i++)
      assert_int_equal(statistics.buckets[i], 0);
}

static void no_key_is_deleted_for_its_time_once_that_was_stopped(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_target(fixture, 0, "memory", NULL, 0), NULL);
   const struct kv_terms soon = {.expiry = {KV_EXPIRY_AT, kv_clock_unix_ms() + 20}};
   struct write write;
   prepare_set(&write, "a", "v");
   write.operation.terms = &soon;
   submit(fixture, 0, &write.submission);
   kv_commit_stop_expiring(fixture->commit);
   assert_int_equal(await(&write), KV_OK);
   bool has_come;
   do {
      has_come = kv_clock_unix_ms() > soon.expiry.at_ms;
      assert_int_equal(set(fixture, "b", "v"), KV_OK); /* a batch deletes what is due */
   } while (!has_come);
   const struct kv_commit_statistics statistics = count_after_the_batch(fixture);
   assert_int_equal(statistics.expired, 0);
   assert_kept(fixture, 0, "a", "v");
}

static void replaced_entries_are_told_once_somebody_wants_them(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_target(fixture, 0, "memory", NULL, 0), NULL);
   assert_int_equal(set(fixture, "k", "1"), KV_OK);
   assert_int_equal(set(fixture, "k", "2"), KV_OK);
   assert_int_equal(atomic_load(&fixture->replaced), 0);
   kv_commit_keep_previous(fixture->commit, true);
   assert_int_equal(set(fixture, "k", "3"), KV_OK);
   assert_int_equal(set(fixture, "other", "3"), KV_OK);
   assert_int_equal(atomic_load(&fixture->replaced), 1);
}

/* The range has more keys than one step deletes, and the write does not wait for all of it. */
static void a_range_is_deleted_whole_or_until_nobody_wants_it(void **state)
{
   struct fixture *fixture = *state;
   set_targets(fixture, open_target(fixture, 0, "memory", NULL, 0), NULL);
   for (int wanted = 1; wanted >= 0; wanted--) {
      struct kv_transaction *loaded = kv_store_begin(fixture->store);
      uint64_t first = 0;
      struct kv_store_view *view = kv_store_view_create(fixture->store);
      first = kv_version_sequence(kv_store_view_version(view));
      kv_store_view_destroy(view);
      for (unsigned i = 0; i < 3000; i++) {
         char key[16];
         snprintf(key, sizeof key, "r%u", i);
         assert_true(
             kv_transaction_set(loaded, kv_slice_of(key), kv_slice_of("v"), 0, first + i + 1));
      }
      kv_transaction_commit(loaded, first + 3000);
      struct kv_arena arena;
      kv_arena_init(&arena);
      struct write range;
      prepare_set(&range, "r", "s");
      range.operation.kind = KV_OPERATION_DELETE_RANGE;
      range.submission.arena = &arena;
      range.submission.cancelled = wanted ? NULL : is_unwanted;
      submit(fixture, 0, &range.submission);
      assert_int_equal(await(&range), KV_OK);
      assert_int_equal(range.operation.number, wanted ? 3000 : 1000);
      assert_int_equal(range.operation.code, wanted ? KV_OK : KV_CANCELLED);
      assert_readable(fixture, "r0", NULL);
      kv_arena_reset(&arena);
   }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(writes_before_the_data_is_loaded_are_refused),
       TEST(what_is_acknowledged_is_readable_and_kept),
       TEST(a_batch_that_the_plugin_cannot_store_changes_nothing),
       TEST(after_a_failed_write_the_store_is_read_only_and_says_why),
       TEST(a_fresh_target_ends_read_only),
       TEST(lack_of_space_refuses_only_the_batch),
       TEST(a_standby_is_given_each_batch),
       TEST(what_the_active_plugin_refused_is_not_given_to_the_standby),
       TEST(a_failing_standby_costs_no_acknowledgement),
       TEST(one_submitters_writes_are_committed_in_its_order),
       TEST(what_a_turn_adds_is_one_batch_in_its_order),
       TEST(batches_are_counted_with_their_changes),
       TEST(a_standby_that_has_refused_a_batch_is_given_no_more),
       TEST(what_is_flushed_while_another_worker_commits_waits_for_nobody_else),
       TEST(no_write_is_lost_when_targets_change_under_many_threads),
       TEST(what_is_submitted_while_it_is_recorded_goes_to_the_promoted_one),
       TEST(after_a_record_that_failed_the_active_one_goes_on),
       TEST(after_a_record_in_doubt_no_write_is_accepted),
       TEST(destroy_commits_what_was_submitted),
       TEST(a_large_submission_is_committed_whole),
       TEST(one_that_fails_midway_says_how_much_of_it_was_committed),
       TEST(a_compound_that_fails_has_changed_nothing),
       TEST(a_repetition_is_answered_while_writes_are_refused),
       TEST(a_request_and_its_repetition_in_a_batch_that_fails_are_both_refused),
       TEST(keys_are_deleted_by_themselves_when_their_time_has_come),
       TEST(a_start_deletes_what_expired_meanwhile),
       TEST(a_clock_that_is_set_back_as_keys_expire_only_makes_them_stay),
       TEST(what_expires_is_counted_whoever_deletes_it_but_for_what_clients_do_not_see),
       TEST(a_step_deletes_fewer_keys_where_it_keeps_their_values),
       TEST(no_key_is_deleted_for_its_time_once_that_was_stopped),
       TEST(replaced_entries_are_told_once_somebody_wants_them),
       TEST(a_range_is_deleted_whole_or_until_nobody_wants_it),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
