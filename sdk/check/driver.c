#include "sdk/check/driver.h"

#include "sdk/check/spy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void driver_make_directory(const struct check_subject *subject, const char *name,
                           char path[CHECK_PATH_SIZE])
{
   int size = snprintf(path, CHECK_PATH_SIZE, "%s/%s", subject->workspace, name);
   if (size < 0 || size >= CHECK_PATH_SIZE || mkdir(path, 0700) != 0)
      check_broken("cannot make the directory %s: %s", name, strerror(errno));
}

static void init(struct driver *driver, const struct check_subject *subject)
{
   *driver = (struct driver){.subject = subject};
   for (size_t i = 0; i < sizeof driver->store_id; i++)
      driver->store_id[i] = (uint8_t)(0x5a + i);
}

void driver_begin(struct driver *driver, const struct check_subject *subject, const char *name)
{
   init(driver, subject);
   driver_make_directory(subject, name, driver->directory);
   driver_open(driver);
}

void driver_begin_observed(struct driver *driver, const struct check_subject *subject,
                           const char *name)
{
   const struct kv_instance_observer *observer = driver->observer;
   init(driver, subject);
   driver->observer = observer;
   driver_make_directory(subject, name, driver->directory);
   driver_open(driver);
}

void driver_begin_over(struct driver *driver, const struct check_subject *subject,
                       const char *directory, bool resumed)
{
   init(driver, subject);
   driver->resumed = resumed;
   snprintf(driver->directory, sizeof driver->directory, "%s", directory);
   driver_open(driver);
}

void driver_end(struct driver *driver)
{
   if (driver->instance)
      driver_close(driver);
   kv_store_destroy(driver->store);
   driver->store = NULL;
}

/* ---- Opening ------------------------------------------------------------------------------- */

static struct kv_settings *make_settings(const struct check_subject *subject)
{
   struct kv_settings *settings;
   struct kv_status status;
   if (kv_settings_create(subject->plugin, subject->options, subject->option_count, &settings,
                          &status) != KV_OK)
      check_fail("%s", status.text);
   return settings;
}

static enum kv_code open_instance(struct driver *driver, struct kv_status *status)
{
   struct kv_instance_config config = {
       .plugin = spy_stand_in(driver->subject->plugin),
       .library = driver->subject->library,
       .settings = make_settings(driver->subject),
       .directory = driver->directory,
       .resumed = driver->resumed,
   };
   if (driver->observer)
      config.observer = *driver->observer;
   memcpy(config.store_id, driver->store_id, sizeof config.store_id);
   check_step("in open");
   return kv_instance_open(&config, &driver->instance, status);
}

static enum kv_code load(struct driver *driver, struct kv_store *store, struct kv_status *status)
{
   struct kv_transaction *transaction = kv_store_begin(store);
   if (!transaction)
      check_broken("no memory for a transaction");
   uint64_t sequence;
   check_step("in on_load");
   enum kv_code code = kv_instance_load(driver->instance, transaction, &sequence, status);
   if (code == KV_OK)
      kv_transaction_commit(transaction, sequence);
   else
      kv_transaction_abort(transaction);
   return code;
}

enum kv_code driver_try_open(struct driver *driver, struct kv_status *status)
{
   struct kv_store *store = model_create();
   enum kv_code code = open_instance(driver, status);
   if (code == KV_OK) {
      code = load(driver, store, status);
      if (code != KV_OK)
         driver_close(driver);
   }
   if (code != KV_OK) {
      kv_store_destroy(store);
      return code;
   }
   if (driver->store)
      kv_store_destroy(driver->store);
   driver->store = store;
   driver->resumed = true;
   check_step("running");
   return KV_OK;
}

void driver_open(struct driver *driver)
{
   struct kv_status status;
   if (driver_try_open(driver, &status) != KV_OK)
      check_fail("it does not open its directory: %s", status.text);
}

void driver_close(struct driver *driver)
{
   check_step("in close");
   kv_instance_close(driver->instance);
   driver->instance = NULL;
   check_step("running");
}

/* ---- Writing and ticking ------------------------------------------------------------------- */

static enum kv_code take(struct driver *driver, struct batch *batch, uint32_t flags,
                         struct kv_status *status)
{
   uint64_t sequence = model_sequence(driver->store);
   for (size_t i = 0; i < batch->count; i++)
      batch->records[i].sequence = ++sequence;
   check_step("in on_write");
   enum kv_code code =
       kv_instance_write(driver->instance, batch->records, batch->count, flags, status);
   check_step("running");
   return code;
}

enum kv_code driver_try_write(struct driver *driver, struct batch *batch, uint32_t flags,
                              struct kv_status *status)
{
   enum kv_code code = take(driver, batch, flags, status);
   if (code == KV_OK)
      driver_publish(driver, batch);
   return code;
}

void driver_take(struct driver *driver, struct batch *batch)
{
   struct kv_status status;
   if (take(driver, batch, 0, &status) != KV_OK)
      check_fail("on_write refuses a batch of %zu records: %s", batch->count, status.text);
}

void driver_publish(struct driver *driver, const struct batch *batch)
{
   model_apply(driver->store, batch->records, batch->count);
}

void driver_write(struct driver *driver, struct batch *batch)
{
   driver_take(driver, batch);
   driver_publish(driver, batch);
}

void driver_set(struct driver *driver, const char *key, const char *value)
{
   struct batch batch = {0};
   uint64_t sequence = 0;
   batch_add(&batch, &sequence, value ? KVS_SET : KVS_DELETE, key, strlen(key), value,
             value ? strlen(value) : 0);
   driver_write(driver, &batch);
   batch_deinit(&batch);
}

struct kv_store_view *driver_view(struct driver *driver)
{
   struct kv_store_view *view = kv_store_view_create(driver->store);
   if (!view)
      check_broken("no memory for a view");
   return view;
}

static const char *name_of(uint32_t reason)
{
   static const char *const names[] = {"KVS_TICK_PERIODIC", "KVS_TICK_CHECKPOINT",
                                       "KVS_TICK_SHUTDOWN"};
   return reason >= KVS_TICK_PERIODIC && reason <= KVS_TICK_SHUTDOWN
              ? names[reason - KVS_TICK_PERIODIC]
              : "that it does not know";
}

static enum kv_code tick(struct driver *driver, uint32_t reason, const struct kv_store_view *view,
                         struct kv_status *status)
{
   check_step("in on_tick, reason %s", name_of(reason));
   enum kv_code code = kv_instance_tick(driver->instance, reason, view, status);
   check_step("running");
   return code;
}

enum kv_code driver_try_tick(struct driver *driver, uint32_t reason, struct kv_status *status)
{
   struct kv_store_view *view = driver_view(driver);
   enum kv_code code = tick(driver, reason, view, status);
   kv_store_view_destroy(view);
   return code;
}

void driver_tick_view(struct driver *driver, uint32_t reason, const struct kv_store_view *view)
{
   struct kv_status status;
   if (tick(driver, reason, view, &status) != KV_OK)
      check_fail("on_tick fails, reason %s: %s", name_of(reason), status.text);
}

void driver_tick(struct driver *driver, uint32_t reason)
{
   struct kv_store_view *view = driver_view(driver);
   driver_tick_view(driver, reason, view);
   kv_store_view_destroy(view);
}

/* ---- Reading back -------------------------------------------------------------------------- */

void driver_open_and_compare(struct driver *driver, struct kv_store *expected, const char *what)
{
   char difference[512];
   driver_open(driver);
   if (!model_equal(driver->subject->plugin, expected, driver->store, difference,
                    sizeof difference))
      check_fail("after %s: %s", what, difference);
   uint64_t sequence = model_sequence(driver->store), must = model_sequence(expected);
   if (sequence != must)
      check_fail("after %s it declares sequence %" PRIu64 ", and the last acknowledged one is "
                 "%" PRIu64 "; keep it, and report it with host->loaded_to",
                 what, sequence, must);
}

void driver_reload(struct driver *driver)
{
   if (driver->subject->plugin->promise != KVS_DURABLE)
      driver_tick(driver, KVS_TICK_CHECKPOINT);
   driver_close(driver);
   struct kv_store *expected = driver->store;
   driver->store = NULL;
   driver_open_and_compare(driver, expected,
                           driver->subject->plugin->promise == KVS_DURABLE
                               ? "a restart"
                               : "a checkpoint and a restart");
   kv_store_destroy(expected);
}
