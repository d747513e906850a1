/*
 * The server's configuration from file, environment and flags. What is accepted is within its
 * limits, and means the same when given as flags; a refusal says why.
 *
 * Input: the file, then flags and environment variables (those that begin with KVSTORE_), each
 * after a NUL.
 */
#include "core/config.h"
#include "tests/fuzz/support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 128
#define PREFIX "KVSTORE_"

struct arguments {
   char *items[ARGUMENTS_MAX + 1];
   int count;
};

static void add(struct arguments *arguments, const char *text)
{
   REQUIRE(arguments->count < ARGUMENTS_MAX);
   arguments->items[arguments->count] = strdup(text);
   REQUIRE(arguments->items[arguments->count]);
   arguments->items[++arguments->count] = NULL;
}

static void add_flag(struct arguments *arguments, const char *name, const char *value)
{
   char *text;
   REQUIRE(asprintf(&text, "--%s=%s", name, value) > 0);
   add(arguments, text);
   free(text);
}

static void add_number(struct arguments *arguments, const char *name, uint64_t value)
{
   char text[24];
   snprintf(text, sizeof text, "%llu", (unsigned long long)value);
   add_flag(arguments, name, text);
}

static void add_mode(struct arguments *arguments, const char *name, mode_t mode)
{
   char text[24];
   snprintf(text, sizeof text, "%04o", (unsigned)mode);
   add_flag(arguments, name, text);
}

static void drop(struct arguments *arguments)
{
   for (int i = 0; i < arguments->count; i++)
      free(arguments->items[i]);
}

static struct arguments as_flags(const struct kv_config *config)
{
   static const char *const levels[] = {"error", "warning", "info", "debug"};
   struct arguments flags = {0};
   add(&flags, "kvstore-server");
   for (size_t i = 0; i < config->listen_count; i++)
      add_flag(&flags, "listen", config->listen[i]);
   add_mode(&flags, "socket-mode", config->socket_mode);
   if (config->insecure)
      add(&flags, "--insecure");
   add_flag(&flags, "data-dir", config->data_dir);
   if (config->plugin_dir)
      add_flag(&flags, "plugin-dir", config->plugin_dir);
   if (config->mode)
      add_flag(&flags, "mode", config->mode);
   for (size_t i = 0; i < config->option_count; i++) {
      char *text;
      REQUIRE(asprintf(&text, "%s=%s", config->options[i].name, config->options[i].value) > 0);
      add_flag(&flags, "option", text);
      free(text);
   }
   add_number(&flags, "max-value-size", config->max_value_size);
   add_number(&flags, "max-message-size", config->max_message_size);
   add_number(&flags, "max-memory", config->max_memory);
   add_number(&flags, "max-wire-memory", config->max_wire_memory);
   add_number(&flags, "reader-timeout", config->reader_timeout);
   add_number(&flags, "workers", config->workers);
   add_number(&flags, "shutdown-grace-ms", config->shutdown_grace_ms);
   add_number(&flags, "shutdown-stall-ms", config->shutdown_stall_ms);
   add_flag(&flags, "log-level", levels[config->log_level - KV_LOG_ERROR]);
   return flags;
}

static bool same_text(const char *a, const char *b)
{
   return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same(const struct kv_config *a, const struct kv_config *b)
{
   REQUIRE(a->listen_count == b->listen_count && a->option_count == b->option_count);
   for (size_t i = 0; i < a->listen_count; i++)
      REQUIRE(same_text(a->listen[i], b->listen[i]));
   for (size_t i = 0; i < a->option_count; i++)
      REQUIRE(same_text(a->options[i].name, b->options[i].name) &&
              same_text(a->options[i].value, b->options[i].value));
   REQUIRE(a->socket_mode == b->socket_mode && a->insecure == b->insecure);
   REQUIRE(same_text(a->data_dir, b->data_dir) && same_text(a->plugin_dir, b->plugin_dir));
   REQUIRE(same_text(a->mode, b->mode) && a->log_level == b->log_level);
   REQUIRE(a->max_value_size == b->max_value_size && a->max_message_size == b->max_message_size);
   REQUIRE(a->max_memory == b->max_memory && a->max_wire_memory == b->max_wire_memory);
   REQUIRE(a->reader_timeout == b->reader_timeout && a->workers == b->workers);
   REQUIRE(a->shutdown_grace_ms == b->shutdown_grace_ms);
   REQUIRE(a->shutdown_stall_ms == b->shutdown_stall_ms);
}

static void check_bounds(const struct kv_config *config)
{
   REQUIRE(config->listen_count >= 1 && config->listen_count <= KV_CONFIG_LISTEN_MAX);
   for (size_t i = 0; i < config->listen_count; i++)
      REQUIRE(config->listen[i][0] != '\0');
   REQUIRE((config->socket_mode & ~0777u) == 0 && (config->socket_mode & 0600) == 0600);
   REQUIRE(config->option_count <= KV_CONFIG_OPTION_MAX);
   for (size_t i = 0; i < config->option_count; i++)
      REQUIRE(config->options[i].name[0] != '\0');
   REQUIRE(config->data_dir[0] != '\0' && (!config->plugin_dir || config->plugin_dir[0] != '\0'));
   REQUIRE(!config->mode || config->mode[0] != '\0');
   REQUIRE(config->workers >= 1 && config->workers <= 64);
   REQUIRE(config->max_value_size >= 1);
   REQUIRE(config->max_message_size >= config->max_value_size + KV_CONFIG_MESSAGE_OVERHEAD);
   REQUIRE(config->max_wire_memory >= config->max_message_size);
   REQUIRE(config->log_level >= KV_LOG_ERROR && config->log_level <= KV_LOG_DEBUG);
}

/* Hands over every flag but another --config (it would read files that are not the input's), and
 * sets the variables. */
static void take_arguments(const char *at, const char *end, struct arguments *flags,
                           struct arguments *variables)
{
   for (; at < end && flags->count + variables->count < 40; at += strlen(at) + 1) {
      char *equals = strchr(at, '=');
      if (strncmp(at, PREFIX, strlen(PREFIX)) != 0) {
         if (!strstr(at, "--co"))
            add(flags, at);
      } else if (equals && strncmp(at, PREFIX "CONFIG=", strlen(PREFIX "CONFIG=")) != 0) {
         add(variables, at);
         putenv(variables->items[variables->count - 1]);
      }
   }
}

static void unset(struct arguments *variables)
{
   for (int i = 0; i < variables->count; i++) {
      char *name = strndup(variables->items[i], strcspn(variables->items[i], "="));
      REQUIRE(name);
      unsetenv(name);
      free(name);
   }
   drop(variables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   char *texts = fuzz_text((kvs_bytes){data, size}), path[FUZZ_PATH_SIZE];
   size_t file_size = strlen(texts);
   struct arguments flags = {0}, variables = {0};
   struct kv_config config, again;
   struct kv_status status = {0};
   fuzz_write_file("config", texts, file_size);
   add(&flags, "kvstore-server");
   add_flag(&flags, "config", fuzz_path("config", path));
   take_arguments(texts + (file_size < size ? file_size + 1 : size), texts + size, &flags,
                  &variables);
   enum kv_code code = kv_config_read(&config, flags.count, flags.items, &status);
   unset(&variables);
   if (code == KV_OK) {
      check_bounds(&config);
      struct arguments same = as_flags(&config);
      REQUIRE(kv_config_read(&again, same.count, same.items, &status) == KV_OK);
      check_same(&config, &again);
      kv_config_deinit(&again);
      drop(&same);
   } else {
      REQUIRE(code == KV_INVALID_ARGUMENT && code == status.code && status.text[0] != '\0');
   }
   kv_config_deinit(&config);
   drop(&flags);
   free(texts);
   return 0;
}
