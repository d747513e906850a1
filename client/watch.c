/* The command watch: changes as they happen. */
#include "client/commands.h"
#include "client/entry_json.h"
#include "client/operation.h"
#include "client/print.h"
#include "client/ranges.h"
#include "client/times.h"
#include "client/words.h"

#include <errno.h>
#include <inttypes.h>
#include <kvstore/v1/key_value.pb-c.h>
#include <stdlib.h>
#include <time.h>

#define RANGES_MAX 100
#define PROGRESS_MS 1000
/* Before it connects again. */
#define PAUSE_MS 500

struct watching {
   struct session *session;
   Kvstore__V1__WatchRequest__Create create;
   Kvstore__V1__KeyRange ranges[RANGES_MAX], *pointers[RANGES_MAX];
   bool keys_only, json;
   bool begun;               /* the server has taken it once */
   bool broken;              /* and the connection has been lost since, as was said */
   bool shown;               /* some change, or entry of the initial state */
   uint64_t version;         /* everything up to here has been shown */
   enum kv_code ended;       /* by the server, other than by a break; KV_OK: it was not */
   struct kv_status failure; /* then */
};

/* ---- Changes ---- */

static const char *name_of(Kvstore__V1__Event__Kind kind)
{
   switch (kind) {
   case KVSTORE__V1__EVENT__KIND__KIND_SET:
      return "set";
   case KVSTORE__V1__EVENT__KIND__KIND_DELETE:
      return "delete";
   case KVSTORE__V1__EVENT__KIND__KIND_EXPIRE:
      return "expire";
   default:
      return "unknown";
   }
}

/* As --expire-at reads it. */
static void show_expiry(FILE *out, int64_t expire_time_ms)
{
   char text[TIMES_TEXT_SIZE];
   times_show_utc(expire_time_ms, text);
   fprintf(out, "\texpires %s", text);
}

/* Without values, that there was one, and its size: an empty word would be an empty value. */
static void show_previous(const struct watching *watching, const Kvstore__V1__Entry *previous)
{
   FILE *out = watching->session->out;
   fputs("\tprevious ", out);
   if (watching->keys_only)
      fprintf(out, "(%" PRIu64 " bytes left out)", previous->omitted_value_size);
   else
      print_word(out, session_bytes(previous->value));
}

static void show_line(const struct watching *watching, const Kvstore__V1__Event *event)
{
   FILE *out = watching->session->out;
   fprintf(out, "%" PRIu64 "\t%s\t", event->entry->version, name_of(event->kind));
   print_word(out, session_bytes(event->entry->key));
   if (!watching->keys_only && event->kind == KVSTORE__V1__EVENT__KIND__KIND_SET) {
      fputc('\t', out);
      print_word(out, session_bytes(event->entry->value));
   }
   if (event->kind == KVSTORE__V1__EVENT__KIND__KIND_SET && event->entry->expire_time_ms > 0)
      show_expiry(out, event->entry->expire_time_ms);
   if (event->previous)
      show_previous(watching, event->previous);
   fputc('\n', out);
}

static void show_event(const struct watching *watching, const Kvstore__V1__Event *event)
{
   if (watching->json)
      entry_json_event(watching->session->out, name_of(event->kind), event, !watching->keys_only);
   else
      show_line(watching, event);
}

/* ---- Messages ---- */

/* The server does not have what follows the last version. Asked for by --from, that is said in its
 * own words; after a break, a loss is said that nobody asked about. */
static void take_loss(struct watching *watching, const Kvstore__V1__WatchResponse__Ended *ended)
{
   const uint64_t next = watching->version + 1;
   if (ended->lowest_version > next)
      kv_fail(&watching->failure, watching->ended,
              "changes are missing after the break: those from version %" PRIu64 " up to %" PRIu64
              " have left the server's history, or a crash has lost them, perhaps with others "
              "that were shown; watch again with --initial",
              next, ended->lowest_version - 1);
   else
      kv_fail(&watching->failure, watching->ended,
              "the server has lost changes that were shown: it does not have version %" PRIu64
              " any more, after a crash, or is another one; watch again with --initial",
              watching->version);
}

static void take_end(struct watching *watching, const Kvstore__V1__WatchResponse__Ended *ended)
{
   watching->ended = (enum kv_code)ended->code;
   if (watching->begun && words_same(session_bytes(ended->reason), "VERSION_NOT_HELD")) {
      take_loss(watching, ended);
      return;
   }
   if (ended->start_version == 0 && words_same(session_bytes(ended->reason), "WATCH_TOO_SLOW")) {
      kv_fail(&watching->failure, watching->ended,
              "what comes after version %" PRIu64 " has left the server's history before it was "
              "read; watch again with --initial, and to have more kept raise the server's setting "
              "watch-history",
              watching->version);
      return;
   }
   kv_fail(&watching->failure, watching->ended, "%.*s", (int)ended->message.len,
           (const char *)ended->message.data);
   /* A slow reader is told where to go on. */
   if (ended->start_version > 0 && watching->ended != KV_OK && !watching->create.initial_state) {
      fprintf(stderr, "(read too slowly; going on with --from %" PRIu64 ")\n",
              ended->start_version);
      watching->version = ended->start_version - 1;
      watching->ended = KV_OK;
   }
}

static enum kv_code take(void *context, const ProtobufCMessage *message, struct kv_status *status)
{
   struct watching *watching = context;
   const Kvstore__V1__WatchResponse *answer = (const Kvstore__V1__WatchResponse *)message;
   switch (answer->kind_case) {
   case KVSTORE__V1__WATCH_RESPONSE__KIND_CREATED:
      if (!watching->begun && watching->session->terminal)
         fputs("following; ^C ends it\n", stderr);
      watching->begun = true;
      watching->broken = false;
      break;
   case KVSTORE__V1__WATCH_RESPONSE__KIND_EVENTS:
      for (size_t i = 0; i < answer->events->n_events; i++)
         show_event(watching, answer->events->events[i]);
      watching->shown = true;
      break;
   case KVSTORE__V1__WATCH_RESPONSE__KIND_INITIAL_DONE:
      if (watching->json)
         fprintf(watching->session->out, "{\"version\":%" PRIu64 ",\"kind\":\"initial_done\"}\n",
                 answer->version);
      else if (watching->session->terminal)
         fputs("(all that was there)\n", stderr);
      watching->create.initial_state = false;
      break;
   case KVSTORE__V1__WATCH_RESPONSE__KIND_ENDED:
      take_end(watching, answer->ended);
      return KV_OK;
   default:
      break;
   }
   if (!watching->create.initial_state && answer->version > watching->version)
      watching->version = answer->version;
   if (fflush(watching->session->out) != 0)
      return kv_fail(status, KV_CANCELLED, "cannot write to standard output");
   return KV_OK;
}

static enum kv_code watch_once(struct watching *watching, struct kv_status *status)
{
   Kvstore__V1__WatchRequest request = KVSTORE__V1__WATCH_REQUEST__INIT;
   request.kind_case = KVSTORE__V1__WATCH_REQUEST__KIND_CREATE;
   request.create = &watching->create;
   /* Also after version 0: without a start it would be "from now on". */
   if (watching->begun && !watching->create.initial_state)
      watching->create.start_version = watching->version + 1;
   return session_stream(watching->session,
                         SESSION_REQUEST(SESSION_KEYS "Watch", SESSION_SLOW, request,
                                         kvstore__v1__watch_response__descriptor),
                         take, watching, status);
}

/* A part of the initial state has no version to go on after, and a second state would not tell
 * which of its keys were deleted since. */
static int end_within_state(const struct watching *watching, const struct kv_status *broken)
{
   return session_fail(watching->session, broken->code,
                       "the initial state is incomplete, and nothing can go on from there: drop "
                       "what was shown, and watch again with --initial; %s",
                       broken->text);
}

static void say_broken(struct watching *watching)
{
   if (watching->broken)
      return;
   watching->broken = true;
   if (watching->create.initial_state)
      fputs("(the connection broke; trying again until it is back)\n", stderr);
   else
      fprintf(stderr,
              "(the connection broke; trying again from version %" PRIu64 " until it is back)\n",
              watching->version + 1);
}

/* Until ^C, a failure that stays, or what the server says to be the end. A break is mended: the
 * changes since come first. */
static int follow(struct watching *watching)
{
   const struct session *session = watching->session;
   struct kv_status status;
   for (;;) {
      enum kv_code code = watch_once(watching, &status);
      if (connection_interrupted(session->connection)) {
         watching->session->cut = false;
         if (session->terminal)
            fputc('\n', stderr); /* the terminal has shown ^C on this line */
         return EXIT_DONE;
      }
      if (code == KV_OK && watching->ended != KV_OK)
         return session_report(session, watching->ended, &watching->failure);
      if (code != KV_OK && (code != KV_UNAVAILABLE || !watching->begun))
         return session_report(session, code, &status);
      if (code != KV_OK && watching->create.initial_state && watching->shown)
         return end_within_state(watching, &status);
      if (code != KV_OK) {
         say_broken(watching);
         nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
      }
   }
}

/* ---- Arguments ---- */

static bool add_range(struct watching *watching, const Kvstore__V1__KeyRange *range)
{
   const size_t index = watching->create.n_ranges;
   if (index == RANGES_MAX)
      return false;
   watching->ranges[index] = *range;
   watching->pointers[index] = &watching->ranges[index];
   watching->create.n_ranges++;
   return true;
}

static int take_range(struct watching *watching, struct options *options, int option)
{
   Kvstore__V1__KeyRange range = KVSTORE__V1__KEY_RANGE__INIT;
   if (option == OPTION_KEY)
      range.key = session_field(options->value);
   else if (option == OPTIONS_WORD)
      range.prefix = session_field(options->value);
   else
      ranges_take(options, option, &range);
   if (add_range(watching, &range))
      return option;
   return options_wrong(options,
                        "more than %d prefixes, keys and ranges; watch a prefix that they "
                        "share",
                        RANGES_MAX);
}

static int take_argument(struct watching *watching, struct options *options, int option)
{
   int64_t version;
   switch (option) {
   case OPTION_INITIAL_STATE:
      watching->create.initial_state = true;
      return option;
   case OPTION_PREVIOUS:
      watching->create.previous_values = true;
      return option;
   case OPTION_KEYS_ONLY:
      watching->keys_only = true;
      watching->create.omit_values = true;
      return option;
   case OPTION_JSON:
      watching->json = true;
      return option;
   case OPTION_FROM:
      if (!words_integer(options->value, 1, INT64_MAX, &version))
         return options_wrong(options, "--from %.*s: is no version, a whole number from 1 on",
                              OPTIONS_SHOWN(options->value));
      watching->version = (uint64_t)version - 1;
      watching->create.start_version = (uint64_t)version;
      return option;
   case OPTIONS_WRONG:
      return option;
   default:
      return take_range(watching, options, option);
   }
}

int command_watch(struct session *session, const struct kv_slice *arguments, size_t count)
{
   struct watching *watching = calloc(1, sizeof *watching);
   if (!watching)
      return session_local_failure("cannot watch", ENOMEM);
   watching->session = session;
   kvstore__v1__watch_request__create__init(&watching->create);
   watching->create.ranges = watching->pointers;
   watching->create.watch_id = 1;
   watching->create.progress_interval_ms = PROGRESS_MS;
   int result = EXIT_DONE;
   struct options options;
   options_begin(&options, "watch", arguments, count);
   for (int option; result == EXIT_DONE && (option = options_next(&options)) != OPTIONS_END;)
      if (take_argument(watching, &options, option) == OPTIONS_WRONG)
         result = session_misuse(session, "%s", options.error);
   if (result == EXIT_DONE && watching->create.n_ranges == 0) {
      const Kvstore__V1__KeyRange all = KVSTORE__V1__KEY_RANGE__INIT;
      add_range(watching, &all);
   }
   if (result == EXIT_DONE)
      result = follow(watching);
   free(watching);
   return result;
}
