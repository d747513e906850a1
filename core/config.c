/* Where settings come from: defaults, file, environment and flags, the later over the earlier. */
#include "core/config_internal.h"

#include "core/config_file.h"
#include "core/support/text.h"

#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const struct setting *find_setting(const char *name)
{
   for (size_t i = 0; i < kv_config_setting_count; i++)
      if (strcmp(kv_config_settings[i].name, name) == 0)
         return &kv_config_settings[i];
   return NULL;
}

/* A copy that the configuration owns, or NULL with status. */
static char *own(struct reading *reading, const char *text)
{
   struct kv_config *config = reading->config;
   char **owned = reallocarray(config->owned, config->owned_count + 1, sizeof *owned);
   char *copy = owned ? strdup(text) : NULL;
   if (owned)
      config->owned = owned;
   if (!copy) {
      kv_fail(reading->status, KV_RESOURCE_EXHAUSTED, "out of memory for the configuration");
      return NULL;
   }
   config->owned[config->owned_count++] = copy;
   return copy;
}

static enum kv_code apply(struct reading *reading, const struct setting *setting, const char *value)
{
   char *copy = own(reading, value);
   return copy ? setting->apply(reading, setting, copy) : reading->status->code;
}

/* ---- Sources ---- */

static enum kv_code read_defaults(struct reading *reading)
{
   for (size_t i = 0; i < kv_config_setting_count; i++)
      if (kv_config_settings[i].fallback &&
          apply(reading, &kv_config_settings[i], kv_config_settings[i].fallback) != KV_OK)
         return reading->status->code;
   return KV_OK;
}

static enum kv_code take_line(void *context, const struct kv_config_line *line,
                              struct kv_status *status)
{
   struct reading *reading = context;
   reading->status = status;
   const struct setting *setting = find_setting(line->name);
   if (!setting || !kv_setting_has_value(setting))
      return kv_fail(status, KV_INVALID_ARGUMENT, "there is no such setting in a file");
   unsigned *first = &reading->lines[setting - kv_config_settings];
   if (*first != 0 && !setting->repeatable)
      return kv_fail(status, KV_INVALID_ARGUMENT, "the setting is in line %u already; give it once",
                     *first);
   *first = line->number;
   return apply(reading, setting, line->value);
}

static enum kv_code read_file(struct reading *reading, const char *path)
{
   unsigned lines[KV_CONFIG_SETTINGS_MAX] = {0};
   struct kv_status *status = reading->status;
   reading->source = SOURCE_FILE;
   reading->lines = lines;
   enum kv_code code = kv_config_file_read(path, take_line, reading, status);
   reading->lines = NULL;
   reading->status = status;
   return code;
}

static const char *environment_name(const struct setting *setting, char name[64])
{
   snprintf(name, 64, "KVSTORE_%s", setting->name);
   for (char *c = name; *c; c++)
      *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
   return name;
}

static enum kv_code apply_list(struct reading *reading, const struct setting *setting,
                               const char *value)
{
   char *list = own(reading, value);
   if (!list)
      return reading->status->code;
   char *rest = list;
   while (rest)
      if (setting->apply(reading, setting, kv_text_next_item(&rest)) != KV_OK)
         return reading->status->code;
   return KV_OK;
}

static enum kv_code read_environment(struct reading *reading)
{
   reading->source = SOURCE_ENVIRONMENT;
   for (size_t i = 0; i < kv_config_setting_count; i++) {
      const struct setting *setting = &kv_config_settings[i];
      char name[64];
      const char *value = getenv(environment_name(setting, name));
      if (!value || !kv_setting_has_value(setting))
         continue;
      enum kv_code code = setting->repeatable ? apply_list(reading, setting, value)
                                              : apply(reading, setting, value);
      if (code != KV_OK)
         return code;
   }
   return KV_OK;
}

/* What getopt_long found wrong. */
static enum kv_code fail_flag(char **argv, int found, struct kv_status *status)
{
   char shown[KV_TEXT_SHOWN_SIZE], letter[] = {'-', (char)optopt, '\0'};
   bool is_letter = found == '?' && isgraph(optopt);
   kv_text_show(is_letter ? letter : argv[optind - 1], shown, sizeof shown);
   return kv_fail(status, KV_INVALID_ARGUMENT,
                  found == ':' ? "option %s needs a value" : "unknown option %s", shown);
}

/* Goes through the flags: with `reading` applies them, without only looks for --config. */
static enum kv_code scan_flags(struct reading *reading, int argc, char **argv, const char **file,
                               struct kv_status *status)
{
   struct option flags[KV_CONFIG_SETTINGS_MAX + 2] = {0};
   for (size_t i = 0; i < kv_config_setting_count; i++)
      flags[i] = (struct option){kv_config_settings[i].name,
                                 kv_config_settings[i].argument ? required_argument : no_argument,
                                 NULL, 1};
   flags[kv_config_setting_count] = (struct option){"config", required_argument, NULL, 2};

   opterr = 0;
   optind = 0;
   int index = 0;
   for (int found; (found = getopt_long(argc, argv, ":h", flags, &index)) != -1;) {
      if (found == ':' || found == '?')
         return fail_flag(argv, found, status);
      if (found == 'h') {
         if (reading)
            reading->config->show_help = true;
      } else if (found == 2)
         *file = optarg;
      else if (reading &&
               apply(reading, &kv_config_settings[index], optarg ? optarg : "yes") != KV_OK)
         return status->code;
   }
   if (optind < argc)
      return kv_fail(status, KV_INVALID_ARGUMENT, "unexpected argument \"%.80s\"", argv[optind]);
   return KV_OK;
}

/* ---- Interface ---- */

static enum kv_code check_tls(const struct kv_config *config, struct kv_status *status)
{
   if (!config->tls.certificate != !config->tls.key)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "%s is given without %s; TLS needs both: the certificate and its key",
                     config->tls.certificate ? "tls-cert" : "tls-key",
                     config->tls.certificate ? "tls-key" : "tls-cert");
   if (config->tls.client_ca && !config->tls.certificate)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "tls-client-ca is given without tls-cert and tls-key; clients show "
                     "certificates only where the server does; give both, or leave it out");
   if (config->tls_client_auth && !config->tls.client_ca)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "tls-client-auth is given without tls-client-ca; give the file with the "
                     "certificates that those of clients are verified against");
   return KV_OK;
}

static enum kv_code check_together(const struct kv_config *config, struct kv_status *status)
{
   if (config->max_message_size < config->max_value_size + KV_CONFIG_MESSAGE_OVERHEAD)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "max-message-size %llu has no space for a value of max-value-size %llu; "
                     "give at least %llu",
                     (unsigned long long)config->max_message_size,
                     (unsigned long long)config->max_value_size,
                     (unsigned long long)(config->max_value_size + KV_CONFIG_MESSAGE_OVERHEAD));
   if (config->max_wire_memory < config->max_message_size)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "max-wire-memory %llu has no space for a request of max-message-size %llu; "
                     "give at least that, better four times as much",
                     (unsigned long long)config->max_wire_memory,
                     (unsigned long long)config->max_message_size);
   return check_tls(config, status);
}

enum kv_code kv_config_read(struct kv_config *config, int argc, char **argv,
                            struct kv_status *status)
{
   *config = (struct kv_config){0};
   struct reading reading = {.config = config, .status = status};
   const char *file = getenv("KVSTORE_CONFIG");
   enum kv_code code = scan_flags(NULL, argc, argv, &file, status);
   if (code == KV_OK)
      code = read_defaults(&reading);
   if (code == KV_OK && file)
      code = read_file(&reading, file);
   if (code == KV_OK)
      code = read_environment(&reading);
   reading.source = SOURCE_FLAG;
   if (code == KV_OK)
      code = scan_flags(&reading, argc, argv, &file, status);
   return code == KV_OK ? check_together(config, status) : code;
}

struct kv_admission kv_config_admission(const struct kv_config *config)
{
   return (struct kv_admission){.socket_mode = config->socket_mode,
                                .has_tls = config->tls.certificate,
                                .has_users = config->users,
                                .insecure = config->insecure};
}

void kv_config_deinit(struct kv_config *config)
{
   for (size_t i = 0; i < config->owned_count; i++)
      free(config->owned[i]);
   free(config->owned);
}
