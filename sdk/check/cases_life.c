/* Descriptor, options, instances, and what they leave behind. */
#include "sdk/check/cases.h"
#include "sdk/check/driver.h"
#include "sdk/check/spy.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* check_run has had the server's own code accept file and descriptor. */
void case_descriptor(const struct check_subject *subject)
{
   const kvs_plugin *plugin = subject->plugin;
   if (plugin->flags & ~(KVS_PLUGIN_PROMPT | KVS_PLUGIN_COPIES | KVS_PLUGIN_VERSIONS))
      check_fail("its flags 0x%x are not all known to ABI %d.%d", plugin->flags, KVS_ABI_MAJOR,
                 KVS_ABI_MINOR);
   if (plugin->version[0] == '\0' || plugin->description[0] == '\0')
      check_fail("its version or description is empty; people read them in the list of plug-ins");
   for (size_t i = 0; i < plugin->option_count; i++) {
      const kvs_option *option = &plugin->options[i];
      if (!option->help || option->help[0] == '\0')
         check_fail("its option %s has no help", option->name);
      if (option->reserved != 0)
         check_fail("its option %s does not have 0 in the reserved field", option->name);
   }
}

/* ---- Options ------------------------------------------------------------------------------- */

/* The subject with one more option, which takes the place of one given by the user. */
static struct check_subject with_option(const struct check_subject *subject, const char *name,
                                        const char *value)
{
   struct check_subject changed = *subject;
   size_t at = 0;
   while (at < changed.option_count && strcmp(changed.options[at].name, name) != 0)
      at++;
   if (at == KV_OPTION_COUNT_MAX)
      check_broken("too many options");
   changed.options[at] = (struct kv_mode_option){name, value};
   if (at == changed.option_count)
      changed.option_count++;
   return changed;
}

/* The instance opens with the value and keeps a record, or refuses the value as INVALID with a
 * reason: options may exclude each other. */
static void try_value(const struct check_subject *subject, const char *name, const char *value)
{
   static unsigned count;
   char directory[32];
   struct check_subject changed = with_option(subject, name, value);
   struct driver driver = {.subject = &changed};
   struct kv_status status;
   snprintf(directory, sizeof directory, "option-%u", ++count);
   driver_make_directory(subject, directory, driver.directory);
   check_context(" with option %s=%s", name, value);
   enum kv_code code = driver_try_open(&driver, &status);
   if (code != KV_OK && (code != KV_INVALID_ARGUMENT || strstr(status.text, "gave no reason")))
      check_fail("with option %s=%s it must work, or refuse with KVS_INVALID and a reason: %s",
                 name, value, status.text);
   if (code != KV_OK)
      return;
   driver_set(&driver, "a", "1");
   if (subject->plugin->promise != KVS_VOLATILE)
      driver_reload(&driver);
   driver_end(&driver);
}

static void refuse_value(const struct check_subject *subject, const char *name, const char *value)
{
   struct check_subject changed = with_option(subject, name, value);
   struct kv_settings *settings;
   struct kv_status status;
   if (kv_settings_create(changed.plugin, changed.options, changed.option_count, &settings,
                          &status) == KV_OK)
      check_fail("the server takes the option %s=%s, which its declaration rules out", name, value);
}

static void check_number(const struct check_subject *subject, const kvs_option *option)
{
   char text[32];
   const int64_t bounds[] = {option->minimum, option->maximum};
   for (size_t i = 0; i < 2; i++) {
      snprintf(text, sizeof text, "%" PRId64, bounds[i]);
      try_value(subject, option->name, text);
   }
   if (option->minimum > INT64_MIN) {
      snprintf(text, sizeof text, "%" PRId64, option->minimum - 1);
      refuse_value(subject, option->name, text);
   }
   if (option->maximum < INT64_MAX) {
      snprintf(text, sizeof text, "%" PRId64, option->maximum + 1);
      refuse_value(subject, option->name, text);
   }
   refuse_value(subject, option->name, "many");
}

static void check_choices(const struct check_subject *subject, const kvs_option *option)
{
   char *choices = strdup(option->choices), *rest = choices;
   if (!choices)
      check_broken("no memory for the choices");
   for (char *word = strsep(&rest, "|"); word; word = strsep(&rest, "|"))
      try_value(subject, option->name, word);
   free(choices);
   refuse_value(subject, option->name, "no such choice");
}

void case_options(const struct check_subject *subject)
{
   for (size_t i = 0; i < subject->plugin->option_count; i++) {
      const kvs_option *option = &subject->plugin->options[i];
      if (option->type == KVS_OPTION_CHOICE)
         check_choices(subject, option);
      else if (option->type != KVS_OPTION_TEXT)
         check_number(subject, option);
   }
   refuse_value(subject, "no_such_option", "1");
   struct driver driver;
   driver_begin(&driver, subject, "defaults");
   driver_end(&driver);
}

/* ---- Instances ----------------------------------------------------------------------------- */

/* A fresh generation is loaded without a transaction: anything handed over is then an error. */
static void load_fresh(const struct driver *driver)
{
   uint64_t sequence;
   struct kv_status status;
   check_step("in on_load of an empty directory");
   if (kv_instance_load(driver->instance, NULL, &sequence, &status) != KV_OK)
      check_fail("on_load of an empty directory fails: %s", status.text);
   check_step("running");
}

void case_empty(const struct check_subject *subject)
{
   struct kv_settings *settings;
   struct kv_status status;
   struct driver driver = {.subject = subject};
   driver_make_directory(subject, "empty", driver.directory);
   for (int i = 0; i < 3; i++) {
      if (kv_settings_create(subject->plugin, subject->options, subject->option_count, &settings,
                             &status) != KV_OK)
         check_fail("%s", status.text);
      const struct kv_instance_config config = {.plugin = subject->plugin,
                                                .library = subject->library,
                                                .settings = settings,
                                                .directory = driver.directory};
      check_step("in open of an empty directory");
      if (kv_instance_open(&config, &driver.instance, &status) != KV_OK)
         check_fail("it does not open an empty directory: %s", status.text);
      load_fresh(&driver);
      driver_close(&driver);
   }
   struct kv_store *nothing = model_create();
   driver_open_and_compare(&driver, nothing, "opening an empty directory");
   driver_end(&driver);
   kv_store_destroy(nothing);
}

void case_instances(const struct check_subject *subject)
{
   struct driver one, two;
   driver_begin(&one, subject, "one");
   driver_begin(&two, subject, "two");
   for (int i = 0; i < 20; i++) {
      char key[16];
      snprintf(key, sizeof key, "key %d", i);
      driver_set(&one, key, "of one");
      if (i % 3 == 0)
         driver_set(&two, key, "of two");
   }
   driver_tick(&one, KVS_TICK_CHECKPOINT);
   driver_set(&two, "last", "of two");
   if (subject->plugin->promise != KVS_VOLATILE) {
      driver_reload(&one);
      driver_reload(&two);
   }
   driver_end(&one);
   driver_set(&two, "after", "one was closed");
   if (subject->plugin->promise != KVS_VOLATILE)
      driver_reload(&two);
   driver_end(&two);
}

/* ---- What is left behind ------------------------------------------------------------------- */

struct footprint {
   size_t memory, files, threads, maps;
};

static size_t count_entries(const char *path)
{
   size_t count = 0;
   DIR *listing = opendir(path);
   if (!listing)
      check_broken("cannot read %s: %s", path, strerror(errno));
   while (readdir(listing))
      count++;
   closedir(listing);
   return count;
}

static size_t count_maps(void)
{
   size_t count = 0;
   FILE *file = fopen("/proc/self/maps", "r");
   if (!file)
      check_broken("cannot read /proc/self/maps: %s", strerror(errno));
   for (int c; (c = getc(file)) != EOF;)
      count += c == '\n';
   fclose(file);
   return count;
}

static struct footprint measure(void)
{
   struct mallinfo2 info = mallinfo2();
   return (struct footprint){.memory = info.uordblks + info.hblkhd,
                             .files = count_entries("/proc/self/fd"),
                             .threads = count_entries("/proc/self/task"),
                             .maps = count_maps()};
}

/* A thread that was joined may not have left the kernel yet. */
static void await_threads(size_t threads)
{
   for (int i = 0; i < 200 && count_entries("/proc/self/task") > threads; i++)
      nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
   size_t left = count_entries("/proc/self/task");
   if (left > threads)
      check_fail("%zu of its threads still run after close returned", left - threads);
}

static void live_once(struct driver *driver, int i)
{
   char value[16];
   snprintf(value, sizeof value, "%d", i % 10);
   driver_open(driver);
   driver_set(driver, "again", value);
   driver_tick(driver, i % 2 == 0 ? KVS_TICK_CHECKPOINT : KVS_TICK_SHUTDOWN);
   driver_close(driver);
}

enum { WARM_UP = 20, ROUNDS = 100 };

void case_reopen(const struct check_subject *subject)
{
   size_t threads = count_entries("/proc/self/task");
   struct driver driver;
   driver_begin(&driver, subject, "reopen");
   driver_close(&driver);
   for (int i = 0; i < WARM_UP; i++)
      live_once(&driver, i);
   await_threads(threads);
   struct footprint before = measure();
   for (int i = 0; i < ROUNDS; i++)
      live_once(&driver, i);
   await_threads(threads);
   struct footprint after = measure();
   if (after.files > before.files)
      check_fail("after %d times open and close, %zu more files are open", ROUNDS,
                 after.files - before.files);
   /* The smallest piece of memory that can be lost is 16 bytes. */
   if (after.memory > before.memory && after.memory - before.memory >= (size_t)ROUNDS * 16)
      check_fail("after %d times open and close, %zu more bytes of memory are in use", ROUNDS,
                 after.memory - before.memory);
   if (after.maps > before.maps + ROUNDS / 4)
      check_fail("after %d times open and close, there are %zu more memory maps", ROUNDS,
                 after.maps - before.maps);
   driver_end(&driver);
}

void case_unload(const struct check_subject *subject)
{
   for (int i = 0; i < 10; i++) {
      check_step("unmapping its library before any instance");
      void *handle = dlopen(subject->file, RTLD_NOW | RTLD_LOCAL);
      if (!handle)
         check_fail("%s", dlerror());
      dlclose(handle);
   }
   struct driver driver;
   driver_begin(&driver, subject, "unload");
   driver_set(&driver, "a", "1");
   driver_tick(&driver, KVS_TICK_SHUTDOWN);
   driver_end(&driver);
   check_step("unmapping its library after the last instance was closed");
   /* The host runs a copy of the file, which the linker knows by another name. Once for each time
    * that it was mapped, the host's own included. */
   Dl_info loaded;
   if (!dladdr(subject->plugin, &loaded))
      check_broken("cannot find the library that is in use");
   void *handle;
   while ((handle = dlopen(loaded.dli_fname, RTLD_NOW | RTLD_NOLOAD))) {
      dlclose(handle);
      if (dlclose(handle) != 0)
         break;
      static int left = 10;
      if (left-- == 0) /* marked as never to be unmapped, which is its right */
         break;
   }
}

/* ---- Hosts of other versions --------------------------------------------------------------- */

static void live_with_host(const struct check_subject *subject, const char *name)
{
   struct driver driver;
   driver_begin(&driver, subject, name);
   for (int i = 0; i < 20; i++) {
      char key[16];
      snprintf(key, sizeof key, "key %d", i % 7);
      driver_set(&driver, key, i % 5 == 4 ? NULL : "value");
   }
   driver_tick(&driver, KVS_TICK_PERIODIC);
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   driver_set(&driver, "later", "value");
   if (subject->plugin->promise != KVS_VOLATILE)
      driver_reload(&driver);
   driver_tick(&driver, KVS_TICK_SHUTDOWN);
   driver_end(&driver);
}

/* The smallest host table that ABI 1 allows: using anything beyond it fails the case. And one of
 * today's size in which everything is NULL that may be. */
void case_older_host(const struct check_subject *subject)
{
   spy.bare_host = true;
   check_context(" with a host that leaves load_note and awaited NULL");
   live_with_host(subject, "bare");
   check_context("%s", "");
   spy.host_size = offsetof(kvs_host, saved);
   live_with_host(subject, "small");
}

/* A flag of a batch and a reason for a tick that this version does not have. */
static void use_later_constants(const struct check_subject *subject)
{
   struct driver driver;
   struct kv_status status;
   struct batch batch = {0};
   uint64_t sequence = 0;
   driver_begin(&driver, subject, "constants");
   driver_set(&driver, "first", "value");
   batch_add(&batch, &sequence, KVS_SET, "flagged", 7, "value", 5);
   if (driver_try_write(&driver, &batch, UINT32_C(1) << 30, &status) != KV_OK)
      check_fail("on_write refuses a batch for a flag that it does not know; it must pass over "
                 "it: %s",
                 status.text);
   batch_deinit(&batch);
   if (driver_try_tick(&driver, UINT32_C(1000), &status) != KV_OK)
      check_fail("on_tick fails for a reason that it does not know; it must return KVS_OK: %s",
                 status.text);
   driver_set(&driver, "after", "value");
   if (subject->plugin->promise != KVS_VOLATILE)
      driver_reload(&driver);
   driver_end(&driver);
}

void case_newer_host(const struct check_subject *subject)
{
   spy.host_size = sizeof(kvs_host) + 128;
   spy.host_minor = KVS_ABI_MINOR + 7;
   live_with_host(subject, "larger");
   use_later_constants(subject);
}
