/* What there is to set: names, defaults, help and limits, and the checks of each kind of value. */
#include "core/config_internal.h"

#include "core/support/size.h"
#include "core/support/text.h"

#include <stdlib.h>
#include <string.h>

bool kv_setting_has_value(const struct setting *setting)
{
   return setting->argument || setting->fallback;
}

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

static enum kv_code apply_choice(struct reading *reading, const struct setting *setting,
                                 char *value)
{
   bool yes = strcmp(value, "yes") == 0 || strcmp(value, "1") == 0;
   if (!yes && strcmp(value, "no") != 0 && strcmp(value, "0") != 0)
      return refuse(reading, setting, value, "is none of yes, no, 1, 0");
   *(bool *)member(reading, setting) = yes;
   return KV_OK;
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
   bool parsed = kv_number_parse(value, &number);
   return take_number(reading, setting, value, parsed, number, "");
}

static enum kv_code apply_size(struct reading *reading, const struct setting *setting, char *value)
{
   uint64_t bytes = 0;
   bool parsed = kv_size_parse(value, &bytes);
   return take_number(reading, setting, value, parsed, bytes, " bytes; units are " KV_SIZE_UNITS);
}

static enum kv_code apply_memory(struct reading *reading, const struct setting *setting,
                                 char *value)
{
   struct kv_config *config = reading->config;
   if (reading->source > SOURCE_DEFAULT &&
       setting->offset == offsetof(struct kv_config, max_memory))
      config->max_memory_given = true;
   else if (reading->source > SOURCE_DEFAULT &&
            setting->offset == offsetof(struct kv_config, watch_history))
      config->watch_history_given = true;
   else if (reading->source > SOURCE_DEFAULT)
      config->max_wire_memory_given = true;
   return apply_size(reading, setting, value);
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

static enum kv_code apply_log_format(struct reading *reading, const struct setting *setting,
                                     char *value)
{
   bool is_json = strcmp(value, "json") == 0;
   if (!is_json && strcmp(value, "text") != 0)
      return refuse(reading, setting, value, "is none of text, json");
   *(enum kv_log_format *)member(reading, setting) = is_json ? KV_LOG_JSON : KV_LOG_TEXT;
   return KV_OK;
}

static enum kv_code apply_wire(struct reading *reading, const struct setting *setting, char *value)
{
   if (strcmp(value, "http2") != 0 && strcmp(value, "grpc") != 0)
      return refuse(reading, setting, value, "is none of http2, grpc");
   *(const char **)member(reading, setting) = value;
   return KV_OK;
}

static enum kv_code apply_client_auth(struct reading *reading, const struct setting *setting,
                                      char *value)
{
   if (strcmp(value, "require") != 0 && strcmp(value, "request") != 0)
      return refuse(reading, setting, value, "is none of require, request");
   reading->config->tls_client_auth = true;
   *(bool *)member(reading, setting) = strcmp(value, "request") == 0;
   return KV_OK;
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

static enum kv_code apply_socket_mode(struct reading *reading, const struct setting *setting,
                                      char *value)
{
   size_t digits = strspn(value, "01234567");
   unsigned long mode = strtoul(value, NULL, 8);
   if (digits == 0 || digits > 4 || value[digits] != '\0' || mode > 0777 || (mode & 0600) != 0600)
      return refuse(reading, setting, value,
                    "is not a mode in octal digits that lets the server's user in, such as 0600, "
                    "0660 (its group, too) or 0666 (everybody on this machine)");
   *(mode_t *)member(reading, setting) = (mode_t)mode;
   return KV_OK;
}

static enum kv_code apply_http_listen(struct reading *reading, const struct setting *setting,
                                      char *value)
{
   struct kv_config *config = reading->config;
   if (value[0] == '\0' || strncmp(value, "systemd:", strlen("systemd:")) == 0)
      return refuse(reading, setting, value, "is no address; give HOST:PORT, unix:PATH or none");
   config->http_listen = strcmp(value, "none") != 0 ? value : NULL;
   config->http_listen_given = reading->source > SOURCE_DEFAULT;
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
   config->options[config->option_count++] = (struct kv_mode_option){value, equals + 1};
   return KV_OK;
}

#define MEMBER(name) offsetof(struct kv_config, name)
#define MEGABYTE ((uint64_t)1 << 20)

/* The receive limit has space for a value of the default size with a key and the message around.
 */
const struct setting kv_config_settings[] = {
    {"listen", "ADDR", "127.0.0.1:50051",
     "address to listen on, HOST:PORT or unix:PATH; repeatable", apply_listen, 0, 0, 0, true},
    {"socket-mode", "MODE", "0600",
     "mode of the file of a Unix socket: who may write it may connect", apply_socket_mode,
     MEMBER(socket_mode), 0, 0, false},
    {"insecure", NULL, "no",
     "listen where other machines connect, without both TLS and users; in the environment and the "
     "file: yes or no",
     apply_choice, MEMBER(insecure), 0, 0, false},
    {"http-listen", "ADDR", "127.0.0.1:50052",
     "address of the HTTP server with the metrics, as in listen; none turns it off",
     apply_http_listen, 0, 0, 0, false},
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
    {"max-memory", "SIZE", NULL,
     "limit on the total size of keys and values; 0 means none, as does no setting, unless a "
     "control group limits memory",
     apply_memory, MEMBER(max_memory), 0, UINT64_MAX >> 1, false},
    {"max-wire-memory", "SIZE", "512M",
     "limit on the memory held by the calls of all clients; less where a control group limits "
     "memory",
     apply_memory, MEMBER(max_wire_memory), 1024, UINT64_MAX >> 1, false},
    {"watch-history", "SIZE", "64M",
     "memory for the latest changes, which a watch that comes back goes on with; less where a "
     "control group limits memory",
     apply_memory, MEMBER(watch_history), MEGABYTE, 1024 * 1024 * MEGABYTE, false},
    {"reader-timeout", "SECONDS", "30",
     "how long a call may wait for a client that does not read its reply, or send its request",
     apply_number, MEMBER(reader_timeout), 1, 86400, false},
    {"wire", "ENGINE", "http2",
     "what carries the calls: http2 (nghttp2) or grpc (the C core of gRPC)", apply_wire,
     MEMBER(wire), 0, 0, false},
    {"tls-cert", "FILE", NULL,
     "certificate of the server with its chain (PEM): serve TLS, on all but Unix sockets",
     apply_text, MEMBER(tls.certificate), 0, 0, false},
    {"tls-key", "FILE", NULL, "private key of that certificate (PEM), which others may not read",
     apply_text, MEMBER(tls.key), 0, 0, false},
    {"tls-client-ca", "FILE", NULL, "verify certificates of clients against those in FILE (PEM)",
     apply_text, MEMBER(tls.client_ca), 0, 0, false},
    {"tls-client-auth", "WHETHER", NULL,
     "require a certificate of each client (the default), or request one: a client may have none",
     apply_client_auth, MEMBER(tls.client_may_be_none), 0, 0, false},
    {"users", "FILE", NULL,
     "serve only the users in FILE, each what it grants; read again on SIGHUP and when it changes",
     apply_text, MEMBER(users), 0, 0, false},
    {"workers", "N", "2", "number of threads that serve calls", apply_number, MEMBER(workers), 1,
     64, false},
    {"shutdown-grace-ms", "MS", "10000", "how long calls in flight may take to finish at shutdown",
     apply_number, MEMBER(shutdown_grace_ms), 0, 3600000, false},
    {"shutdown-stall-ms", "MS", "60000",
     "how long shutdown may make no progress before the process ends regardless", apply_number,
     MEMBER(shutdown_stall_ms), 1, 86400000, false},
    {"hook-budget", "SECONDS", "5", "warn when a plug-in's write takes longer; 0 means never",
     apply_number, MEMBER(hook_budget), 0, 86400, false},
    {"backup-dir", "DIR", NULL, "make backups by itself in this directory, which must exist",
     apply_text, MEMBER(backup_dir), 0, 0, false},
    {"backup-interval", "SECONDS", "86400", "time from one backup to the next", apply_number,
     MEMBER(backup_interval), 1, 31622400, false},
    {"backup-keep", "N", "7", "how many backups are kept of those that it made; 0 means all",
     apply_number, MEMBER(backup_keep), 0, 1000000, false},
    {"backup-keep-days", "N", "0",
     "days after which such a backup is removed, but never the newest; 0 means never", apply_number,
     MEMBER(backup_keep_days), 0, 36500, false},
    {"backup-rate", "SIZE", "0",
     "limit on the bytes per second that such a backup writes; 0 means none", apply_size,
     MEMBER(backup_rate), 0, UINT64_MAX >> 1, false},
    {"request-id-window", "SECONDS", "600",
     "how long a request with a request_id is remembered, to answer its repetition", apply_number,
     MEMBER(request_id_window), 1, 86400, false},
    {"slow-ms", "MS", "100", "keep calls that took as long, for slowlog; 0 means none",
     apply_number, MEMBER(slow_ms), 0, 86400000, false},
    {"log-level", "LEVEL", "info",
     "what is logged: error, warning, info or debug, each with those before it", apply_level,
     MEMBER(log_level), 0, 0, false},
    {"log-format", "FORMAT", "text", "text or json: what a line of the log looks like",
     apply_log_format, MEMBER(log_format), 0, 0, false},
    {"check-config", NULL, NULL, "make every check that a start makes, then exit", apply_switch,
     MEMBER(check_only), 0, 0, false},
    {"version", NULL, NULL, "print the version and exit", apply_switch, MEMBER(show_version), 0, 0,
     false},
    {"help", NULL, NULL, "print this help and exit (also -h)", apply_switch, MEMBER(show_help), 0,
     0, false},
};
const size_t kv_config_setting_count = sizeof kv_config_settings / sizeof *kv_config_settings;

_Static_assert(sizeof kv_config_settings / sizeof *kv_config_settings <= KV_CONFIG_SETTINGS_MAX,
               "the arrays of those who read settings have space");

void kv_config_print_help(FILE *out)
{
   fputs("kvstore-server: a key-value store with persistence plug-ins, served over gRPC\n\n"
         "Usage: kvstore-server [OPTIONS]\n\n",
         out);
   for (size_t i = 0; i < kv_config_setting_count; i++) {
      char flag[64];
      snprintf(flag, sizeof flag, "--%s %s", kv_config_settings[i].name,
               kv_config_settings[i].argument ? kv_config_settings[i].argument : "");
      fprintf(out, "  %-30s %s", flag, kv_config_settings[i].help);
      if (kv_config_settings[i].fallback)
         fprintf(out, " (default %s)", kv_config_settings[i].fallback);
      fputc('\n', out);
   }
   fputs(
       "  --config FILE                  read settings from FILE, one \"name = value\" per line\n\n"
       "SIZE is a number of bytes, or has a unit: " KV_SIZE_UNITS ".\n\n"
       "Each option that takes a value can also be set in the environment (--data-dir as\n"
       "KVSTORE_DATA_DIR) and in the file (data-dir = ...). The command line takes precedence\n"
       "over the environment, and the environment over the file. In the environment, commas\n"
       "separate the values of a repeatable option; write \"\\,\" for a comma within a value.\n",
       out);
}
