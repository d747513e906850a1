/* ListPlugins: what this server can load. */
#include "core/service/admin/admin.h"

#include <string.h>

/* Further plug-ins are not listed: a directory with so many files is not one of plug-ins. */
#define LISTED_MAX 256
#define CHOICES_MAX 64

struct listing {
   struct kv_admin admin; /* first */
   struct kv_builder builder;
   const kvs_plugin *active;
   size_t count;
   Kvstore__V1__Plugin *plugins[LISTED_MAX];
};

/* Splits "a|b|c": the parts point into the descriptor's text. */
static void fill_choices(struct kv_builder *builder, Kvstore__V1__Plugin__Option *option,
                         const char *choices)
{
   option->choices = kv_build_array(builder, CHOICES_MAX * sizeof *option->choices);
   while (option->choices && option->n_choices < CHOICES_MAX) {
      size_t size = strcspn(choices, "|");
      option->choices[option->n_choices++] = kv_message_bytes(kv_slice(choices, size));
      if (choices[size] == '\0')
         return;
      choices += size + 1;
   }
}

static void describe_option(struct kv_builder *builder, Kvstore__V1__Plugin__Option *option,
                            const kvs_option *declared)
{
   static const char *const types[] = {
       [KVS_OPTION_INTEGER] = "integer",
       [KVS_OPTION_SIZE] = "size",
       [KVS_OPTION_CHOICE] = "choice",
       [KVS_OPTION_TEXT] = "text",
   };
   option->name = kv_message_text(declared->name);
   option->type = kv_message_text(types[declared->type]);
   option->default_value = kv_message_text(declared->default_value);
   option->minimum = declared->minimum;
   option->maximum = declared->maximum;
   option->help = kv_message_text(declared->help);
   if (declared->type == KVS_OPTION_CHOICE)
      fill_choices(builder, option, declared->choices);
}

static void describe(struct listing *listing, Kvstore__V1__Plugin *entry, const kvs_plugin *plugin)
{
   static const Kvstore__V1__Plugin__Promise promises[] = {
       [KVS_VOLATILE] = KVSTORE__V1__PLUGIN__PROMISE__PROMISE_VOLATILE,
       [KVS_PERIODIC] = KVSTORE__V1__PLUGIN__PROMISE__PROMISE_PERIODIC,
       [KVS_DURABLE] = KVSTORE__V1__PLUGIN__PROMISE__PROMISE_DURABLE,
   };
   entry->version = kv_message_text(plugin->version);
   entry->description = kv_message_text(plugin->description);
   entry->promise = promises[plugin->promise];
   entry->active = plugin == listing->active;
   entry->n_options = plugin->option_count;
   entry->options =
       kv_build_list(&listing->builder, entry->n_options, &kvstore__v1__plugin__option__descriptor);
   for (size_t i = 0; entry->options && i < entry->n_options; i++)
      describe_option(&listing->builder, entry->options[i], &plugin->options[i]);
}

static void add_plugin(void *context, const char *name, const kvs_plugin *plugin, const char *error)
{
   struct listing *listing = context;
   Kvstore__V1__Plugin *entry = listing->count < LISTED_MAX
                                    ? kv_build(&listing->builder, &kvstore__v1__plugin__descriptor)
                                    : NULL;
   if (!entry)
      return;
   entry->name = kv_build_text(&listing->builder, name);
   if (plugin)
      describe(listing, entry, plugin);
   else
      entry->error = kv_build_text(&listing->builder, error);
   listing->plugins[listing->count++] = entry;
}

static void note_active(void *context, const struct kv_control_state *state)
{
   struct listing *listing = context;
   listing->active = state->plugin;
}

static void list_run(struct kv_control_task *task)
{
   struct listing *listing = (struct listing *)task;
   struct kv_control *control = listing->admin.service->config.control;
   kv_control_inspect(control, note_active, listing);
   kv_plugin_library_list(kv_control_library(control), add_plugin, listing);
   Kvstore__V1__ListPluginsResponse response = KVSTORE__V1__LIST_PLUGINS_RESPONSE__INIT;
   response.n_plugins = listing->count;
   response.plugins = listing->plugins;
   kv_builder_reply(&listing->builder, listing->admin.call, &response.base);
}

void kv_service_list_plugins(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   if (!kv_service_request(service, call, &kvstore__v1__list_plugins_request__descriptor, request))
      return;
   struct listing *listing = kv_admin_create(service, call, sizeof *listing, list_run);
   if (!listing)
      return;
   listing->builder.arena = kv_call_arena(call);
   kv_admin_post(&listing->admin);
}
