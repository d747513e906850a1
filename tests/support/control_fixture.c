#include "tests/support/control_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct control_script control_script;

static void await(sem_t *semaphore)
{
   while (sem_wait(semaphore) != 0)
      assert_int_equal(errno, EINTR);
   sem_destroy(semaphore);
}

/* ---- The plug-in --------------------------------------------------------------------------- */

static int answer(int code, kvs_error *error)
{
   if (code != KVS_OK)
      snprintf(error->text, sizeof error->text, "told to fail");
   return code;
}

struct instance {
   const kvs_host *host;
   unsigned number; /* the first one is 1 */
};

static int open_scripted(const kvs_host *host, const kvs_setting *settings, size_t count,
                         void **self, kvs_error *error)
{
   struct instance *instance = malloc(sizeof *instance);
   (void)settings, (void)count;
   assert_non_null(instance);
   *instance = (struct instance){host, ++control_script.opens};
   *self = instance;
   if (instance->number == 1)
      control_script.first_host = host;
   int code = answer(control_script.open, error);
   if (code != KVS_OK)
      free(instance);
   return code;
}

static int load_until_stopped(const kvs_host *host, kvs_error *error)
{
   int code = KVS_OK;
   for (uint64_t sequence = 1; code == KVS_OK && sequence <= 2; sequence++) {
      const kvs_record record = {.sequence = sequence, .kind = KVS_SET, .key = {"k", 1}};
      code = host->load(host, &record, 1, error);
      control_script.records += code == KVS_OK;
      control_script.stop_wanted = true;
   }
   return code;
}

static int load_scripted(void *self, kvs_error *error)
{
   const kvs_host *host = ((const struct instance *)self)->host;
   if (host->resumed && control_script.stop_in_load)
      return load_until_stopped(host, error);
   if (host->resumed && control_script.loaded_to > 0)
      host->loaded_to(host, control_script.loaded_to);
   return answer(control_script.load, error);
}

static int write_scripted(void *self, const kvs_record *records, size_t count, uint32_t flags,
                          kvs_error *error)
{
   const struct instance *instance = self;
   (void)records, (void)count;
   control_script.writes++;
   if (instance->number == control_script.chosen) {
      control_script.chosen_writes++;
      control_script.chosen_flags = flags;
      return answer(control_script.chosen_write, error);
   }
   return answer(control_script.write, error);
}

static int tick_scripted(void *self, const kvs_tick *tick, kvs_error *error)
{
   const kvs_host *host = ((const struct instance *)self)->host;
   if (tick->reason == KVS_TICK_PERIODIC) {
      control_script.ticks++;
      return answer(control_script.tick, error);
   }
   if (tick->reason == KVS_TICK_SHUTDOWN)
      control_script.shutdowns++;
   else
      control_script.checkpoints++;
   if (control_script.in_checkpoint)
      control_script.in_checkpoint();
   kvs_record record;
   control_script.awaited = host->awaited(host);
   control_script.entries = 0;
   while (host->view_read(tick->view, &record, 1) == 1)
      control_script.entries++;
   host->saved(host, tick->view_sequence);
   if (tick->reason == KVS_TICK_CHECKPOINT &&
       control_script.checkpoints == control_script.failing_checkpoint)
      return answer(KVS_IO, error);
   return answer(control_script.checkpoint, error);
}

static void close_scripted(void *self)
{
   free(self);
   control_script.closes++;
}

static const kvs_option options[] = {{.name = "level",
                                      .type = KVS_OPTION_INTEGER,
                                      .default_value = "1",
                                      .minimum = 1,
                                      .maximum = 9,
                                      .help = "does nothing"}};

#define PLUGIN(the_name, the_promise)                                                              \
   {                                                                                               \
      .size = sizeof(kvs_plugin), .abi_major = KVS_ABI_MAJOR, .abi_minor = KVS_ABI_MINOR,          \
      .name = the_name, .version = "1", .description = "does what the test says",                  \
      .promise = the_promise, .options = options, .option_count = 1, .open = open_scripted,        \
      .on_load = load_scripted, .on_write = write_scripted, .on_tick = tick_scripted,              \
      .close = close_scripted                                                                      \
   }

static const kvs_plugin scripted[] = {PLUGIN("scripted", KVS_DURABLE),
                                      PLUGIN("periodic", KVS_PERIODIC),
                                      PLUGIN("volatile", KVS_VOLATILE)};

enum kv_code __wrap_kv_plugin_library_find(struct kv_plugin_library *library, const char *name,
                                           const kvs_plugin **plugin, struct kv_status *status);
enum kv_code __wrap_kv_plugin_library_find(struct kv_plugin_library *library, const char *name,
                                           const kvs_plugin **plugin, struct kv_status *status)
{
   (void)library;
   for (size_t i = 0; i < sizeof scripted / sizeof scripted[0]; i++)
      if (strcmp(scripted[i].name, name) == 0) {
         *plugin = &scripted[i];
         return KV_OK;
      }
   return kv_fail(status, KV_NOT_FOUND, "the test has no plug-in %s", name);
}

/* ---- Clock and disk ------------------------------------------------------------------------ */

/* Far ahead of the real one, so that no deadline is reached while a thread sleeps. */
static atomic_uint_least64_t now_ms;

uint64_t __wrap_kv_clock_monotonic_ms(void);
uint64_t __wrap_kv_clock_monotonic_ms(void)
{
   return now_ms;
}

static atomic_uint failing_syncs;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
   struct stat info;
   if (failing_syncs > 0 && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
      failing_syncs--;
      errno = EIO;
      return -1;
   }
   return __real_fsync(fd);
}

void control_fixture_fail_directory_syncs(unsigned count)
{
   failing_syncs = count;
}

/* ---- Life ---------------------------------------------------------------------------------- */

static void note_writable(void *context, bool writable)
{
   struct control_fixture *fixture = context;
   fixture->writable = writable;
}

static void make_directory(const struct control_fixture *fixture, const char *name,
                           char path[TEMPORARY_PATH_SIZE])
{
   assert_int_equal(mkdir(temporary_path(&fixture->folder, name, path), 0700), 0);
}

static void do_nothing(struct control_fixture *fixture, void *context)
{
   (void)fixture, (void)context;
}

static bool stop_wanted(void *context)
{
   (void)context;
   return control_script.stop_wanted;
}

/* With a store of its own, as a process that starts. */
static void create_control(struct control_fixture *fixture)
{
   const struct kv_commit_options commit_options = {.workers = 1};
   fixture->store = kv_store_create();
   fixture->commit = kv_commit_create(fixture->store, &commit_options, &fixture->status);
   const struct kv_control_config config = {.directory = fixture->directory,
                                            .library = fixture->library,
                                            .store = fixture->store,
                                            .commit = fixture->commit,
                                            .observer = {.context = fixture,
                                                         .writable_changed = note_writable,
                                                         .stop_wanted = stop_wanted}};
   fixture->control = kv_control_create(&config, &fixture->status);
}

static void destroy_control(struct control_fixture *fixture)
{
   kv_control_destroy(fixture->control);
   kv_commit_destroy(fixture->commit);
   kv_store_destroy(fixture->store);
}

enum kv_code control_fixture_restart(struct control_fixture *fixture)
{
   return control_fixture_restart_as(fixture, &(struct kv_control_request){.plugin = NULL});
}

enum kv_code control_fixture_restart_as(struct control_fixture *fixture,
                                        const struct kv_control_request *choice)
{
   control_fixture_stop(fixture);
   destroy_control(fixture);
   create_control(fixture);
   enum kv_code code = kv_control_start(fixture->control, choice, &fixture->status);
   fixture->stopped = code != KV_OK;
   return code;
}

int control_fixture_set_up(void **state)
{
   struct control_fixture *fixture = calloc(1, sizeof *fixture);
   char data[TEMPORARY_PATH_SIZE], plugins[TEMPORARY_PATH_SIZE];
   struct timespec real;
   assert_non_null(fixture);
   memset(&control_script, 0, sizeof control_script);
   failing_syncs = 0;
   clock_gettime(CLOCK_MONOTONIC, &real);
   now_ms = (uint64_t)real.tv_sec * 1000 + UINT64_C(1000000000);
   temporary_create(&fixture->folder);
   make_directory(fixture, "data", data);
   make_directory(fixture, "plugins", plugins);
   struct kv_status *status = &fixture->status;
   assert_int_equal(kv_data_directory_open(data, &fixture->directory, status), KV_OK);
   fixture->library = kv_plugin_library_create(plugins, status);
   create_control(fixture);
   fixture->writable = true;
   const struct kv_control_request choice = {.plugin = "scripted"};
   assert_int_equal(kv_control_start(fixture->control, &choice, status), KV_OK);
   /* The thread has looked at the clock once it has run something. */
   control_fixture_run(fixture, do_nothing, NULL);
   *state = fixture;
   return 0;
}

enum kv_code control_fixture_stop(struct control_fixture *fixture)
{
   if (fixture->stopped)
      return KV_OK;
   fixture->stopped = true;
   return kv_control_stop(fixture->control, &fixture->status);
}

int control_fixture_tear_down(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.in_checkpoint = NULL;
   control_script.checkpoint = KVS_OK;
   failing_syncs = 0;
   control_fixture_stop(fixture);
   destroy_control(fixture);
   kv_plugin_library_destroy(fixture->library);
   kv_data_directory_close(fixture->directory);
   temporary_remove(&fixture->folder);
   free(fixture);
   return 0;
}

/* ---- The control thread -------------------------------------------------------------------- */

struct act {
   struct kv_control_task task;
   struct control_fixture *fixture;
   void (*act)(struct control_fixture *fixture, void *context);
   void *context;
   sem_t done;
};

static void run_act(struct kv_control_task *task)
{
   struct act *act = (struct act *)task;
   act->act(act->fixture, act->context);
   sem_post(&act->done);
}

static void post(struct control_fixture *fixture,
                 void (*run)(struct control_fixture *fixture, void *context), void *context)
{
   struct act act = {.task = {.run = run_act}, .fixture = fixture, .act = run, .context = context};
   sem_init(&act.done, 0, 0);
   kv_control_post(fixture->control, &act.task);
   await(&act.done);
}

void control_fixture_run(struct control_fixture *fixture,
                         void (*act)(struct control_fixture *fixture, void *context), void *context)
{
   post(fixture, act, context);
   /* The thread comes to the next task when it has done what was due beside the last one. */
   post(fixture, do_nothing, NULL);
}

void control_fixture_advance(struct control_fixture *fixture, uint64_t ms)
{
   now_ms += ms;
   control_fixture_run(fixture, do_nothing, NULL);
}

/* ---- Calls --------------------------------------------------------------------------------- */

struct write {
   struct kv_submission submission;
   enum kv_code code;
   sem_t done;
};

static void note_done(struct kv_submission *submission, const struct kv_status *status)
{
   struct write *write = (struct write *)submission;
   write->code = status ? status->code : KV_OK;
   sem_post(&write->done);
}

static enum kv_code submit(struct control_fixture *fixture, struct kv_operation *operation)
{
   struct write write = {.submission = {.operations = operation, .count = 1, .done = note_done}};
   sem_init(&write.done, 0, 0);
   kv_commit_add(fixture->commit, 0, &write.submission);
   kv_commit_flush(fixture->commit, 0);
   await(&write.done);
   return write.code;
}

enum kv_code control_fixture_set(struct control_fixture *fixture, const char *key,
                                 const char *value)
{
   struct kv_operation operation = {
       .kind = KV_OPERATION_SET, .key = kv_slice_of(key), .value = kv_slice_of(value)};
   return submit(fixture, &operation);
}

enum kv_code control_fixture_delete(struct control_fixture *fixture, const char *key)
{
   struct kv_operation operation = {.kind = KV_OPERATION_DELETE, .key = kv_slice_of(key)};
   return submit(fixture, &operation);
}

struct configuring {
   const char *plugin, *level;
   enum kv_code code;
};

static void configure(struct control_fixture *fixture, void *context)
{
   struct configuring *configuring = context;
   const struct kv_mode_option option = {"level", (char *)(uintptr_t)configuring->level};
   const struct kv_control_request request = {configuring->plugin, &option, 1};
   configuring->code = kv_control_configure(fixture->control, &request, &fixture->status);
}

enum kv_code control_fixture_configure(struct control_fixture *fixture, const char *level)
{
   return control_fixture_configure_to(fixture, "scripted", level);
}

enum kv_code control_fixture_configure_to(struct control_fixture *fixture, const char *plugin,
                                          const char *level)
{
   struct configuring configuring = {.plugin = plugin, .level = level};
   control_fixture_run(fixture, configure, &configuring);
   return configuring.code;
}

struct saving {
   uint64_t *sequence;
   enum kv_code code;
};

static void save(struct control_fixture *fixture, void *context)
{
   struct saving *saving = context;
   saving->code = kv_control_save(fixture->control, saving->sequence, &fixture->status);
}

enum kv_code control_fixture_save(struct control_fixture *fixture, uint64_t *sequence)
{
   struct saving saving = {.sequence = sequence};
   control_fixture_run(fixture, save, &saving);
   return saving.code;
}

struct shadowing {
   struct kv_shadow_request request;
   struct control_shadow result;
   sem_t done;
};

static bool is_never_cancelled(struct kv_shadow_request *request)
{
   (void)request;
   return false;
}

static void note_report(struct kv_shadow_request *request, const struct kv_shadow_report *report,
                        const struct kv_status *status)
{
   struct shadowing *shadowing = (struct shadowing *)request;
   (void)status;
   shadowing->result.outcome = report ? report->outcome : KV_SHADOW_FAILED;
   shadowing->result.records = report ? report->records : 0;
   sem_post(&shadowing->done);
}

static void begin_shadow(struct control_fixture *fixture, void *context)
{
   kv_control_shadow(fixture->control, context);
}

struct control_shadow control_fixture_shadow(struct control_fixture *fixture)
{
   struct shadowing shadowing = {.request = {.plugin = {.plugin = "scripted"},
                                             .is_cancelled = is_never_cancelled,
                                             .done = note_report}};
   sem_init(&shadowing.done, 0, 0);
   control_fixture_run(fixture, begin_shadow, &shadowing.request);
   await(&shadowing.done);
   return shadowing.result;
}

/* ---- What there is ------------------------------------------------------------------------- */

bool control_fixture_has_generation(const struct control_fixture *fixture, unsigned number)
{
   char name[64];
   snprintf(name, sizeof name, "data/gen-%06u", number);
   return temporary_has(&fixture->folder, name);
}

static void note_generation(void *context, const struct kv_control_state *state)
{
   *(uint64_t *)context = state->generation;
}

uint64_t control_fixture_generation(struct control_fixture *fixture)
{
   uint64_t generation = 0;
   kv_control_inspect(fixture->control, note_generation, &generation);
   return generation;
}

static void note_last_save(void *context, const struct kv_control_state *state)
{
   *(uint64_t *)context = state->last_save_sequence;
}

uint64_t control_fixture_last_save(struct control_fixture *fixture)
{
   uint64_t sequence = 0;
   kv_control_inspect(fixture->control, note_last_save, &sequence);
   return sequence;
}
