/*
 * Options as a user writes them, checked against a plug-in's declaration, and declarations
 * themselves. What is accepted is within its limits and, written back in normal form, is accepted
 * again with the same result; an accepted declaration works with its own defaults.
 *
 * Input: a byte of choices; texts, each ended by a NUL or the end. With DECLARED the first texts
 * declare one option: name, default, choices, help.
 */
#include "core/host/settings.h"
#include "tests/fuzz/support.h"

#include <stdlib.h>
#include <string.h>

enum { DECLARED = 1 };
#define OPTIONS_MAX 8

static const kvs_option fixed[] = {
    {.name = "count",
     .type = KVS_OPTION_INTEGER,
     .default_value = "5",
     .minimum = -7,
     .maximum = 1000,
     .help = "a number"},
    {.name = "size",
     .type = KVS_OPTION_SIZE,
     .default_value = "10M",
     .minimum = 1024,
     .maximum = INT64_MAX,
     .help = "a size"},
    {.name = "choice",
     .type = KVS_OPTION_CHOICE,
     .default_value = "always",
     .choices = "always|everysec|no",
     .help = "a word"},
    {.name = "text", .type = KVS_OPTION_TEXT, .default_value = "", .help = "anything"},
};

/* Takes the text up to the next NUL; the pointer is into `*rest`. */
static const char *next_text(const char **rest, const char *end)
{
   const char *text = *rest;
   if (text < end)
      *rest = text + strlen(text) + 1;
   return *rest > end || text >= end ? (*rest = end, text < end ? text : "") : text;
}

static bool same_settings(const struct kv_settings *a, const struct kv_settings *b)
{
   const kvs_setting *left = kv_settings_array(a), *right = kv_settings_array(b);
   for (size_t i = 0; i < kv_settings_count(a); i++)
      if (left[i].integer != right[i].integer || strcmp(left[i].text, right[i].text) != 0)
         return false;
   return kv_settings_count(a) == kv_settings_count(b);
}

static void check_settings(const kvs_plugin *plugin, const struct kv_settings *settings)
{
   const kvs_setting *array = kv_settings_array(settings);
   struct kv_mode_option written[OPTIONS_MAX];
   REQUIRE(kv_settings_count(settings) == plugin->option_count);
   for (size_t i = 0; i < plugin->option_count; i++) {
      const kvs_option *option = &plugin->options[i];
      REQUIRE(strcmp(array[i].name, option->name) == 0);
      if (option->type == KVS_OPTION_INTEGER || option->type == KVS_OPTION_SIZE)
         REQUIRE(array[i].integer >= option->minimum && array[i].integer <= option->maximum);
      else if (option->type == KVS_OPTION_CHOICE)
         REQUIRE(strstr(option->choices, array[i].text) != NULL && array[i].integer >= 0);
      else
         REQUIRE(strlen(array[i].text) <= KV_OPTION_VALUE_SIZE_MAX);
      REQUIRE(strpbrk(array[i].text, "\n\r") == NULL);
      written[i] = (struct kv_mode_option){array[i].name, array[i].text};
   }
   struct kv_settings *again;
   struct kv_status status;
   REQUIRE(kv_settings_create(plugin, written, plugin->option_count, &again, &status) == KV_OK);
   REQUIRE(same_settings(settings, again));
   kv_settings_destroy(again);
}

static void create(const kvs_plugin *plugin, const struct kv_mode_option *options, size_t count)
{
   struct kv_settings *settings;
   struct kv_status status;
   enum kv_code code = kv_settings_create(plugin, options, count, &settings, &status);
   REQUIRE(code == KV_OK || code == KV_INVALID_ARGUMENT);
   if (code == KV_OK) {
      check_settings(plugin, settings);
      kv_settings_destroy(settings);
   } else {
      REQUIRE(count > 0 && strstr(status.text, plugin->name) != NULL);
   }
}

/* The refusal of a repeated name mentions the option, not the plug-in, and is left out here. */
static bool has_twice(const struct kv_mode_option *options, size_t count)
{
   for (size_t i = 0; i < count; i++)
      for (size_t j = 0; j < i; j++)
         if (strcmp(options[i].name, options[j].name) == 0)
            return true;
   return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct fuzz_input input = {data, size};
   uint64_t choices = fuzz_take(&input, 1);
   kvs_option own = {.type = (uint32_t)fuzz_take(&input, 1) % 6};
   own.minimum = (int64_t)fuzz_take(&input, 2) - 100;
   own.maximum = (int64_t)fuzz_take(&input, 8);
   char *texts = fuzz_text((kvs_bytes){input.data, input.size});
   const char *rest = texts, *end = texts + input.size;
   kvs_plugin plugin = {.size = sizeof plugin, .name = "plugin"};
   plugin.options = fixed;
   plugin.option_count = sizeof fixed / sizeof *fixed;
   struct kv_status status;
   if (choices & DECLARED) {
      own.name = next_text(&rest, end);
      own.default_value = next_text(&rest, end);
      own.choices = next_text(&rest, end);
      own.help = next_text(&rest, end);
      plugin.options = &own;
      plugin.option_count = 1;
   }
   if (kv_settings_check_declaration(&plugin, &status) != KV_OK) {
      REQUIRE(status.code == KV_FAILED_PRECONDITION && (choices & DECLARED));
      free(texts);
      return 0;
   }
   struct kv_mode_option options[OPTIONS_MAX];
   size_t count = 0;
   create(&plugin, NULL, 0);
   while (rest < end && count < OPTIONS_MAX) {
      options[count].name = next_text(&rest, end);
      options[count++].value = next_text(&rest, end);
   }
   if (!has_twice(options, count))
      create(&plugin, options, count);
   free(texts);
   return 0;
}
