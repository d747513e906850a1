#include "core/host/stack.h"

#include "core/host/settings.h"
#include "core/support/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_OF_MEMORY "out of memory for the options"

/* Settings that were handed out. */
struct held {
   struct held *next;
   struct kv_settings *settings;
};

struct kv_plugin_stack {
   kvs_stack extension; /* first: its functions get back from it to the whole */
   struct kv_plugin_library *library;
   const kvs_plugin *wrapper;
   const struct kv_inner *inner; /* NULL: there is none */
   struct held *held;
   unsigned found;
};

static struct kv_plugin_stack *stack_of(const kvs_stack *extension)
{
   return (struct kv_plugin_stack *)extension;
}

static int fail(kvs_error *error, const struct kv_status *status)
{
   kv_text_show(status->text, error->text, sizeof error->text);
   return status->code == KV_RESOURCE_EXHAUSTED ? KVS_NO_SPACE : KVS_INVALID;
}

/* ---- Finding ---- */

/* The names of those that a plug-in may stack on. */
struct choice {
   const kvs_plugin *wrapper;
   uint32_t promise;
   char text[256];
   size_t used;
};

static void add_choice(void *context, const char *name, const kvs_plugin *plugin, const char *error)
{
   struct choice *choice = context;
   (void)error;
   if (!plugin || strcmp(name, choice->wrapper->name) == 0 || plugin->promise < choice->promise ||
       choice->used >= sizeof choice->text)
      return;
   int size = snprintf(choice->text + choice->used, sizeof choice->text - choice->used, "%s%s",
                       choice->used > 0 ? ", " : "", name);
   choice->used += (size_t)size;
}

/* Refuses a plug-in that exists. */
static int refuse(const struct kv_plugin_stack *stack, const char *name, uint32_t promise,
                  const char *why, kvs_error *error)
{
   struct choice choice = {.wrapper = stack->wrapper, .promise = promise};
   kv_plugin_library_list(stack->library, add_choice, &choice);
   snprintf(error->text, sizeof error->text, "it cannot stack on plug-in %s, %s; it can on: %s",
            name, why, choice.used > 0 ? choice.text : "none of those here");
   return KVS_INVALID;
}

static int find(const kvs_stack *extension, const char *name, uint32_t promise,
                const kvs_plugin **plugin, kvs_error *error)
{
   static const char *const kept[] = {"nothing", "only the last checkpoint", "each write"};
   struct kv_plugin_stack *stack = stack_of(extension);
   struct kv_status status;
   const kvs_plugin *found;
   if (stack->inner) {
      stack->found++;
      *plugin = kv_inner_plugin();
      return KVS_OK;
   }
   if (kv_plugin_library_find(stack->library, name, &found, &status) != KV_OK)
      return fail(error, &status);
   if (strcmp(found->name, stack->wrapper->name) == 0)
      return refuse(stack, name, promise, "which is itself", error);
   if (found->promise < promise) {
      char why[128];
      snprintf(why, sizeof why, "which keeps %s where %s must be kept", kept[found->promise],
               kept[promise < KVS_DURABLE ? promise : KVS_DURABLE]);
      return refuse(stack, name, promise, why, error);
   }
   if (stack->found == KV_STACK_PLUGINS_MAX) {
      snprintf(error->text, sizeof error->text, "more than %d plug-ins under one %s; stack fewer",
               KV_STACK_PLUGINS_MAX, stack->wrapper->name);
      return KVS_INVALID;
   }
   stack->found++;
   *plugin = found;
   return KVS_OK;
}

/* ---- Settings ---- */

/* Splits `text` in place into at most KV_OPTION_COUNT_MAX options. */
static enum kv_code split(char *text, struct kv_mode_option *options, size_t *count,
                          struct kv_status *status)
{
   *count = 0;
   char *rest = *text == '\0' ? NULL : text;
   while (rest) {
      char *item = kv_text_next_item(&rest), *equals = strchr(item, '=');
      if (!equals || equals == item)
         return kv_fail(status, KV_INVALID_ARGUMENT,
                        "options are written as name=value,name=value; \"%.80s\" is not", item);
      if (*count == KV_OPTION_COUNT_MAX)
         return kv_fail(status, KV_INVALID_ARGUMENT, "more than %d options; no plug-in has as many",
                        KV_OPTION_COUNT_MAX);
      *equals = '\0';
      options[(*count)++] = (struct kv_mode_option){item, equals + 1};
   }
   return KV_OK;
}

static enum kv_code make_settings(const kvs_plugin *plugin, const char *text, struct held *held,
                                  struct kv_status *status)
{
   struct kv_mode_option options[KV_OPTION_COUNT_MAX];
   size_t count;
   char *copy = strdup(text);
   if (!copy)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, OUT_OF_MEMORY);
   enum kv_code code = split(copy, options, &count, status);
   if (code == KV_OK)
      code = kv_settings_create(plugin, options, count, &held->settings, status);
   free(copy);
   return code;
}

static int settings(const kvs_stack *extension, const kvs_plugin *plugin, const char *options,
                    const kvs_setting **array, size_t *count, kvs_error *error)
{
   struct kv_plugin_stack *stack = stack_of(extension);
   struct kv_status status;
   if (stack->inner)
      options = ""; /* they are those of another plug-in */
   struct held *held = malloc(sizeof *held);
   enum kv_code code = held ? make_settings(plugin, options, held, &status)
                            : kv_fail(&status, KV_RESOURCE_EXHAUSTED, OUT_OF_MEMORY);
   if (code != KV_OK) {
      free(held);
      return fail(error, &status);
   }
   held->next = stack->held;
   stack->held = held;
   *array = kv_settings_array(held->settings);
   *count = kv_settings_count(held->settings);
   return KVS_OK;
}

/* ---- Life ---- */

struct kv_plugin_stack *kv_plugin_stack_create(struct kv_plugin_library *library,
                                               const kvs_plugin *wrapper,
                                               const struct kv_inner *inner)
{
   struct kv_plugin_stack *stack = calloc(1, sizeof *stack);
   if (stack)
      *stack = (struct kv_plugin_stack){
          .extension = {.size = sizeof stack->extension, .find = find, .settings = settings},
          .library = library,
          .wrapper = wrapper,
          .inner = inner};
   return stack;
}

void kv_plugin_stack_destroy(struct kv_plugin_stack *stack)
{
   while (stack->held) {
      struct held *held = stack->held;
      stack->held = held->next;
      kv_settings_destroy(held->settings);
      free(held);
   }
   free(stack);
}

bool kv_plugin_stack_is_used(const struct kv_plugin_stack *stack)
{
   return stack->found > 0;
}

const kvs_stack *kv_plugin_stack_extension(const struct kv_plugin_stack *stack)
{
   return &stack->extension;
}

const struct kv_inner *kv_plugin_stack_inner(const kvs_stack *extension)
{
   return ((const struct kv_plugin_stack *)extension)->inner;
}
