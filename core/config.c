#include "core/config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#ifndef KVSTORE_PLUGIN_DIR
#error "KVSTORE_PLUGIN_DIR must name the default plug-in directory"
#endif

/* Where a value came from; a later one wins. */
enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

struct reading {
   struct kv_config *config;
   enum source source;
   enum source listen_source, option_source; /* who gave the lists as they stand */
   const char *file;
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
   static const char *const sources[] = {"default", "file", "environment", "command line"};
   bool from_file = reading->source == SOURCE_FILE;
   return kv_fail(reading->status, KV_INVALID_ARGUMENT, "%s (%s%s%s): \"%s\" %s", setting->name,
                  sources[reading->source], from_file ? " " : "", from_file ? reading->file : "",
                  value, reason);
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
   unsigned long long value = strtoull(text, &end, 10);
   unsigned shift = 0;
   switch (toupper((unsigned char)*end)) {
   case 'K':
      shift = 10;
      break;
   case 'M':
      shift = 20;
      break;
   case 'G':
      shift = 30;
      break;
   default:
      break;
   }
   if (errno != 0 || end[shift ? 1 : 0] != '\0' || value > UINT64_MAX >> shift)
      return false;
   *number = (uint64_t)value << shift;
   return true;
}

static enum kv_code apply_number(struct reading *reading, const struct setting *setting,
                                 char *value)
{
   uint64_t number;
   if (!parse_number(value, &number) || number < setting->minimum || number > setting->maximum) {
      char reason[160];
      snprintf(reason, sizeof reason,
               "is not a number from %llu to %llu (K, M, G may follow for powers of 1024)",
               (unsigned long long)setting->minimum, (unsigned long long)setting->maximum);
      return refuse(reading, setting, value, reason);
   }
   *(uint64_t *)member(reading, setting) = number;
   return KV_OK;
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
      return refuse(reading, setting, value, "is one address too many; at most 16 are served");
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
      return refuse(reading, setting, value, "is one option too many; at most 64 are taken");
   *equals = '\0';
   config->options[config->option_count++] = (struct kv_option){value, equals + 1};
   return KV_OK;
}

#define MEMBER(name) offsetof(struct kv_config, name)
#define MEGABYTE ((uint64_t)1 << 20)

/* The receive limit leaves room for a value of the default size with a key and the message around.
 */
static const struct setting settings[] = {
    {"listen", "ADDR", "127.0.0.1:50051", "address to serve, HOST:PORT or unix:PATH; repeatable",
     apply_listen, 0, 0, 0, true},
    {"data-dir", "DIR", "./data", "where the data is kept", apply_text, MEMBER(data_dir), 0, 0,
     false},
    {"user", "USER[:GROUP]", NULL, "whom a server that is started as root becomes", apply_text,
     MEMBER(user), 0, 0, false},
    {"plugin-dir", "DIR[:DIR]", KVSTORE_PLUGIN_DIR, "where plug-ins are looked for", apply_text,
     MEMBER(plugin_dir), 0, 0, false},
    {"mode", "NAME", NULL, "plug-in of a first start (hybrid); later the recorded one wins",
     apply_text, MEMBER(mode), 0, 0, false},
    {"option", "NAME=VALUE", NULL, "option of that plug-in, e.g. fsync=everysec; repeatable",
     apply_option, 0, 0, 0, true},
    {"max-value-size", "BYTES", "64M", "largest value accepted", apply_number,
     MEMBER(max_value_size), 1, 1024 * MEGABYTE, false},
    {"max-message-size", "BYTES", "80M", "largest request accepted", apply_number,
     MEMBER(max_message_size), 1024, 2047 * MEGABYTE, false},
    {"max-memory", "BYTES", "0", "bound on the sum of keys and values; 0 = none", apply_number,
     MEMBER(max_memory), 0, UINT64_MAX >> 1, false},
    {"max-wire-memory", "BYTES", "512M", "bound on requests, and on replies, that are on their way",
     apply_number, MEMBER(max_wire_memory), 1024, UINT64_MAX >> 1, false},
    {"workers", "N", "2", "threads that serve calls", apply_number, MEMBER(workers), 1, 64, false},
    {"shutdown-grace-ms", "MS", "10000", "how long calls under way may take at the end",
     apply_number, MEMBER(shutdown_grace_ms), 0, 3600000, false},
    {"hook-budget", "SECONDS", "5", "a plug-in's write is reported when it takes longer; 0 = never",
     apply_number, MEMBER(hook_budget), 0, 86400, false},
    {"log-level", "LEVEL", "info", "error, warning, info or debug", apply_level, MEMBER(log_level),
     0, 0, false},
    {"check-config", NULL, NULL, "check the configuration and exit", apply_switch,
     MEMBER(check_only), 0, 0, false},
    {"version", NULL, NULL, "print the version and exit", apply_switch, MEMBER(show_version), 0, 0,
     false},
    {"help", NULL, NULL, "print this and exit", apply_switch, MEMBER(show_help), 0, 0, false},
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

/* inih calls this for each line; 0 stops it there. */
static int read_line(void *context, const char *section, const char *name, const char *value)
{
   struct reading *reading = context;
   const struct setting *setting = find_setting(name);
   if (section[0] != '\0' || !setting || !setting->argument) {
      kv_fail(reading->status, KV_INVALID_ARGUMENT,
              "%s: \"%s%s%s\" is no setting; see --help for those there are", reading->file,
              section, section[0] ? "." : "", name);
      return 0;
   }
   return apply(reading, setting, value) == KV_OK;
}

static enum kv_code read_file(struct reading *reading, const char *path)
{
   reading->source = SOURCE_FILE;
   reading->file = path;
   reading->status->code = KV_OK;
   errno = 0;
   int line = ini_parse(path, read_line, reading);
   if (line == 0)
      return KV_OK;
   if (line < 0)
      return kv_fail_errno(reading->status, errno ? errno : ENOMEM,
                           "cannot read configuration file %s", path);
   if (reading->status->code != KV_OK)
      return reading->status->code;
   return kv_fail(reading->status, KV_INVALID_ARGUMENT,
                  "%s, line %d: not of the form \"name = value\"", path, line);
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
   for (char *part; (part = strsep(&rest, ",")) != NULL;)
      if (setting->apply(reading, setting, part) != KV_OK)
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
   for (int found; (found = getopt_long(argc, argv, ":", flags, &index)) != -1;) {
      if (found == ':')
         return kv_fail(status, KV_INVALID_ARGUMENT, "%s needs a value; see --help",
                        argv[optind - 1]);
      if (found == '?')
         return kv_fail(status, KV_INVALID_ARGUMENT, "%s is no flag; see --help", argv[optind - 1]);
      if (found == 2)
         *file = optarg;
      else if (reading && apply(reading, &settings[index], optarg ? optarg : "") != KV_OK)
         return status->code;
   }
   if (optind < argc)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "\"%s\" is not expected; settings are given as flags, see --help",
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
         "Usage: kvstore-server [FLAGS]\n\n",
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
   fputs("  --config FILE                  read settings from FILE, lines of \"name = value\"\n\n"
         "Every setting with a value is also an environment variable (--data-dir:\n"
         "KVSTORE_DATA_DIR; lists separated by commas) and a line of the file. A flag wins over\n"
         "the environment, the environment over the file.\n",
         out);
}
