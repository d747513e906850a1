/* The commands about the server: its mode, its plug-ins, its state. */
#include "client/commands.h"
#include "client/options.h"
#include "client/print.h"
#include "client/report.h"
#include "client/words.h"

#include <health.pb-c.h>
#include <inttypes.h>
#include <kvstore.pb-c.h>
#include <kvstore/v1/admin.pb-c.h>
#include <stdlib.h>

/* ---- config ---- */

struct mode {
   const char *name;
   Kvstore__StorageMode mode;
   const char *numbers[4]; /* the names of its arguments, NULL at the end */
};

static const struct mode modes[] = {
    {"NON_PERSISTENT", KVSTORE__STORAGE_MODE__NON_PERSISTENT, {NULL}},
    {"SNAPSHOT", KVSTORE__STORAGE_MODE__SNAPSHOT, {"interval", "max", NULL}},
    {"AOF", KVSTORE__STORAGE_MODE__AOF, {"max_size", NULL}},
    {"HYBRID", KVSTORE__STORAGE_MODE__HYBRID, {"interval", "max", "max_size", NULL}},
};

static const struct mode *find_mode(struct kv_slice name)
{
   for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
      if (words_same(name, modes[i].name))
         return &modes[i];
   return NULL;
}

/* The server judges a number that is negative or absurd; here it only has to fit its field. */
static bool set_number(Kvstore__ConfigRequest *request, const char *name, struct kv_slice word)
{
   bool is_size = strcmp(name, "max_size") == 0;
   int64_t number;
   if (!words_integer(word, is_size ? INT64_MIN : INT32_MIN, is_size ? INT64_MAX : INT32_MAX,
                      &number))
      return false;
   if (is_size)
      request->aof_max_size = number;
   else if (strcmp(name, "max") == 0)
      request->max_snapshots = (int32_t)number;
   else
      request->snapshot_interval = (int32_t)number;
   return true;
}

static int show_config(struct session *session, const ProtobufCMessage *answer, const void *mode)
{
   if (!((const Kvstore__ConfigResponse *)answer)->success)
      return session_fail(session, KV_FAILED_PRECONDITION,
                          "the server did not switch to %s and gave no reason",
                          ((const struct mode *)mode)->name);
   fputs("OK\n", session->out);
   return EXIT_DONE;
}

int command_config(struct session *session, const struct kv_slice *arguments, size_t count)
{
   const struct mode *mode = find_mode(arguments[0]);
   if (!mode)
      return session_misuse(session, "unknown mode; use NON_PERSISTENT, SNAPSHOT, AOF or HYBRID "
                                     "(configure takes any plug-in)");
   Kvstore__ConfigRequest request = KVSTORE__CONFIG_REQUEST__INIT;
   request.storage_mode = mode->mode;
   for (size_t i = 1; i < count; i++) {
      const char *name = mode->numbers[i - 1];
      if (!name)
         return session_misuse(session, "too many numbers for %s: it takes %zu; see help config",
                               mode->name, i - 1);
      if (!set_number(&request, name, arguments[i]))
         return session_misuse(session, "<%s> must be a whole number that fits %s bits", name,
                               strcmp(name, "max_size") == 0 ? "64" : "32");
   }
   return session_call(session,
                       SESSION_REQUEST(SESSION_DATA "Config", SESSION_SLOW, request,
                                       kvstore__config_response__descriptor),
                       show_config, mode);
}

/* ---- configure ---- */

/* Splits NAME=VALUE. */
static bool read_option(struct kv_slice word, Kvstore__V1__MapEntry *option)
{
   const char *text = word.data;
   const char *equals = memchr(text, '=', word.size);
   if (!equals || equals == text)
      return false;
   size_t name_size = (size_t)(equals - text);
   kvstore__v1__map_entry__init(option);
   option->key = session_field(kv_slice(text, name_size));
   option->value = session_field(kv_slice(equals + 1, word.size - name_size - 1));
   return true;
}

#define SHADOW_SECONDS_MAX 86400

/* --shadow, or --shadow=SECONDS. */
static int read_shadow(struct options *options, Kvstore__V1__ConfigureRequest *request)
{
   int64_t seconds;
   request->shadow = true;
   if (!options->value.data)
      return OPTION_SHADOW;
   if (!words_integer(options->value, 0, SHADOW_SECONDS_MAX, &seconds))
      return options_wrong(options, "--shadow= takes a number of seconds up to %d",
                           SHADOW_SECONDS_MAX);
   request->shadow_time_case = KVSTORE__V1__CONFIGURE_REQUEST__SHADOW_TIME_SHADOW_SECONDS;
   request->shadow_seconds = (uint32_t)seconds;
   return OPTION_SHADOW;
}

static int show_configure(struct session *session, const ProtobufCMessage *message,
                          const void *context)
{
   const Kvstore__V1__ConfigureRequest *request = context;
   const Kvstore__V1__ConfigureResponse *answer = (const Kvstore__V1__ConfigureResponse *)message;
   FILE *out = session->out;
   if (request->shadow && answer->shadow)
      return report_shadow(out, answer->shadow);
   if (request->shadow)
      return session_fail(session, KV_UNIMPLEMENTED,
                          "this server is too old for shadow runs; nothing was changed");
   if (request->validate_only)
      fputs("valid; nothing was changed\n", out);
   print_bytes_field(out, "plugin", session_bytes(answer->plugin));
   report_options(out, answer->options, answer->n_options);
   print_field(out, "generation", "%" PRIu64, answer->generation);
   print_field(out, "sequence", "%" PRIu64, answer->version);
   print_bytes_field(out, "etag", session_bytes(answer->etag));
   return EXIT_DONE;
}

/* The plug-in, then its options, each once. */
static int read_configure_word(struct options *options, Kvstore__V1__ConfigureRequest *request,
                               Kvstore__V1__MapEntry *entries)
{
   Kvstore__V1__MapEntry *entry = &entries[request->n_options];
   if (request->plugin.data == NULL) {
      request->plugin = session_field(options->value);
      return OPTIONS_WORD;
   }
   if (!read_option(options->value, entry))
      return options_wrong(options, "\"%.*s\" is not of the form NAME=VALUE",
                           OPTIONS_SHOWN(options->value));
   for (size_t i = 0; i < request->n_options; i++)
      if (kv_slice_compare(session_bytes(entries[i].key), session_bytes(entry->key)) == 0)
         return options_wrong(options, "%.*s is given twice; give it once",
                              OPTIONS_SHOWN(session_bytes(entry->key)));
   request->options[request->n_options++] = entry;
   return OPTIONS_WORD;
}

/* Takes the arguments into `request`, the options of the plug-in into `entries`. */
static int read_configure(struct options *options, Kvstore__V1__ConfigureRequest *request,
                          Kvstore__V1__MapEntry *entries)
{
   for (int option; (option = options_next(options)) != OPTIONS_END;) {
      if (option == OPTION_VALIDATE_ONLY)
         request->validate_only = true;
      else if (option == OPTION_ETAG)
         request->etag = session_field(options->value);
      else if (option == OPTION_SHADOW)
         option = read_shadow(options, request);
      else if (option == OPTIONS_WORD)
         option = read_configure_word(options, request, entries);
      if (option == OPTIONS_WRONG)
         return option;
   }
   return request->plugin.data ? OPTIONS_END
                               : options_wrong(options, "which plug-in? See help configure");
}

int command_configure(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__V1__MapEntry *entries = calloc(count, sizeof *entries);
   Kvstore__V1__ConfigureRequest request = KVSTORE__V1__CONFIGURE_REQUEST__INIT;
   request.options = calloc(count, sizeof *request.options);
   struct options options;
   int result = EXIT_DONE;
   options_begin(&options, "configure", arguments, count);
   if (!entries || !request.options)
      result = session_fail(session, KV_RESOURCE_EXHAUSTED, "out of memory");
   else if (read_configure(&options, &request, entries) == OPTIONS_WRONG)
      result = session_misuse(session, "%s", options.error);
   if (result == EXIT_DONE)
      result = session_call(session,
                            SESSION_REQUEST(SESSION_ADMIN "Configure", SESSION_SLOW, request,
                                            kvstore__v1__configure_response__descriptor),
                            show_configure, &request);
   free(request.options);
   free(entries);
   return result;
}

/* ---- plugins ---- */

static void print_range(FILE *out, const Kvstore__V1__Plugin__Option *option)
{
   for (size_t i = 0; i < option->n_choices; i++) {
      fputs(i ? "|" : "  ", out);
      print_word(out, session_bytes(option->choices[i]));
   }
   if (option->minimum != 0 || option->maximum != 0)
      fprintf(out, "  %" PRId64 "..%" PRId64, option->minimum, option->maximum);
}

static void print_option(FILE *out, const Kvstore__V1__Plugin__Option *option)
{
   fputs("   ", out);
   print_word(out, session_bytes(option->name));
   fputc('=', out);
   print_word(out, session_bytes(option->default_value));
   fputs("  ", out);
   print_plain(out, session_bytes(option->type));
   print_range(out, option);
   fputs("  ", out);
   print_plain(out, session_bytes(option->help));
   fputc('\n', out);
}

static void print_plugin(FILE *out, const Kvstore__V1__Plugin *plugin)
{
   static const char *const promises[] = {"?", "volatile", "periodic", "durable"};
   fputs(plugin->active ? "* " : "  ", out);
   print_word(out, session_bytes(plugin->name));
   if (plugin->error.len > 0) {
      fputs("  cannot be loaded: ", out);
      print_plain(out, session_bytes(plugin->error));
      fputc('\n', out);
      return;
   }
   fputc(' ', out);
   print_plain(out, session_bytes(plugin->version));
   unsigned promise = (unsigned)plugin->promise;
   fprintf(out, "  %s  ", promise < sizeof promises / sizeof *promises ? promises[promise] : "?");
   print_plain(out, session_bytes(plugin->description));
   fputc('\n', out);
   for (size_t i = 0; i < plugin->n_options; i++)
      print_option(out, plugin->options[i]);
}

static int show_plugins(struct session *session, const ProtobufCMessage *message,
                        const void *context)
{
   (void)context;
   const Kvstore__V1__ListPluginsResponse *answer =
       (const Kvstore__V1__ListPluginsResponse *)message;
   for (size_t i = 0; i < answer->n_plugins; i++)
      print_plugin(session->out, answer->plugins[i]);
   return EXIT_DONE;
}

int command_plugins(struct session *session, const struct kv_slice *arguments, size_t count)
{
   (void)arguments, (void)count;
   Kvstore__V1__ListPluginsRequest request = KVSTORE__V1__LIST_PLUGINS_REQUEST__INIT;
   return session_call(session,
                       SESSION_REQUEST(SESSION_ADMIN "ListPlugins", SESSION_QUICK, request,
                                       kvstore__v1__list_plugins_response__descriptor),
                       show_plugins, NULL);
}

/* ---- save, status ---- */

static int show_save(struct session *session, const ProtobufCMessage *answer, const void *context)
{
   (void)context;
   fprintf(session->out, "OK, saved up to sequence %" PRIu64 "\n",
           ((const Kvstore__V1__SaveResponse *)answer)->version);
   return EXIT_DONE;
}

int command_save(struct session *session, const struct kv_slice *arguments, size_t count)
{
   (void)arguments, (void)count;
   Kvstore__V1__SaveRequest request = KVSTORE__V1__SAVE_REQUEST__INIT;
   return session_call(session,
                       SESSION_REQUEST(SESSION_ADMIN "Save", SESSION_SLOW, request,
                                       kvstore__v1__save_response__descriptor),
                       show_save, NULL);
}

static int show_status(struct session *session, const ProtobufCMessage *answer, const void *context)
{
   (void)context;
   report_status(session->out, (const Kvstore__V1__GetStatusResponse *)answer);
   return EXIT_DONE;
}

int command_status(struct session *session, const struct kv_slice *arguments, size_t count)
{
   (void)arguments, (void)count;
   Kvstore__V1__GetStatusRequest request = KVSTORE__V1__GET_STATUS_REQUEST__INIT;
   return session_call(session,
                       SESSION_REQUEST(SESSION_ADMIN "GetStatus", SESSION_QUICK, request,
                                       kvstore__v1__get_status_response__descriptor),
                       show_status, NULL);
}

/* ---- health ---- */

static int show_health(struct session *session, const ProtobufCMessage *answer, const void *context)
{
   (void)context;
   if (((const Grpc__Health__V1__HealthCheckResponse *)answer)->status !=
       GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
      return session_fail(session, KV_UNAVAILABLE, "NOT_SERVING");
   fputs("SERVING\n", session->out);
   return EXIT_DONE;
}

int command_health(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
   if (count > 0)
      request.service = session_field(arguments[0]);
   return session_call(session,
                       SESSION_REQUEST("/grpc.health.v1.Health/Check", SESSION_QUICK, request,
                                       grpc__health__v1__health_check_response__descriptor),
                       show_health, NULL);
}
