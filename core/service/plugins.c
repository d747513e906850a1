/* ListPlugins: what this server can load. */
#include "core/service/internal.h"

#include <string.h>

/* More plug-ins than this are not listed: a directory with so many is no plug-in directory. */
#define LISTED_MAX 256
#define CHOICES_MAX 64

struct listing {
   struct kv_control_task task; /* first: run gets back from it to the whole */
   struct kv_service *service;
   struct kv_call *call;
   struct kv_arena *arena;
   const kvs_plugin *active;
   size_t count;
   bool out_of_memory;
   Kvstore__Plugin *plugins[LISTED_MAX];
};

static void *allocate(struct listing *listing, size_t size)
{
   void *memory = kv_arena_alloc(listing->arena, size);
   if (!memory)
      listing->out_of_memory = true;
   return memory;
}

static ProtobufCBinaryData copy_text(struct listing *listing, const char *text)
{
   ProtobufCBinaryData copy;
   if (!kv_message_copy_text(listing->arena, text, &copy))
      listing->out_of_memory = true;
   return copy;
}

/* Splits "a|b|c" in place: the parts point into the descriptor's text. */
static void fill_choices(struct listing *listing, Kvstore__Plugin__Option *option,
                         const char *choices)
{
   option->choices = allocate(listing, CHOICES_MAX * sizeof *option->choices);
   if (!option->choices)
      return;
   while (option->n_choices < CHOICES_MAX) {
      size_t size = strcspn(choices, "|");
      option->choices[option->n_choices++] = kv_message_bytes(kv_slice(choices, size));
      if (choices[size] == '\0')
         return;
      choices += size + 1;
   }
}

static Kvstore__Plugin__Option *describe_option(struct listing *listing, const kvs_option *declared)
{
   static const char *const types[] = {
       [KVS_OPTION_INTEGER] = "integer",
       [KVS_OPTION_SIZE] = "size",
       [KVS_OPTION_CHOICE] = "choice",
       [KVS_OPTION_TEXT] = "text",
   };
   Kvstore__Plugin__Option *option = allocate(listing, sizeof *option);
   if (!option)
      return NULL;
   kvstore__plugin__option__init(option);
   option->name = kv_message_text(declared->name);
   option->type = kv_message_text(types[declared->type]);
   option->default_value = kv_message_text(declared->default_value);
   option->minimum = declared->minimum;
   option->maximum = declared->maximum;
   option->help = kv_message_text(declared->help);
   if (declared->type == KVS_OPTION_CHOICE)
      fill_choices(listing, option, declared->choices);
   return option;
}

static void describe(struct listing *listing, Kvstore__Plugin *entry, const kvs_plugin *plugin)
{
   entry->version = kv_message_text(plugin->version);
   entry->description = kv_message_text(plugin->description);
   entry->promise = (Kvstore__Plugin__Promise)plugin->promise;
   entry->active = plugin == listing->active;
   entry->options = allocate(listing, plugin->option_count * sizeof *entry->options);
   for (size_t i = 0; entry->options && i < plugin->option_count; i++) {
      entry->options[i] = describe_option(listing, &plugin->options[i]);
      if (!entry->options[i])
         return;
      entry->n_options = i + 1;
   }
}

static void add_plugin(void *context, const char *name, const kvs_plugin *plugin, const char *error)
{
   struct listing *listing = context;
   if (listing->count == LISTED_MAX)
      return;
   Kvstore__Plugin *entry = allocate(listing, sizeof *entry);
   if (!entry)
      return;
   kvstore__plugin__init(entry);
   entry->name = copy_text(listing, name);
   if (plugin)
      describe(listing, entry, plugin);
   else
      entry->error = copy_text(listing, error);
   listing->plugins[listing->count++] = entry;
}

static void note_active(void *context, const struct kv_control_state *state)
{
   struct listing *listing = context;
   listing->active = state->plugin;
}

static void list_refuse(struct kv_control_task *task, const struct kv_status *status)
{
   kv_message_fail(((struct listing *)task)->call, status);
}

static bool list_is_cancelled(const struct kv_control_task *task)
{
   return kv_call_is_cancelled(((const struct listing *)task)->call);
}

static void list_run(struct kv_control_task *task)
{
   struct listing *listing = (struct listing *)task;
   struct kv_control *control = listing->service->config.control;
   kv_control_inspect(control, note_active, listing);
   kv_plugin_library_list(kv_control_library(control), add_plugin, listing);
   if (listing->out_of_memory) {
      kv_message_out_of_memory(listing->call);
      return;
   }
   Kvstore__ListPluginsResponse response = KVSTORE__LIST_PLUGINS_RESPONSE__INIT;
   response.n_plugins = listing->count;
   response.plugins = listing->plugins;
   kv_message_reply(listing->call, &response.base);
}

void kv_service_list_plugins(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   if (!kv_service_request(service, call, &kvstore__list_plugins_request__descriptor, request))
      return;
   struct listing *listing = kv_arena_alloc(kv_call_arena(call), sizeof *listing);
   if (!listing) {
      kv_message_out_of_memory(call);
      return;
   }
   *listing = (struct listing){
       .task = {.run = list_run,
                .refuse = list_refuse,
                .is_cancelled = list_is_cancelled,
                .caller = kv_call_connection(call)},
       .service = service,
       .call = call,
       .arena = kv_call_arena(call),
   };
   kv_call_watch(call);
   kv_control_post(service->config.control, &listing->task);
}
