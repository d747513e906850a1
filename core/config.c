#include "core/config.h"

#include "core/config_file.h"
#include "core/support/size.h"
#include "core/support/text.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* Where a value came from; a later one wins. */
enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

struct reading {
   struct kv_config *config;
   enum source source;
   enum source listen_source, option_source; /* who gave the lists as they stand */
   unsigned *lines; /* of the file, where each setting stands; 0: nowhere yet */
   struct kv_status *status;
};

struct setting {
   const char *name;
   const char *argument; /* for --help; NULL: a switch without argument */
   const char *fallback; /* the default, NULL: none */
   const char *help;
   enum kv_code (*apply)(struct reading *reading, const struct setting *setting, char *value);
   size_t offset; /* of the member that apply fills in */
   uint64_t minimum, maximum;
   bool repeatable;
};

/* ---- Applying a value ---- */

static enum kv_code refuse(struct reading *reading, const struct setting *setting,
                           const char *value, const char *reason)
{
   static const char *const sources[] = {"default", "", "environment", "command line"};
   char shown[KV_TEXT_SHOWN_SIZE];
   kv_text_show(value, shown, sizeof shown);
   if (reading->source == SOURCE_FILE) /* whose reader says where */
      return kv_fail(reading->status, KV_INVALID_ARGUMENT, "\"%s\" %s", shown, reason);
   return kv_fail(reading->status, KV_INVALID_ARGUMENT, "%s (%s): \"%s\" %s", setting->name,
                  sources[reading->source], shown, reason);
}

static void *member(struct reading *reading, const struct setting *setting)
{
   return (char *)reading->config + setting->offset;
}

static enum kv_code apply_text(struct reading *reading, const struct setting *setting, char *value)
{
   if (value[0] == '\0')
      return refuse(reading, setting, value, "is empty; give a value or leave the setting out");
   *(const char **)member(reading, setting) = value;
   return KV_OK;
}

static enum kv_code apply_switch(struct reading *reading, const struct setting *setting,
                                 char *value)
{
   (void)value;
   *(bool *)member(reading, setting) = true;
   return KV_OK;
}

static bool parse_number(const char *text, uint64_t *number)
{
   if (!isdigit((unsigned char)text[0]))
      return false;
   char *end;
   errno = 0;
   *number = strtoull(text, &end, 10);
   return errno == 0 && *end == '\0';
}

static enum kv_code take_number(struct reading *reading, const struct setting *setting,
                                const char *value, bool parsed, uint64_t number, const char *units)
{
   if (!parsed || number < setting->minimum || number > setting->maximum) {
      char reason[200];
      snprintf(reason, sizeof reason, "is not a %s from %llu to %llu%s",
               units[0] ? "size" : "number", (unsigned long long)setting->minimum,
               (unsigned long long)setting->maximum, units);
      return refuse(reading, setting, value, reason);
   }
   *(uint64_t *)member(reading, setting) = number;
   return KV_OK;
}

static enum kv_code apply_number(struct reading *reading, const struct setting *setting,
                                 char *value)
{
   uint64_t number = 0;
   bool parsed = parse_number(value, &number);
   return take_number(reading, setting, value, parsed, number, "");
}

static enum kv_code apply_size(struct reading *reading, const struct setting *setting, char *value)
{
   uint64_t bytes = 0;
   bool parsed = kv_size_parse(value, &bytes);
   return take_number(reading, setting, value, parsed, bytes, " bytes; units are " KV_SIZE_UNITS);
}

static enum kv_code apply_level(struct reading *reading, const struct setting *setting, char *value)
{
   static const char *const names[] = {"error", "warning", "info", "debug"};
   for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      if (strcmp(value, names[i]) == 0) {
         *(enum kv_log_level *)member(reading, setting) = (enum kv_log_level)(KV_LOG_ERROR + i);
         return KV_OK;
      }
   return refuse(reading, setting, value, "is none of error, warning, info, debug");
}

static enum kv_code apply_listen(struct reading *reading, const struct setting *setting,
                                 char *value)
{
   struct kv_config *config = reading->config;
   if (value[0] == '\0')
      return refuse(reading, setting, value, "is empty; give HOST:PORT or unix:PATH");
   if (reading->listen_source < reading->source) {
      reading->listen_source = reading->source;
      config->listen_count = 0;
   }
   if (config->listen_count == KV_CONFIG_LISTEN_MAX)
      return refuse(reading, setting, value, "is one address too many; at most 16 are possible");
   config->listen[config->listen_count++] = value;
   return KV_OK;
}

static enum kv_code apply_option(struct reading *reading, const struct setting *setting,
                                 char *value)
{
   struct kv_config *config = reading->config;
   char *equals = strchr(value, '=');
   if (!equals || equals == value)
      return refuse(reading, setting, value, "is not of the form NAME=VALUE");
   if (reading->option_source < reading->source) {
      reading->option_source = reading->source;
      config->option_count = 0;
   }
   if (config->option_count == KV_CONFIG_OPTION_MAX)
      return refuse(reading, setting, value, "is one option too many; at most 64 are possible");
   *equals = '\0';
   config->options[config->option_count++] = (struct kv_option){value, equals + 1};
   return KV_OK;
}

#define MEMBER(name) offsetof(struct kv_config, name)
#define MEGABYTE ((uint64_t)1 << 20)

/* The receive limit leaves room for a value of the default size with a key and the message around.
 */
static const struct setting settings[] = {
    {"listen", "ADDR", "127.0.0.1:50051",
     "address to listen on, HOST:PORT or unix:PATH; repeatable", apply_listen, 0, 0, 0, true},
    {"data-dir", "DIR", "./data", "directory that holds the data", apply_text, MEMBER(data_dir), 0,
     0, false},
    {"user", "USER[:GROUP]", NULL, "run a server that is started as root as this user", apply_text,
     MEMBER(user), 0, 0, false},
    {"plugin-dir", "DIR[:DIR]", NULL,
     "directories to load plug-ins from (default: the installed one)", apply_text,
     MEMBER(plugin_dir), 0, 0, false},
    {"mode", "NAME", NULL, "persistence plug-in of a new store; hybrid when not given", apply_text,
     MEMBER(mode), 0, 0, false},
    {"option", "NAME=VALUE", NULL, "option of that plug-in, such as fsync=everysec; repeatable",
     apply_option, 0, 0, 0, true},
    {"max-value-size", "SIZE", "64M", "largest value accepted", apply_size, MEMBER(max_value_size),
     1, 1024 * MEGABYTE, false},
    {"max-message-size", "SIZE", "80M", "largest request accepted", apply_size,
     MEMBER(max_message_size), 1024, 2047 * MEGABYTE, false},
    {"max-memory", "SIZE", "0", "limit on the total size of keys and values; 0 means none",
     apply_size, MEMBER(max_memory), 0, UINT64_MAX >> 1, false},
    {"max-wire-memory", "SIZE", "512M", "limit on what the calls of all clients hold", apply_size,
     MEMBER(max_wire_memory), 1024, UINT64_MAX >> 1, false},
    {"reader-timeout", "SECONDS", "30", "a reply that nobody reads is ended after so long",
     apply_number, MEMBER(reader_timeout), 1, 86400, false},
    {"workers", "N", "2", "number of threads that serve calls", apply_number, MEMBER(workers), 1,
     64, false},
    {"shutdown-grace-ms", "MS", "10000", "how long calls in flight may take to finish at shutdown",
     apply_number, MEMBER(shutdown_grace_ms), 0, 3600000, false},
    {"shutdown-stall-ms", "MS", "60000",
     "how long shutdown may make no progress before the process ends regardless", apply_number,
     MEMBER(shutdown_stall_ms), 1, 86400000, false},
    {"hook-budget", "SECONDS", "5", "warn when a plug-in's write takes longer; 0 means never",
     apply_number, MEMBER(hook_budget), 0, 86400, false},
    {"log-level", "LEVEL", "info", "error, warning, info or debug", apply_level, MEMBER(log_level),
     0, 0, false},
    {"check-config", NULL, NULL, "check everything that a start checks, and exit", apply_switch,
     MEMBER(check_only), 0, 0, false},
    {"version", NULL, NULL, "print the version and exit", apply_switch, MEMBER(show_version), 0, 0,
     false},
    {"help", NULL, NULL, "print this help and exit (also -h)", apply_switch, MEMBER(show_help), 0,
     0, false},
};
#define SETTING_COUNT (sizeof settings / sizeof *settings)

static const struct setting *find_setting(const char *name)
{
   for (size_t i = 0; i < SETTING_COUNT; i++)
      if (strcmp(settings[i].name, name) == 0)
         return &settings[i];
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
   for (size_t i = 0; i < SETTING_COUNT; i++)
      if (settings[i].fallback && apply(reading, &settings[i], settings[i].fallback) != KV_OK)
         return reading->status->code;
   return KV_OK;
}

static enum kv_code take_line(void *context, const struct kv_config_line *line,
                              struct kv_status *status)
{
   struct reading *reading = context;
   reading->status = status;
   const struct setting *setting = find_setting(line->name);
   if (!setting || !setting->argument)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "there is no such setting for a file; --help lists those there are");
   unsigned *first = &reading->lines[setting - settings];
   if (*first != 0 && !setting->repeatable)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "the setting stands in line %u already; give it once", *first);
   *first = line->number;
   return apply(reading, setting, line->value);
}

static enum kv_code read_file(struct reading *reading, const char *path)
{
   unsigned lines[SETTING_COUNT] = {0};
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
   for (size_t i = 0; i < SETTING_COUNT; i++) {
      const struct setting *setting = &settings[i];
      char name[64];
      const char *value = getenv(environment_name(setting, name));
      if (!value || !setting->argument)
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
                  found == ':' ? "option %s needs a value; see --help"
                               : "unknown option %s; see --help",
                  shown);
}

/* Goes through the flags: with `reading` applies them, without only looks for --config. */
static enum kv_code scan_flags(struct reading *reading, int argc, char **argv, const char **file,
                               struct kv_status *status)
{
   struct option flags[SETTING_COUNT + 2] = {0};
   for (size_t i = 0; i < SETTING_COUNT; i++)
      flags[i] = (struct option){settings[i].name,
                                 settings[i].argument ? required_argument : no_argument, NULL, 1};
   flags[SETTING_COUNT] = (struct option){"config", required_argument, NULL, 2};

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
      else if (reading && apply(reading, &settings[index], optarg ? optarg : "") != KV_OK)
         return status->code;
   }
   if (optind < argc)
      return kv_fail(status, KV_INVALID_ARGUMENT, "unexpected argument \"%.80s\"; see --help",
                     argv[optind]);
   return KV_OK;
}

/* ---- Interface ---- */

static enum kv_code check_together(const struct kv_config *config, struct kv_status *status)
{
   if (config->max_message_size < config->max_value_size + KV_CONFIG_MESSAGE_OVERHEAD)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "max-message-size %llu leaves no room for a value of max-value-size %llu; "
                     "give at least %llu",
                     (unsigned long long)config->max_message_size,
                     (unsigned long long)config->max_value_size,
                     (unsigned long long)(config->max_value_size + KV_CONFIG_MESSAGE_OVERHEAD));
   if (config->max_wire_memory < config->max_message_size)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "max-wire-memory %llu leaves no room for a request of max-message-size %llu; "
                     "give at least that, better four times as much",
                     (unsigned long long)config->max_wire_memory,
                     (unsigned long long)config->max_message_size);
   return KV_OK;
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

void kv_config_deinit(struct kv_config *config)
{
   for (size_t i = 0; i < config->owned_count; i++)
      free(config->owned[i]);
   free(config->owned);
}

void kv_config_print_help(FILE *out)
{
   fputs("kvstore-server: a key-value store with persistence plug-ins, served over gRPC\n\n"
         "Usage: kvstore-server [OPTIONS]\n\n",
         out);
   for (size_t i = 0; i < SETTING_COUNT; i++) {
      char flag[64];
      snprintf(flag, sizeof flag, "--%s %s", settings[i].name,
               settings[i].argument ? settings[i].argument : "");
      fprintf(out, "  %-30s %s", flag, settings[i].help);
      if (settings[i].fallback)
         fprintf(out, " (default %s)", settings[i].fallback);
      fputc('\n', out);
   }
   fputs("  --config FILE                  read settings from FILE, one \"name = value\" a line\n\n"
         "SIZE is a number of bytes, or has a unit: " KV_SIZE_UNITS ".\n\n"
         "Each option that takes a value can also be set in the environment (--data-dir as\n"
         "KVSTORE_DATA_DIR) and in the file (data-dir = ...). The command line takes precedence\n"
         "over the environment, and the environment over the file. In the environment, commas\n"
         "separate the values of a repeatable option; write \"\\,\" for a comma within a value.\n",
         out);
}
