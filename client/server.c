/* The commands about the server: its mode, its plug-ins, its state. */
#include "client/commands.h"
#include "client/print.h"
#include "client/report.h"
#include "client/words.h"

#include <inttypes.h>
#include <kvstore.pb-c.h>
#include <stdlib.h>
#include <time.h>

/* ---- config ---- */

struct mode {
   const char *name;
   Kvstore__StorageMode mode;
   const char *numbers[4]; /* the arguments in order, NULL at the end */
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

/* What the server makes of a number that is negative or absurd is for the server to say; here it
 * only has to fit its field. */
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

int command_config(struct session *session, const struct kv_slice *arguments, size_t count)
{
   const struct mode *mode = find_mode(arguments[0]);
   if (!mode)
      return session_misuse(session, "unknown mode; give one of NON_PERSISTENT, SNAPSHOT, AOF, "
                                     "HYBRID (configure takes any plug-in)");
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
   ProtobufCMessage *message;
   int result = session_call(session,
                             &(struct session_request){"Config", SESSION_SLOW, &request.base,
                                                       &kvstore__config_response__descriptor},
                             &message);
   if (result != EXIT_DONE)
      return result;
   bool success = ((const Kvstore__ConfigResponse *)message)->success;
   protobuf_c_message_free_unpacked(message, NULL);
   struct kv_status status;
   if (!success)
      return session_report(session,
                            kv_fail(&status, KV_FAILED_PRECONDITION,
                                    "the server did not switch to %s and gave no reason",
                                    mode->name),
                            &status);
   fputs("OK\n", session->out);
   return EXIT_DONE;
}

/* ---- configure ---- */

static void print_bytes_field(FILE *out, const char *name, ProtobufCBinaryData value)
{
   print_label(out, name);
   print_text(out, session_bytes(value));
   fputc('\n', out);
}

/* Splits NAME=VALUE. */
static bool read_option(struct kv_slice word, Kvstore__MapEntry *option)
{
   const char *text = word.data;
   const char *equals = memchr(text, '=', word.size);
   if (!equals || equals == text)
      return false;
   size_t name_size = (size_t)(equals - text);
   kvstore__map_entry__init(option);
   option->key = session_field(kv_slice(text, name_size));
   option->value = session_field(kv_slice(equals + 1, word.size - name_size - 1));
   return true;
}

#define SHADOW_SECONDS "--shadow="
#define SHADOW_SECONDS_MAX 86400

static bool is_shadow_seconds(struct kv_slice word)
{
   return word.size >= strlen(SHADOW_SECONDS) &&
          memcmp(word.data, SHADOW_SECONDS, strlen(SHADOW_SECONDS)) == 0;
}

static bool read_shadow_seconds(struct kv_slice word, Kvstore__ConfigureRequest *request)
{
   const size_t size = strlen(SHADOW_SECONDS);
   int64_t seconds;
   if (!words_integer(kv_slice((const char *)word.data + size, word.size - size), 0,
                      SHADOW_SECONDS_MAX, &seconds))
      return false;
   request->shadow = true;
   request->shadow_time_case = KVSTORE__CONFIGURE_REQUEST__SHADOW_TIME_SHADOW_SECONDS;
   request->shadow_seconds = (uint32_t)seconds;
   return true;
}

static int configure(struct session *session, const Kvstore__ConfigureRequest *request)
{
   ProtobufCMessage *message;
   int result = session_call(session,
                             &(struct session_request){"Configure", SESSION_SLOW, &request->base,
                                                       &kvstore__configure_response__descriptor},
                             &message);
   if (result != EXIT_DONE)
      return result;
   const Kvstore__ConfigureResponse *answer = (const Kvstore__ConfigureResponse *)message;
   if (request->shadow) {
      struct kv_status status;
      result = answer->shadow
                   ? report_shadow(session->out, answer->shadow)
                   : session_report(session,
                                    kv_fail(&status, KV_UNIMPLEMENTED,
                                            "this server is too old for shadow runs; nothing was "
                                            "changed"),
                                    &status);
      protobuf_c_message_free_unpacked(message, NULL);
      return result;
   }
   if (request->validate_only)
      fputs("valid; nothing was changed\n", session->out);
   print_bytes_field(session->out, "plugin", answer->plugin);
   report_options(session->out, answer->options, answer->n_options);
   print_field(session->out, "generation", "%" PRIu64, answer->generation);
   print_field(session->out, "sequence", "%" PRIu64, answer->sequence);
   protobuf_c_message_free_unpacked(message, NULL);
   return EXIT_DONE;
}

int command_configure(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__MapEntry *entries = calloc(count, sizeof *entries);
   Kvstore__MapEntry **options = calloc(count, sizeof *options);
   struct kv_status status;
   int result;
   if (!entries || !options) {
      result = session_report(session, kv_fail(&status, KV_RESOURCE_EXHAUSTED, "out of memory"),
                              &status);
      goto out;
   }
   Kvstore__ConfigureRequest request = KVSTORE__CONFIGURE_REQUEST__INIT;
   request.plugin = session_field(arguments[0]);
   request.options = options;
   for (size_t i = 1; i < count; i++) {
      if (words_same(arguments[i], "--validate-only")) {
         request.validate_only = true;
      } else if (words_same(arguments[i], "--shadow")) {
         request.shadow = true;
      } else if (is_shadow_seconds(arguments[i])) {
         if (!read_shadow_seconds(arguments[i], &request)) {
            result = session_misuse(session, "--shadow= takes a number of seconds up to %d",
                                    SHADOW_SECONDS_MAX);
            goto out;
         }
      } else if (read_option(arguments[i], &entries[request.n_options])) {
         options[request.n_options] = &entries[request.n_options];
         request.n_options++;
      } else {
         result = session_misuse(session, "argument %zu is not of the form NAME=VALUE", i + 1);
         goto out;
      }
   }
   /* An older server does not know the field, and would switch. */
   request.validate_only = request.validate_only || request.shadow;
   result = configure(session, &request);
out:
   free(options);
   free(entries);
   return result;
}

/* ---- plugins ---- */

static void print_range(FILE *out, const Kvstore__Plugin__Option *option)
{
   for (size_t i = 0; i < option->n_choices; i++) {
      fputs(i ? "|" : "  ", out);
      print_word(out, session_bytes(option->choices[i]));
   }
   if (option->minimum != 0 || option->maximum != 0)
      fprintf(out, "  %" PRId64 "..%" PRId64, option->minimum, option->maximum);
}

static void print_option(FILE *out, const Kvstore__Plugin__Option *option)
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

static void print_plugin(FILE *out, const Kvstore__Plugin *plugin)
{
   static const char *const promises[] = {"volatile", "periodic", "durable"};
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

int command_plugins(struct session *session, const struct kv_slice *arguments, size_t count)
{
   (void)arguments, (void)count;
   Kvstore__ListPluginsRequest request = KVSTORE__LIST_PLUGINS_REQUEST__INIT;
   ProtobufCMessage *message;
   int result = session_call(session,
                             &(struct session_request){"ListPlugins", SESSION_QUICK, &request.base,
                                                       &kvstore__list_plugins_response__descriptor},
                             &message);
   if (result != EXIT_DONE)
      return result;
   const Kvstore__ListPluginsResponse *answer = (const Kvstore__ListPluginsResponse *)message;
   for (size_t i = 0; i < answer->n_plugins; i++)
      print_plugin(session->out, answer->plugins[i]);
   protobuf_c_message_free_unpacked(message, NULL);
   return EXIT_DONE;
}

/* ---- save, status ---- */

int command_save(struct session *session, const struct kv_slice *arguments, size_t count)
{
   (void)arguments, (void)count;
   Kvstore__SaveRequest request = KVSTORE__SAVE_REQUEST__INIT;
   ProtobufCMessage *message;
   int result = session_call(session,
                             &(struct session_request){"Save", SESSION_SLOW, &request.base,
                                                       &kvstore__save_response__descriptor},
                             &message);
   if (result != EXIT_DONE)
      return result;
   fprintf(session->out, "OK, saved up to sequence %" PRIu64 "\n",
           ((const Kvstore__SaveResponse *)message)->sequence);
   protobuf_c_message_free_unpacked(message, NULL);
   return EXIT_DONE;
}

enum { TIME_SIZE = 64 };

/* False for 0, which stands for no time. */
static bool format_time(int64_t unix_ms, char text[TIME_SIZE])
{
   time_t seconds = (time_t)(unix_ms / 1000);
   struct tm local;
   return seconds != 0 && localtime_r(&seconds, &local) &&
          strftime(text, TIME_SIZE, "%Y-%m-%d %H:%M:%S %z", &local) != 0;
}

static void print_last_save(FILE *out, const Kvstore__StatusResponse *answer)
{
   char text[TIME_SIZE];
   if (!format_time(answer->last_save_unix_ms, text))
      print_field(out, "last save", "none since the start");
   else
      print_field(out, "last save", "%s, up to sequence %" PRIu64, text,
                  answer->last_save_sequence);
}

static void print_recovery(FILE *out, const Kvstore__Recovery *recovery)
{
   print_field(out, "recovery",
               "%" PRIu64 " records from %" PRIu64 " files in %" PRIu64 " ms: %" PRIu64
               " keys, up to sequence %" PRIu64,
               recovery->records, recovery->file_count, recovery->duration_ms, recovery->keys,
               recovery->sequence);
   for (size_t i = 0; i < recovery->n_torn; i++) {
      const Kvstore__Recovery__Torn *torn = recovery->torn[i];
      print_label(out, "torn");
      print_plain(out, session_bytes(torn->file));
      fprintf(out, " at offset %" PRIu64 ", %" PRIu64 " bytes ", torn->offset, torn->bytes);
      print_plain(out, session_bytes(torn->outcome));
      fputc('\n', out);
   }
   for (size_t i = 0; i < recovery->n_passed_over; i++) {
      print_label(out, "passed over");
      print_plain(out, session_bytes(recovery->passed_over[i]->reason));
      fputc('\n', out);
   }
}

static void print_last_error(FILE *out, const Kvstore__StatusResponse *answer)
{
   char text[TIME_SIZE];
   print_label(out, "last error");
   print_plain(out, answer->last_error.len > 0 ? session_bytes(answer->last_error)
                                               : kv_slice_of("none since the start"));
   fputc('\n', out);
   if (format_time(answer->last_error_unix_ms, text))
      print_field(out, "", "%s, %" PRIu64 " %s", text, answer->last_error_count,
                  answer->last_error_count == 1 ? "time" : "times");
   if (answer->refused_writes > 0)
      print_field(out, "refused", "%" PRIu64 " writes since the start, for want of room",
                  answer->refused_writes);
}

static void print_status(FILE *out, const Kvstore__StatusResponse *answer)
{
   uint64_t seconds = answer->uptime_ms / 1000;
   print_bytes_field(out, "version", answer->version);
   print_bytes_field(out, "store", answer->store_id);
   print_bytes_field(out, "plugin", answer->plugin);
   report_options(out, answer->options, answer->n_options);
   print_field(out, "keys", "%" PRIu64, answer->keys);
   print_field(out, "bytes", "%" PRIu64, answer->bytes);
   print_field(out, "sequence", "%" PRIu64, answer->sequence);
   print_field(out, "generation", "%" PRIu64, answer->generation);
   if (answer->recovery)
      print_recovery(out, answer->recovery);
   print_last_save(out, answer);
   print_field(out, "uptime", "%" PRIu64 "d %02u:%02u:%02u", seconds / 86400,
               (unsigned)(seconds / 3600 % 24), (unsigned)(seconds / 60 % 60),
               (unsigned)(seconds % 60));
   print_field(out, "writes", "%s", answer->read_only ? "REFUSED (read-only)" : "accepted");
   print_last_error(out, answer);
   report_hooks(out, answer);
}

int command_status(struct session *session, const struct kv_slice *arguments, size_t count)
{
   (void)arguments, (void)count;
   Kvstore__StatusRequest request = KVSTORE__STATUS_REQUEST__INIT;
   ProtobufCMessage *message;
   int result = session_call(session,
                             &(struct session_request){"Status", SESSION_QUICK, &request.base,
                                                       &kvstore__status_response__descriptor},
                             &message);
   if (result != EXIT_DONE)
      return result;
   print_status(session->out, (const Kvstore__StatusResponse *)message);
   protobuf_c_message_free_unpacked(message, NULL);
   return EXIT_DONE;
}
