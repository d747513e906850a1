#include "client/ranges.h"

#include "client/commands.h"
#include "client/entry_json.h"
#include "client/operation.h"
#include "client/print.h"
#include "client/words.h"

#include "core/support/size.h"

#include <inttypes.h>
#include <kvstore.pb-c.h>
#include <stdlib.h>

/* ---- Ranges ---- */

void ranges_take(const struct options *options, int option, Kvstore__V1__KeyRange *range)
{
   kvstore__v1__key_range__init(range);
   if (option == OPTION_PREFIX) {
      range->prefix = session_field(options->value);
   } else {
      range->start = session_field(options->value);
      range->end = session_field(options->second);
   }
}

/* ---- Listing ---- */

static void print_key(const struct session *session, struct kv_slice key)
{
   if (session->terminal)
      print_text(session->out, key);
   else
      fwrite(key.data, 1, key.size, session->out);
   fputc('\n', session->out);
}

/* What is asked for, and what the last message said. */
struct listing {
   struct session *session;
   const Kvstore__V1__ScanRequest *request;
   bool plain_keys; /* as `keys` shows them: bytes as they are */
   bool json;
   uint64_t count;
   bool shown; /* some entry */
   char *page; /* where to go on, as one word; NULL: that was all */
};

static void show_entry(const struct listing *listing, const Kvstore__V1__Entry *entry)
{
   FILE *out = listing->session->out;
   if (listing->plain_keys) {
      print_key(listing->session, session_bytes(entry->key));
      return;
   }
   const bool with_value = listing->request->projection ==
                           KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_UNSPECIFIED;
   if (listing->json) {
      entry_json_line(out, session_bytes(entry->key), entry, with_value);
      return;
   }
   print_word(out, session_bytes(entry->key));
   if (with_value) {
      fputc('\t', out);
      if (entry->omitted_value_size > 0)
         fprintf(out, "(%" PRIu64 " bytes left out)", entry->omitted_value_size);
      else
         print_word(out, session_bytes(entry->value));
   }
   fputc('\n', out);
}

static enum kv_code show_part(void *context, const ProtobufCMessage *message,
                              struct kv_status *status)
{
   struct listing *listing = context;
   const Kvstore__V1__ScanResponse *part = (const Kvstore__V1__ScanResponse *)message;
   for (size_t i = 0; i < part->n_entries; i++)
      show_entry(listing, part->entries[i]);
   listing->shown |= part->n_entries > 0;
   listing->count = part->count;
   if (part->next_page_token.len == 0)
      return KV_OK;
   listing->page = strndup((const char *)part->next_page_token.data, part->next_page_token.len);
   return listing->page ? KV_OK : kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
}

static enum kv_code list(struct listing *listing, struct kv_status *status)
{
   return session_stream(listing->session,
                         SESSION_REQUEST(SESSION_KEYS "Scan", SESSION_SLOW, *listing->request,
                                         kvstore__v1__scan_response__descriptor),
                         show_part, listing, status);
}

/* Nothing was found. Whoever knows patterns and cursors from another store is told what the word
 * was taken for. */
static void hint(struct kv_slice prefix, bool is_cursor)
{
   const char *text = prefix.data;
   if (prefix.size > 0 && text[prefix.size - 1] == '*') {
      fputs("no key begins with ", stderr);
      print_word(stderr, prefix);
      fputs("; there are no patterns: write the prefix without *, as ", stderr);
      print_word(stderr, kv_slice(text, prefix.size - 1));
      fputc('\n', stderr);
   } else if (is_cursor) {
      fputs("no key begins with ", stderr);
      print_word(stderr, prefix);
      fputs("; there are no cursors: scan \"\" N lists the first N keys, and says where to go on\n",
            stderr);
   }
}

/* ---- keys ---- */

static int by_bytes(const void *left, const void *right)
{
   return kv_slice_compare(session_bytes(*(const ProtobufCBinaryData *)left),
                           session_bytes(*(const ProtobufCBinaryData *)right));
}

static int show_keys(struct session *session, const ProtobufCMessage *message, const void *context)
{
   const struct kv_slice *prefix = context;
   bool shown = false;
   const Kvstore__KeysResponse *answer = (const Kvstore__KeysResponse *)message;
   if (answer->n_keys > 0)
      qsort(answer->keys, answer->n_keys, sizeof *answer->keys, by_bytes);
   for (size_t i = 0; i < answer->n_keys; i++) {
      struct kv_slice key = session_bytes(answer->keys[i]);
      if (!kv_slice_begins_with(key, *prefix))
         continue;
      print_key(session, key);
      shown = true;
   }
   if (!shown)
      hint(*prefix, false);
   return EXIT_DONE;
}

/* For a server that knows only the five frozen calls. */
static int list_without_scan(struct session *session, struct kv_slice prefix)
{
   Kvstore__KeysRequest request = KVSTORE__KEYS_REQUEST__INIT;
   return session_call(session,
                       SESSION_REQUEST(SESSION_DATA "Keys", SESSION_SLOW, request,
                                       kvstore__keys_response__descriptor),
                       show_keys, &prefix);
}

int command_keys(struct session *session, const struct kv_slice *arguments, size_t count)
{
   struct kv_slice prefix = kv_slice("", 0);
   struct options options;
   options_begin(&options, "keys", arguments, count);
   for (int option; (option = options_next(&options)) != OPTIONS_END;) {
      if (option == OPTIONS_WRONG ||
          (option == OPTIONS_WORD && !options_claim(&options, OPTION_PREFIX)))
         return session_misuse(session, "%s", options.error);
      prefix = options.value;
   }
   Kvstore__V1__KeyRange range = KVSTORE__V1__KEY_RANGE__INIT;
   Kvstore__V1__ScanRequest request = KVSTORE__V1__SCAN_REQUEST__INIT;
   range.prefix = session_field(prefix);
   request.range = &range;
   request.projection = KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_KEYS;
   struct listing listing = {.session = session, .request = &request, .plain_keys = true};
   struct kv_status status;
   enum kv_code code = list(&listing, &status);
   if (code == KV_UNIMPLEMENTED)
      return list_without_scan(session, prefix);
   if (code == KV_OK && !listing.shown)
      hint(prefix, false);
   return session_report(session, code, &status);
}

/* ---- scan ---- */

static int read_limit(struct options *options, uint64_t *limit)
{
   int64_t number;
   if (!words_integer(options->value, 0, INT64_MAX, &number))
      return options_wrong(options, "limit %.*s: is no whole number; 0 is no limit",
                           OPTIONS_SHOWN(options->value));
   *limit = (uint64_t)number;
   return OPTIONS_WORD;
}

/* A word without an option is the prefix, the second one the limit. */
static int take_scan_word(struct options *options, Kvstore__V1__ScanRequest *request)
{
   if (options->words_read > 2)
      return options_refuse_word(options);
   if (!options_claim(options, options->words_read == 1 ? OPTION_PREFIX : OPTION_LIMIT))
      return OPTIONS_WRONG;
   if (options->words_read == 2)
      return read_limit(options, &request->limit);
   request->range->prefix = session_field(options->value);
   return OPTIONS_WORD;
}

static int take_scan_option(struct options *options, int option, Kvstore__V1__ScanRequest *request)
{
   switch (option) {
   case OPTION_PREFIX:
      request->range->prefix = session_field(options->value);
      break;
   case OPTION_START:
      request->range->start = session_field(options->value);
      break;
   case OPTION_END:
      request->range->end = session_field(options->value);
      break;
   case OPTION_REVERSE:
      request->descending = true;
      break;
   case OPTION_KEYS_ONLY:
      request->projection = KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_KEYS;
      break;
   case OPTION_COUNT:
      request->projection = KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_COUNT;
      break;
   case OPTION_PAGE:
      request->page_token = session_field(options->value);
      break;
   case OPTION_LIMIT:
      return read_limit(options, &request->limit);
   case OPTION_VALUE_MAX:
      if (!kv_size_parse(options->value.data, &request->value_size_max)) /* ends with a NUL */
         return options_wrong(options, "--value-max %.*s: is no size in bytes, such as 4K",
                              OPTIONS_SHOWN(options->value));
      break;
   case OPTIONS_WORD:
      return take_scan_word(options, request);
   default:
      break;
   }
   return option;
}

/* As the cursor with which a scan begins elsewhere. */
static bool is_lone_number(const struct options *options, ProtobufCBinaryData prefix)
{
   int64_t number;
   return options->words_read == 1 && options->count == 1 &&
          words_integer(session_bytes(prefix), 0, INT64_MAX, &number);
}

int command_scan(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__V1__KeyRange range = KVSTORE__V1__KEY_RANGE__INIT;
   Kvstore__V1__ScanRequest request = KVSTORE__V1__SCAN_REQUEST__INIT;
   request.range = &range;
   struct options options;
   options_begin(&options, "scan", arguments, count);
   for (int option; (option = options_next(&options)) != OPTIONS_END;)
      if (take_scan_option(&options, option, &request) == OPTIONS_WRONG)
         return session_misuse(session, "%s", options.error);
   struct listing listing = {
       .session = session, .request = &request, .json = options_given(&options, OPTION_JSON)};
   struct kv_status status;
   int result = session_report(session, list(&listing, &status), &status);
   if (result == EXIT_DONE &&
       request.projection == KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_COUNT)
      fprintf(session->out, "%" PRIu64 "\n", listing.count);
   if (result == EXIT_DONE && listing.page) {
      fflush(session->out);
      fprintf(stderr, "there is more: the same command with --page %s\n", listing.page);
   }
   if (result == EXIT_DONE && !listing.shown && listing.count == 0)
      hint(session_bytes(range.prefix), is_lone_number(&options, range.prefix));
   free(listing.page);
   return result;
}

/* ---- del --prefix, --range ---- */

static enum kv_code delete_range(struct session *session,
                                 const Kvstore__V1__DeleteRangeRequest *request, uint64_t *count,
                                 struct kv_status *status)
{
   ProtobufCMessage *answer;
   enum kv_code code =
       session_try(session,
                   SESSION_REQUEST(SESSION_KEYS "DeleteRange", SESSION_SLOW, *request,
                                   kvstore__v1__delete_range_response__descriptor),
                   &answer, status);
   if (code != KV_OK)
      return code;
   *count = ((const Kvstore__V1__DeleteRangeResponse *)answer)->count;
   protobuf_c_message_free_unpacked(answer, NULL);
   return KV_OK;
}

static void describe(FILE *out, const Kvstore__V1__KeyRange *range, uint64_t count)
{
   const char *plural = print_plural(count);
   if (range->prefix.len + range->start.len + range->end.len == 0) {
      fprintf(out, "delete ALL %" PRIu64 " key%s of the store? [y/N] ", count, plural);
      return;
   }
   fprintf(out, "delete %" PRIu64 " key%s", count, plural);
   if (range->prefix.len > 0) {
      fputs(count == 1 ? " that begins with " : " that begin with ", out);
      print_word(out, session_bytes(range->prefix));
   }
   if (range->start.len > 0) {
      fputs(" from ", out);
      print_word(out, session_bytes(range->start));
      fputs(" on", out);
   }
   if (range->end.len > 0) {
      fputs(" below ", out);
      print_word(out, session_bytes(range->end));
   }
   fputs("? [y/N] ", out);
}

/* Whether the person at the terminal says yes. */
static bool confirms(struct session *session, const Kvstore__V1__KeyRange *range, uint64_t count)
{
   char *question = NULL;
   size_t size;
   FILE *text = open_memstream(&question, &size);
   if (!text)
      return false;
   describe(text, range, count);
   const char *answer =
       fclose(text) == 0 ? session_ask(session, question, SESSION_FORGOTTEN, &size) : NULL;
   bool yes = answer && (words_same(kv_slice(answer, size), "y") ||
                         words_same(kv_slice(answer, size), "yes"));
   free(question);
   return yes;
}

static int show_deleted(struct session *session, uint64_t count)
{
   fprintf(session->out, session->terminal ? "(%" PRIu64 " deleted)\n" : "%" PRIu64 "\n", count);
   return count > 0 ? EXIT_DONE : EXIT_NOT_FOUND;
}

static int delete_confirmed(struct session *session, Kvstore__V1__DeleteRangeRequest *request,
                            bool asks)
{
   struct kv_status status;
   uint64_t count;
   if (asks) {
      request->validate_only = true;
      enum kv_code code = delete_range(session, request, &count, &status);
      if (code != KV_OK)
         return session_report(session, code, &status);
      if (count == 0) /* what has come since was not asked about */
         return show_deleted(session, 0);
      if (!confirms(session, request->range, count)) {
         fputs("nothing was deleted\n", stderr);
         return EXIT_NOT_FOUND;
      }
      request->validate_only = false;
   }
   enum kv_code code = delete_range(session, request, &count, &status);
   if (code != KV_OK)
      return session_report(session, code, &status);
   return show_deleted(session, count);
}

int ranges_delete(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__V1__KeyRange range;
   Kvstore__V1__DeleteRangeRequest request = KVSTORE__V1__DELETE_RANGE_REQUEST__INIT;
   bool yes = false;
   request.range = &range;
   struct options options;
   options_begin(&options, "del", arguments, count);
   for (int option; (option = options_next(&options)) != OPTIONS_END;) {
      if (option == OPTION_PREFIX || option == OPTION_RANGE)
         ranges_take(&options, option, &range);
      else if (option == OPTION_YES)
         yes = true;
      else if (option != OPTION_DURABILITY)
         return session_misuse(session, "a range takes --yes and --durability LEVEL alone");
      else if (!operation_durability(&options, &request.durability))
         return session_misuse(session, "%s", options.error);
   }
   if (!yes && !session_has_person(session))
      return session_misuse(session, "--yes is missing: it deletes all keys of the range, and "
                                     "nobody is there to ask");
   return delete_confirmed(session, &request, !yes);
}
