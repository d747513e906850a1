#include "bench/load/reply.h"

#include "bench/load/fields.h"

#include <stdio.h>

/* The fields of the messages that are read. */
enum {
   GET_ENTRY = 1,
   ENTRY_VERSION = 3,
   SET_VERSION = 1,
   DELETE_DELETED = 1,
   DELETE_VERSION = 2,
   INCREMENT_VERSION = 2,
   SCAN_ENTRIES = 1,
   BATCH_RESULTS = 1,
   TRANSACTION_RESULTS = 2,
   RESULT_GET = 1,
   RESULT_SET = 2,
   RESULT_DELETE = 3,
   RESULT_INCREMENT = 4,
   RESULT_ERROR = 6,
   ERROR_CODE = 1,
   ERROR_MESSAGE = 3,
   WATCH_VERSION = 2,
   WATCH_CREATED = 3,
   WATCH_EVENTS = 4,
   WATCH_ENDED = 7,
   EVENTS_EVENT = 1,
   EVENT_ENTRY = 2,
   ENDED_CODE = 1,
   ENDED_MESSAGE = 3,
};

/* What is read on the way to a reply. */
struct reading {
   struct reply *reply;
   reply_change_fn *changed;
   void *context;
};

/* The integer in field `number`, 0 if it is not there; false when the message is malformed. */
static bool read_number(struct kv_slice message, uint64_t number, uint64_t *integer)
{
   struct field_reader reader = field_reader_of(message);
   *integer = 0;
   for (struct field field; field_read(&reader, &field);)
      if (field.number == number)
         *integer = field.integer;
   return !reader.broken;
}

static void note_change(const struct reading *reading, uint64_t version)
{
   if (version > reading->reply->last_change)
      reading->reply->last_change = version;
   if (version > 0 && reading->changed)
      reading->changed(reading->context, version);
}

/* An answer to a get says something only of a key that is there; so do those of the frozen
 * service. */
static bool add_get(const struct reading *reading, struct kv_slice message)
{
   struct reply *reply = reading->reply;
   struct field_reader reader = field_reader_of(message);
   reply->missing += message.size == 0;
   reply->version = 0;
   for (struct field field; field_read(&reader, &field);)
      if (field.number == GET_ENTRY)
         read_number(field.content, ENTRY_VERSION, &reply->version);
   return !reader.broken;
}

static bool add_set(const struct reading *reading, struct kv_slice message)
{
   bool good = read_number(message, SET_VERSION, &reading->reply->version);
   note_change(reading, reading->reply->version);
   return good;
}

static bool add_delete(const struct reading *reading, struct kv_slice message)
{
   uint64_t deleted, version;
   bool good = read_number(message, DELETE_DELETED, &deleted) &&
               read_number(message, DELETE_VERSION, &version);
   if (!good)
      return false;
   reading->reply->missing += !deleted;
   reading->reply->version = 0;
   note_change(reading, version);
   return true;
}

static bool add_increment(const struct reading *reading, struct kv_slice message)
{
   uint64_t version;
   if (!read_number(message, INCREMENT_VERSION, &version))
      return false;
   note_change(reading, version);
   return true;
}

/* Reads a code and a text from the fields of these numbers. */
static bool read_failure(struct kv_slice message, uint64_t code_field, uint64_t text_field,
                         uint64_t *code, struct kv_slice *text)
{
   struct field_reader reader = field_reader_of(message);
   *code = 0;
   *text = kv_slice("", 0);
   for (struct field field; field_read(&reader, &field);) {
      if (field.number == code_field)
         *code = field.integer;
      else if (field.number == text_field && field.content.data)
         *text = field.content;
   }
   return !reader.broken;
}

static bool add_error(const struct reading *reading, struct kv_slice message)
{
   struct reply *reply = reading->reply;
   uint64_t code;
   struct kv_slice text;
   bool good = read_failure(message, ERROR_CODE, ERROR_MESSAGE, &code, &text);
   reply->errors[code < REPLY_CODES ? code : 2]++;
   if (!reply->error_text[0])
      snprintf(reply->error_text, sizeof reply->error_text, "%.*s", (int)text.size,
               (const char *)text.data);
   return good;
}

static bool add_result(const struct reading *reading, struct kv_slice message)
{
   struct field_reader reader = field_reader_of(message);
   bool good = true;
   for (struct field field; good && field_read(&reader, &field);) {
      switch (field.number) {
      case RESULT_GET:
         good = add_get(reading, field.content);
         break;
      case RESULT_SET:
         good = add_set(reading, field.content);
         break;
      case RESULT_DELETE:
         good = add_delete(reading, field.content);
         break;
      case RESULT_INCREMENT:
         good = add_increment(reading, field.content);
         break;
      case RESULT_ERROR:
         good = add_error(reading, field.content);
         break;
      default:
         break;
      }
   }
   return good && !reader.broken;
}

/* Counts the fields `number` of a message, and reads them as results if they are. */
static bool add_list(const struct reading *reading, struct kv_slice message, uint64_t number,
                     bool results)
{
   struct field_reader reader = field_reader_of(message);
   bool good = true;
   for (struct field field; good && field_read(&reader, &field);) {
      if (field.number != number)
         continue;
      reading->reply->results++;
      if (results)
         good = add_result(reading, field.content);
   }
   return good && !reader.broken;
}

bool reply_add(struct reply *reply, enum workload_method method, struct kv_slice message,
               reply_change_fn *changed, void *context)
{
   const struct reading reading = {reply, changed, context};
   switch (method) {
   case WORKLOAD_CALL_BATCH:
      return add_list(&reading, message, BATCH_RESULTS, true);
   case WORKLOAD_CALL_TRANSACTION:
      return add_list(&reading, message, TRANSACTION_RESULTS, true);
   case WORKLOAD_CALL_SCAN:
      return add_list(&reading, message, SCAN_ENTRIES, false);
   default:
      break;
   }
   reply->results++;
   switch (method) {
   case WORKLOAD_CALL_GET:
      return add_get(&reading, message);
   case WORKLOAD_CALL_DEL:
      return add_delete(&reading, message);
   case WORKLOAD_CALL_INCR:
      return add_increment(&reading, message);
   default:
      return add_set(&reading, message);
   }
}

static bool read_event(struct kv_slice message, reply_change_fn *event, void *context)
{
   struct field_reader reader = field_reader_of(message);
   uint64_t version = 0;
   for (struct field field; field_read(&reader, &field);)
      if (field.number == EVENT_ENTRY && !read_number(field.content, ENTRY_VERSION, &version))
         return false;
   event(context, version);
   return !reader.broken;
}

static bool read_events(struct reply_watch *reply, struct kv_slice message, reply_change_fn *event,
                        void *context)
{
   struct field_reader reader = field_reader_of(message);
   bool good = true;
   for (struct field field; good && field_read(&reader, &field);) {
      if (field.number != EVENTS_EVENT)
         continue;
      reply->events++;
      good = read_event(field.content, event, context);
   }
   return good && !reader.broken;
}

bool reply_read_watch(struct reply_watch *reply, struct kv_slice message, reply_change_fn *event,
                      void *context)
{
   struct field_reader reader = field_reader_of(message);
   struct kv_slice text;
   bool good = true;
   *reply = (struct reply_watch){0};
   for (struct field field; good && field_read(&reader, &field);) {
      switch (field.number) {
      case WATCH_VERSION:
         reply->version = field.integer;
         break;
      case WATCH_CREATED:
         reply->created = true;
         break;
      case WATCH_EVENTS:
         good = read_events(reply, field.content, event, context);
         break;
      case WATCH_ENDED:
         reply->ended = true;
         good = read_failure(field.content, ENDED_CODE, ENDED_MESSAGE, &reply->code, &text);
         snprintf(reply->text, sizeof reply->text, "%.*s", (int)text.size, (const char *)text.data);
         break;
      default:
         break;
      }
   }
   return good && !reader.broken;
}
