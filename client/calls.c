/* slowlog, monitor and hot: what the server has seen of calls. */
#include "client/commands.h"
#include "client/options.h"
#include "client/print.h"
#include "client/words.h"

#include <inttypes.h>
#include <kvstore/v1/admin.pb-c.h>
#include <stdlib.h>
#include <time.h>

#define MS_PER_S 1000
#define US_PER_MS 1000.0
#define SLOW_CALLS_MAX 1024
#define HOT_PREFIXES_MAX 1000

/* ---- A call ---- */

static void print_time(FILE *out, int64_t unix_ms)
{
   char text[32];
   struct tm local;
   time_t seconds = (time_t)(unix_ms / MS_PER_S);
   if (localtime_r(&seconds, &local) &&
       strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local) != 0)
      fprintf(out, "%s.%03d", text, (int)(unix_ms % MS_PER_S));
   else
      fprintf(out, "%" PRId64, unix_ms);
}

static void print_key(FILE *out, const Kvstore__V1__CallEvent *event)
{
   if (event->key_size == 0)
      return;
   fputs("  key=", out);
   print_word(out, session_bytes(event->key));
   if (event->key_size > event->key.len)
      fprintf(out, "... (%" PRIu64 " bytes)", event->key_size);
}

static void print_call(FILE *out, const Kvstore__V1__CallEvent *event)
{
   print_time(out, event->end_unix_ms);
   fprintf(out, " %10.3f ms  %-17s ", (double)event->duration_us / US_PER_MS,
           kv_code_name((enum kv_code)event->code));
   print_plain(out, event->method.len > 0 ? session_bytes(event->method)
                                          : kv_slice_of("(unknown method)"));
   fputs("  from ", out);
   print_plain(out, session_bytes(event->peer));
   if (event->user.len > 0) {
      fputs("  user=", out);
      print_word(out, session_bytes(event->user));
   }
   fprintf(out, "  %" PRIu64 " byte%s", event->request_bytes, print_plural(event->request_bytes));
   print_key(out, event);
   fputc('\n', out);
}

/* ---- slowlog and hot ---- */

static bool read_limit(struct kv_slice word, int64_t max, uint32_t *limit)
{
   int64_t number;
   if (!words_integer(word, 1, max, &number))
      return false;
   *limit = (uint32_t)number;
   return true;
}

static int show_slow_calls(struct session *session, const ProtobufCMessage *message,
                           const void *context)
{
   const Kvstore__V1__ListSlowCallsResponse *answer =
       (const Kvstore__V1__ListSlowCallsResponse *)message;
   FILE *out = session->out;
   (void)context;
   for (size_t i = 0; i < answer->n_calls; i++)
      if (answer->calls[i]->call)
         print_call(out, answer->calls[i]->call);
   if (answer->threshold_ms == 0)
      fputs("the server keeps no slow calls, as its setting slow-ms is 0\n", out);
   else
      fprintf(out, "%" PRIu64 " call%s took %" PRIu64 " ms or longer since the start\n",
              answer->count, print_plural(answer->count), answer->threshold_ms);
   return EXIT_DONE;
}

int command_slowlog(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__V1__ListSlowCallsRequest request = KVSTORE__V1__LIST_SLOW_CALLS_REQUEST__INIT;
   if (count > 0 && !read_limit(arguments[0], SLOW_CALLS_MAX, &request.limit))
      return session_misuse(session, "N must be a number from 1 to %d", SLOW_CALLS_MAX);
   return session_call(session,
                       SESSION_REQUEST(SESSION_ADMIN "ListSlowCalls", SESSION_QUICK, request,
                                       kvstore__v1__list_slow_calls_response__descriptor),
                       show_slow_calls, NULL);
}

static int show_hot(struct session *session, const ProtobufCMessage *message, const void *context)
{
   const Kvstore__V1__ListHotPrefixesResponse *answer =
       (const Kvstore__V1__ListHotPrefixesResponse *)message;
   FILE *out = session->out;
   (void)context;
   for (size_t i = 0; i < answer->n_prefixes; i++) {
      const Kvstore__V1__HotPrefix *hot = answer->prefixes[i];
      fprintf(out, "%5.1f %% %11" PRIu64 " calls  ", hot->share * 100, hot->calls);
      print_word(out, session_bytes(hot->prefix));
      fputc('\n', out);
   }
   fprintf(out, "from a sample of %" PRIu64 " call%s with keys within the last minute\n",
           answer->sampled_calls, print_plural(answer->sampled_calls));
   return EXIT_DONE;
}

int command_hot(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__V1__ListHotPrefixesRequest request = KVSTORE__V1__LIST_HOT_PREFIXES_REQUEST__INIT;
   if (count > 0 && !read_limit(arguments[0], HOT_PREFIXES_MAX, &request.limit))
      return session_misuse(session, "N must be a number from 1 to %d", HOT_PREFIXES_MAX);
   return session_call(session,
                       SESSION_REQUEST(SESSION_ADMIN "ListHotPrefixes", SESSION_QUICK, request,
                                       kvstore__v1__list_hot_prefixes_response__descriptor),
                       show_hot, NULL);
}

/* ---- monitor ---- */

static enum kv_code show_calls(void *context, const ProtobufCMessage *message,
                               struct kv_status *status)
{
   const Kvstore__V1__MonitorResponse *answer = (const Kvstore__V1__MonitorResponse *)message;
   const struct session *session = context;
   if (answer->n_calls == 0 && answer->left_out == 0)
      fputs("following; ^C ends it\n", stderr); /* the first message */
   for (size_t i = 0; i < answer->n_calls; i++)
      print_call(session->out, answer->calls[i]);
   if (answer->left_out > 0)
      fprintf(session->out, "(%" PRIu64 " more call%s, too many to show)\n", answer->left_out,
              print_plural(answer->left_out));
   if (fflush(session->out) != 0)
      return kv_fail(status, KV_CANCELLED, "cannot write to standard output");
   return KV_OK;
}

int command_monitor(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__V1__MonitorRequest request = KVSTORE__V1__MONITOR_REQUEST__INIT;
   struct options options;
   options_begin(&options, "monitor", arguments, count);
   for (int option; (option = options_next(&options)) != OPTIONS_END;) {
      if (option == OPTIONS_WORD)
         option = options_refuse_word(&options);
      if (option == OPTIONS_WRONG)
         return session_misuse(session, "%s", options.error);
      if (option == OPTION_FAILED)
         request.failed_only = true;
      else
         *(option == OPTION_METHOD ? &request.method_prefix : &request.key_prefix) =
             session_field(options.value);
   }
   struct kv_status status;
   enum kv_code code =
       session_stream(session,
                      SESSION_REQUEST(SESSION_ADMIN "Monitor", SESSION_SLOW, request,
                                      kvstore__v1__monitor_response__descriptor),
                      show_calls, session, &status);
   if (code == KV_CANCELLED && connection_interrupted(session->connection)) {
      session->cut = false;
      fputc('\n', stderr); /* the terminal has shown ^C on this line */
      return EXIT_DONE;
   }
   return session_report(session, code, &status);
}
