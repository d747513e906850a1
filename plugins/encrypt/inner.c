#include "plugins/encrypt/inner.h"

#include "plugins/encrypt/view.h"
#include "storage/file.h"
#include "storage/folder.h"
#include "storage/key_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_SIZE 2048

struct inner {
   kvs_host host; /* first: its functions get back from it to the whole */
   const kvs_host *outer;
   const kvs_plugin *plugin;
   void *self; /* the inner plug-in's */
   char *directory;
   struct opening *opening; /* while on_load runs */
};

static const kvs_host *outer_of(const kvs_host *host)
{
   return ((const struct inner *)host)->outer;
}

/* ---- The host that it sees ---- */

static int host_load(const kvs_host *host, const kvs_record *records, size_t count,
                     kvs_error *error)
{
   const struct inner *inner = (const struct inner *)host;
   if (!inner->opening)
      return storage_fail(error, KVS_INVALID, "records outside of on_load");
   return opening_load(inner->opening, records, count, error);
}

static void host_loaded_to(const kvs_host *host, uint64_t sequence)
{
   const struct inner *inner = (const struct inner *)host;
   if (inner->opening)
      opening_loaded_to(inner->opening, sequence);
}

static void host_log(const kvs_host *host, uint32_t level, const char *message)
{
   char text[TEXT_SIZE];
   snprintf(text, sizeof text, "%s: %s", ((const struct inner *)host)->plugin->name, message);
   outer_of(host)->log(outer_of(host), level, text);
}

static void host_wake(const kvs_host *host)
{
   outer_of(host)->wake(outer_of(host));
}

/* Only what is known to show no plain data: a later extension may deal in keys and values. */
static const void *host_extension(const kvs_host *host, const char *name)
{
   const bool shown = strcmp(name, KVS_EXTENSION_STACK) == 0 ||
                      strcmp(name, KVS_EXTENSION_SYNCS) == 0 ||
                      strcmp(name, KVS_EXTENSION_HISTORY) == 0;
   return shown ? outer_of(host)->extension(outer_of(host), name) : NULL;
}

static void host_saved(const kvs_host *host, uint64_t sequence)
{
   outer_of(host)->saved(outer_of(host), sequence);
}

static void host_load_note(const kvs_host *host, const kvs_load_note *note)
{
   char file[TEXT_SIZE];
   kvs_load_note outer = {0};
   memcpy(&outer, note, note->size < sizeof outer ? note->size : sizeof outer);
   outer.size = sizeof outer;
   if (outer.file) {
      snprintf(file, sizeof file, STORAGE_INNER_DIRECTORY "/%s", outer.file);
      outer.file = file;
   }
   outer_of(host)->load_note(outer_of(host), &outer);
}

static uint32_t host_awaited(const kvs_host *host)
{
   return outer_of(host)->awaited(outer_of(host));
}

/* The fields that are passed on here. What a later header adds must not get through as it is: its
 * functions would be called with the inner table. */
#define KNOWN_SIZE (offsetof(kvs_host, awaited) + sizeof((const kvs_host *)NULL)->awaited)

/* No more than the real host has, and than is known here. */
static void fill_host(struct inner *inner)
{
   const kvs_host *outer = inner->outer;
   kvs_host *host = &inner->host;
   size_t size = outer->size < KNOWN_SIZE ? outer->size : KNOWN_SIZE;
   memcpy(host, outer, size);
   host->size = (uint32_t)size;
   host->abi_minor = outer->abi_minor < KVS_ABI_MINOR ? outer->abi_minor : KVS_ABI_MINOR;
   host->directory = inner->directory;
   host->load = host_load;
   host->loaded_to = host_loaded_to;
   host->view_read = view_read;
   host->log = host_log;
   host->wake = host_wake;
   host->extension = host_extension;
   if (host->saved)
      host->saved = host_saved;
   if (host->load_note)
      host->load_note = host_load_note;
   if (host->awaited)
      host->awaited = host_awaited;
}

/* ---- Life ---- */

/* Puts the name of the inner plug-in before the text. */
static int name_failure(const struct inner *inner, int code, kvs_error *error)
{
   if (code == KVS_OK)
      return code;
   kvs_error own = *error;
   own.text[sizeof own.text - 1] = '\0';
   return storage_fail(error, code, "inner plug-in %.64s: %s", inner->plugin->name, own.text);
}

static int open_plugin(struct inner *inner, const kvs_stack *stack, const char *options,
                       kvs_error *error)
{
   const kvs_setting *settings;
   size_t count;
   int code = stack->settings(stack, inner->plugin, options, &settings, &count, error);
   if (code != KVS_OK) {
      kvs_error own = *error;
      return storage_fail(error, code, "inner_options: %.480s", own.text);
   }
   struct storage_folder folder;
   code = storage_folder_make(inner->outer, STORAGE_INNER_DIRECTORY, &folder, error);
   if (code != KVS_OK)
      return code;
   storage_folder_close(&folder);
   code = inner->plugin->open(&inner->host, settings, count, &inner->self, error);
   return name_failure(inner, code, error);
}

int inner_open(const kvs_host *host, const char *name, const char *options, struct inner **inner,
               kvs_error *error)
{
   const kvs_stack *stack = host->extension(host, KVS_EXTENSION_STACK);
   if (!stack)
      return storage_fail(error, KVS_INVALID,
                          "this server does not support plug-ins over others (%s); use a newer one",
                          KVS_EXTENSION_STACK);
   const kvs_plugin *plugin;
   int code = stack->find(stack, name, KVS_DURABLE, &plugin, error);
   if (code != KVS_OK)
      return code;
   struct inner *opened = calloc(1, sizeof *opened);
   if (!opened ||
       asprintf(&opened->directory, "%s/" STORAGE_INNER_DIRECTORY, host->directory) < 0) {
      free(opened);
      return storage_fail(error, KVS_NO_SPACE, "no memory");
   }
   opened->outer = host;
   opened->plugin = plugin;
   fill_host(opened);
   code = open_plugin(opened, stack, options, error);
   if (code != KVS_OK) {
      free(opened->directory);
      free(opened);
      return code;
   }
   *inner = opened;
   return KVS_OK;
}

void inner_close(struct inner *inner)
{
   inner->plugin->close(inner->self);
   free(inner->directory);
   free(inner);
}

const kvs_plugin *inner_plugin(const struct inner *inner)
{
   return inner->plugin;
}

/* ---- Hooks: a durable plug-in has them all ---- */

int inner_load(struct inner *inner, struct opening *opening, kvs_error *error)
{
   inner->opening = opening;
   int code = inner->plugin->on_load(inner->self, error);
   inner->opening = NULL;
   return opening_finish(opening, name_failure(inner, code, error), error);
}

int inner_write(struct inner *inner, const kvs_record *records, size_t count, uint32_t flags,
                kvs_error *error)
{
   int code = inner->plugin->on_write(inner->self, records, count, flags, error);
   return name_failure(inner, code, error);
}

int inner_tick(struct inner *inner, const kvs_tick *tick, kvs_error *error)
{
   return name_failure(inner, inner->plugin->on_tick(inner->self, tick, error), error);
}
