#include "core/host/settings.h"

#include "core/support/size.h"
#include "core/support/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kv_settings {
   size_t count;
   struct kv_mode_option *options; /* behind the array, with its texts */
   kvs_setting array[];            /* the texts are owned, the names are the plug-in's */
};

/* ---- One value ---- */

/* A number as `parse` takes it, or one with a '-' before it. */
static bool parse_signed(const char *text, bool (*parse)(const char *text, uint64_t *number),
                         int64_t *value)
{
   bool negative = *text == '-';
   uint64_t magnitude;
   if (!parse(text + negative, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
      return false;
   *value = (int64_t)(negative ? 0 - magnitude : magnitude);
   return true;
}

/* The index of `word` in "a|b|c", or -1. */
static int64_t find_choice(const char *choices, const char *word)
{
   size_t word_size = strlen(word);
   for (int64_t index = 0;; index++) {
      size_t size = strcspn(choices, "|");
      if (size == word_size && memcmp(choices, word, size) == 0)
         return index;
      if (choices[size] == '\0')
         return -1;
      choices += size + 1;
   }
}

static bool check_value(const kvs_option *option, const char *text, int64_t *value)
{
   *value = 0;
   switch (option->type) {
   case KVS_OPTION_INTEGER:
   case KVS_OPTION_SIZE:
      return parse_signed(text, option->type == KVS_OPTION_SIZE ? kv_size_parse : kv_number_parse,
                          value) &&
             *value >= option->minimum && *value <= option->maximum;
   case KVS_OPTION_CHOICE:
      *value = find_choice(option->choices, text);
      return *value >= 0;
   default:
      return strlen(text) <= KV_OPTION_VALUE_SIZE_MAX && kv_text_is_printable(text);
   }
}

#define ALLOWED_SIZE 256

/* What the option takes, in words that fit after "must be". */
static const char *describe_allowed(const kvs_option *option, char allowed[ALLOWED_SIZE])
{
   switch (option->type) {
   case KVS_OPTION_INTEGER:
      snprintf(allowed, ALLOWED_SIZE, "a whole number from %" PRId64 " to %" PRId64,
               option->minimum, option->maximum);
      break;
   case KVS_OPTION_SIZE:
      snprintf(allowed, ALLOWED_SIZE,
               "a size from %" PRId64 " to %" PRId64 " bytes, as 4096, 4K, 4KiB or 4 KB",
               option->minimum, option->maximum);
      break;
   case KVS_OPTION_CHOICE:
      snprintf(allowed, ALLOWED_SIZE, "one of %.200s", option->choices);
      break;
   default:
      snprintf(allowed, ALLOWED_SIZE, "text of at most %d bytes without control characters",
               KV_OPTION_VALUE_SIZE_MAX);
   }
   return allowed;
}

/* The checked value of one option, spelled in the one way that settings are compared by. */
static enum kv_code set(const kvs_plugin *plugin, const kvs_option *option, const char *value,
                        kvs_setting *setting, struct kv_status *status)
{
   setting->name = option->name;
   if (!check_value(option, value, &setting->integer)) {
      char allowed[ALLOWED_SIZE], shown[KV_TEXT_SHOWN_SIZE];
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, "OPTION_INVALID",
                            "option %s of plug-in %s must be %s, not \"%s\"", option->name,
                            plugin->name, describe_allowed(option, allowed),
                            kv_text_show(value, shown, sizeof shown));
   }
   char decimal[24];
   if (option->type == KVS_OPTION_INTEGER || option->type == KVS_OPTION_SIZE) {
      snprintf(decimal, sizeof decimal, "%" PRId64, setting->integer);
      value = decimal;
   }
   setting->text = strdup(value);
   if (!setting->text)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the options");
   return KV_OK;
}

/* ---- A full set ---- */

static enum kv_code fail_unknown(const kvs_plugin *plugin, const char *name,
                                 struct kv_status *status)
{
   char shown[KV_TEXT_SHOWN_SIZE];
   kv_text_show(name, shown, sizeof shown);
   if (plugin->option_count == 0)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, "OPTION_INVALID",
                            "plug-in %s takes no options; leave out \"%s\"", plugin->name, shown);

   char list[KV_STATUS_TEXT_SIZE] = "";
   size_t used = 0;
   for (size_t i = 0; i < plugin->option_count && used < sizeof list; i++) {
      char allowed[ALLOWED_SIZE];
      int size = snprintf(list + used, sizeof list - used, "%s%s (%s)", i > 0 ? "; " : "",
                          plugin->options[i].name, describe_allowed(&plugin->options[i], allowed));
      used += (size_t)size;
   }
   return kv_fail_reason(status, KV_INVALID_ARGUMENT, "OPTION_INVALID",
                         "plug-in %s has no option \"%s\"; it has: %.500s", plugin->name, shown,
                         list);
}

static enum kv_code check_names(const kvs_plugin *plugin, const struct kv_mode_option *options,
                                size_t count, struct kv_status *status)
{
   for (size_t i = 0; i < count; i++) {
      bool known = false;
      for (size_t j = 0; j < plugin->option_count; j++)
         known |= strcmp(options[i].name, plugin->options[j].name) == 0;
      if (!known)
         return fail_unknown(plugin, options[i].name, status);
      if (kv_mode_option_find(options, i, options[i].name))
         return kv_fail_reason(status, KV_INVALID_ARGUMENT, "OPTION_INVALID",
                               "option %s is given twice; give it once", options[i].name);
   }
   return KV_OK;
}

enum kv_code kv_settings_create(const kvs_plugin *plugin, const struct kv_mode_option *options,
                                size_t count, struct kv_settings **settings,
                                struct kv_status *status)
{
   enum kv_code code = check_names(plugin, options, count, status);
   if (code != KV_OK)
      return code;
   struct kv_settings *created =
       calloc(1, sizeof *created + plugin->option_count *
                                       (sizeof created->array[0] + sizeof created->options[0]));
   if (!created)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the options");
   created->count = plugin->option_count;
   created->options = (struct kv_mode_option *)(created->array + created->count);
   for (size_t i = 0; code == KV_OK && i < created->count; i++) {
      const kvs_option *declared = &plugin->options[i];
      const char *given = kv_mode_option_find(options, count, declared->name);
      code = set(plugin, declared, given ? given : declared->default_value, &created->array[i],
                 status);
      created->options[i] = (struct kv_mode_option){declared->name, created->array[i].text};
   }
   if (code != KV_OK) {
      kv_settings_destroy(created);
      return code;
   }
   *settings = created;
   return KV_OK;
}

void kv_settings_destroy(struct kv_settings *settings)
{
   for (size_t i = 0; i < settings->count; i++)
      free((char *)settings->array[i].text);
   free(settings);
}

const kvs_setting *kv_settings_array(const struct kv_settings *settings)
{
   return settings->array;
}

const struct kv_mode_option *kv_settings_options(const struct kv_settings *settings)
{
   return settings->options;
}

size_t kv_settings_count(const struct kv_settings *settings)
{
   return settings->count;
}

/* ---- What a plug-in declares ---- */

static bool choices_make_sense(const char *choices)
{
   if (!choices || !kv_text_is_printable(choices))
      return false;
   while (*choices != '\0' && *choices != '|') {
      choices += strcspn(choices, "|");
      if (*choices == '\0')
         return true;
      choices++;
   }
   return false; /* an empty word */
}

/* What is wrong with a declaration, or NULL. */
static const char *find_fault(const kvs_plugin *plugin, const kvs_option *option)
{
   for (const kvs_option *earlier = plugin->options; earlier < option; earlier++)
      if (strcmp(earlier->name, option->name) == 0)
         return "is declared twice";
   if (option->type < KVS_OPTION_INTEGER || option->type > KVS_OPTION_TEXT)
      return "has a type that this server does not know";
   if (!option->help || !kv_text_is_printable(option->help))
      return "has no help text";
   if (option->type == KVS_OPTION_CHOICE && !choices_make_sense(option->choices))
      return "has no choices, or an empty one";
   if (option->type != KVS_OPTION_CHOICE && option->minimum > option->maximum)
      return "has a minimum above its maximum";
   int64_t value;
   if (!option->default_value || !check_value(option, option->default_value, &value))
      return "has a default value that it would not accept";
   return NULL;
}

enum kv_code kv_settings_check_declaration(const kvs_plugin *plugin, struct kv_status *status)
{
   if (plugin->option_count > KV_OPTION_COUNT_MAX || (plugin->option_count > 0 && !plugin->options))
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "it declares %zu options; up to %d are possible", plugin->option_count,
                     KV_OPTION_COUNT_MAX);
   for (size_t i = 0; i < plugin->option_count; i++) {
      const kvs_option *option = &plugin->options[i];
      if (!option->name || !kv_text_is_plain_name(option->name, "_", KV_OPTION_NAME_SIZE_MAX))
         return kv_fail(status, KV_FAILED_PRECONDITION,
                        "its option number %zu has no name of 1 to %d lower-case letters, digits "
                        "and underscores",
                        i + 1, KV_OPTION_NAME_SIZE_MAX);
      const char *fault = find_fault(plugin, option);
      if (fault)
         return kv_fail(status, KV_FAILED_PRECONDITION, "its option %s %s", option->name, fault);
   }
   return KV_OK;
}
