/* The messages of Watch: events are written straight from where the history or the store has them,
 * in two passes. The first one takes what fits and adds up the sizes. */
#include "core/service/keyvalue/watch.h"

/* Changes, or entries, looked at before others have the worker. */
#define WALK_MAX 8192u

/* Field numbers. */
enum { RESPONSE_WATCH_ID = 1, RESPONSE_VERSION = 2, RESPONSE_EVENTS = 4 };
enum { EVENTS_EVENTS = 1 };
enum { EVENT_KIND = 1, EVENT_ENTRY = 2, EVENT_PREVIOUS = 3 };
enum {
   ENTRY_KEY = 1,
   ENTRY_VALUE = 2,
   ENTRY_VERSION = 3,
   ENTRY_EXPIRE_TIME_MS = 4,
   ENTRY_OMITTED_VALUE_SIZE = 5
};

_Static_assert((int)KV_CHANGE_SET == (int)KVSTORE__V1__EVENT__KIND__KIND_SET &&
                   (int)KV_CHANGE_DELETE == (int)KVSTORE__V1__EVENT__KIND__KIND_DELETE &&
                   (int)KV_CHANGE_EXPIRE == (int)KVSTORE__V1__EVENT__KIND__KIND_EXPIRE,
               "the kinds of changes are numbered as those of events");

/* ---- An event ---- */

/* As Entry has them. */
struct entry {
   struct kv_slice key;
   const struct kv_change_value *value;
   uint64_t version;
   int64_t expires_at;
   bool omits_value;
};

static struct entry entry_of(const struct kv_change *change, bool omits_value)
{
   return (struct entry){change->key, &change->value, change->sequence, change->expires_at,
                         omits_value};
}

static struct entry previous_of(const struct kv_change *change, bool omits_value)
{
   return (struct entry){kv_slice(NULL, 0), &change->previous, change->previous_version,
                         change->previous_expires_at, omits_value};
}

static size_t size_of_entry(const struct entry *entry)
{
   const size_t value = entry->value->bytes.size;
   return kv_optional_field_size(entry->key.size) +
          (entry->omits_value ? kv_number_field_size(value) : kv_optional_field_size(value)) +
          kv_number_field_size(entry->version) + kv_number_field_size((uint64_t)entry->expires_at);
}

static size_t in_place_of(const struct entry *entry)
{
   return entry->omits_value || !entry->value->entry ? 0 : kv_in_place_size(entry->value->entry);
}

static void write_entry(struct kv_writer *writer, unsigned field, const struct entry *entry)
{
   kv_writer_message(writer, field, size_of_entry(entry));
   kv_writer_bytes(writer, ENTRY_KEY, entry->key);
   if (!entry->omits_value && entry->value->entry)
      kv_writer_value(writer, ENTRY_VALUE, entry->value->entry);
   else if (!entry->omits_value)
      kv_writer_bytes(writer, ENTRY_VALUE, entry->value->bytes);
   kv_writer_number(writer, ENTRY_VERSION, entry->version);
   kv_writer_number(writer, ENTRY_EXPIRE_TIME_MS, (uint64_t)entry->expires_at);
   if (entry->omits_value)
      kv_writer_number(writer, ENTRY_OMITTED_VALUE_SIZE, entry->value->bytes.size);
}

static size_t size_of_event(const struct kv_stream_watch *watch, const struct kv_change *change,
                            size_t *in_place)
{
   const struct entry entry = entry_of(change, watch->omits_values);
   size_t size = kv_number_field_size(change->kind) + kv_field_size(size_of_entry(&entry));
   *in_place = in_place_of(&entry);
   if (change->existed) {
      const struct entry previous = previous_of(change, watch->omits_values);
      size += kv_field_size(size_of_entry(&previous));
      *in_place += in_place_of(&previous);
   }
   return size;
}

static void write_event(struct kv_writer *writer, const struct kv_stream_watch *watch,
                        const struct kv_change *change)
{
   size_t in_place;
   kv_writer_message(writer, EVENTS_EVENTS, size_of_event(watch, change, &in_place));
   kv_writer_number(writer, EVENT_KIND, change->kind);
   const struct entry entry = entry_of(change, watch->omits_values);
   write_entry(writer, EVENT_ENTRY, &entry);
   if (change->existed) {
      const struct entry previous = previous_of(change, watch->omits_values);
      write_entry(writer, EVENT_PREVIOUS, &previous);
   }
}

/* ---- A message with events ---- */

static void begin_part(struct kv_watch_part *part)
{
   part->size = part->in_place = part->count = 0;
}

/* Adds an event, unless the message would be larger than that. */
static bool add_event(struct kv_watch_part *part, const struct kv_stream_watch *watch,
                      const struct kv_change *change, const void *source, size_t size_max)
{
   size_t in_place;
   const size_t size = kv_field_size(size_of_event(watch, change, &in_place));
   if (part->count > 0 && (part->size + size > size_max || part->count == KV_WATCH_PART_EVENTS))
      return false;
   part->events[part->count++] = (struct kv_watch_part_event){source, change->existed};
   part->size += size;
   part->in_place += in_place;
   return true;
}

static void note_sending(struct kv_stream_watch *watch, uint64_t version)
{
   watch->sent = watch->told = version;
   watch->stream->sending = true;
   kv_watch_note_sent(&watch->watch);
}

static void
send_part(struct kv_stream_watch *watch, const struct kv_watch_part *part, uint64_t version,
          size_t (*read)(const void *source, bool with_previous, struct kv_change *change))
{
   struct kv_watch_stream *stream = watch->stream;
   struct kv_writer writer;
   const size_t size =
       kv_number_field_size(watch->id) + kv_number_field_size(version) + kv_field_size(part->size);
   stream->over = !kv_writer_begin(&writer, stream->call, size, part->in_place);
   if (stream->over)
      return;
   kv_writer_number(&writer, RESPONSE_WATCH_ID, watch->id);
   kv_writer_number(&writer, RESPONSE_VERSION, version);
   kv_writer_message(&writer, RESPONSE_EVENTS, part->size);
   for (size_t i = 0; i < part->count; i++) {
      struct kv_change change;
      read(part->events[i].source, part->events[i].with_previous, &change);
      write_event(&writer, watch, &change);
   }
   stream->over = !kv_writer_end(&writer);
   if (stream->over)
      return;
   note_sending(watch, version);
   kv_watchers_count_events(stream->group.watchers, part->count);
   kv_call_send(stream->call);
}

/* ---- Changes ---- */

static bool wants(const struct kv_stream_watch *watch, const struct kv_change *change)
{
   return change->key.size > 0 && change->sequence >= watch->from &&
          (watch->watch.kinds >> change->kind & 1) &&
          kv_range_set_has(watch->watch.set, change->key);
}

static bool is_cut(const struct kv_change *change)
{
   return change->kind == KV_CHANGE_REPLACED || change->kind == KV_CHANGE_LOST;
}

/* Where a message was when changes that were written at once began. */
struct before_unit {
   size_t size, in_place, count;
   uint64_t version, next;
};

static struct before_unit note_unit(const struct kv_watch_part *part, uint64_t version,
                                    uint64_t next)
{
   return (struct before_unit){part->size, part->in_place, part->count, version, next};
}

/* Leaves them for the next message. */
static void cut_back(struct kv_watch_part *part, const struct before_unit *unit, uint64_t *version,
                     uint64_t *next)
{
   part->size = unit->size;
   part->in_place = unit->in_place;
   part->count = unit->count;
   *version = unit->version;
   *next = unit->next;
}

/* Takes changes up to the history's end, or as many as fit. Moves the watch on; the changes have to
 * be sent. */
static enum kv_watch_step collect(struct kv_stream_watch *watch, struct kv_history_cursor *cursor,
                                  struct kv_watch_part *part, uint64_t *version)
{
   struct kv_change change;
   struct before_unit unit;
   bool joined = false;
   begin_part(part);
   *version = watch->sent;
   for (unsigned walked = 0; walked < WALK_MAX || joined; walked++) {
      watch->next = kv_history_position(cursor);
      if (!joined)
         unit = note_unit(part, *version, watch->next);
      if (!kv_history_next(cursor, &change)) {
         watch->is_behind = false;
         watch->least_lag = SIZE_MAX;
         return KV_WATCH_NOTHING;
      }
      if (is_cut(&change)) {
         if (part->count == 0)
            watch->ending =
                change.kind == KV_CHANGE_REPLACED ? KV_WATCH_REPLACED : KV_WATCH_TOO_SLOW;
         return KV_WATCH_MORE;
      }
      change.existed &= watch->wants_previous;
      if (wants(watch, &change) && !add_event(part, watch, &change, change.record,
                                              joined ? KV_WATCH_UNIT_SIZE : KV_WATCH_PART_SIZE)) {
         if (unit.count > 0)
            cut_back(part, &unit, version, &watch->next);
         return KV_WATCH_MORE;
      }
      joined = change.joined;
      if (change.sequence > *version)
         *version = change.sequence;
   }
   watch->next = kv_history_position(cursor);
   return KV_WATCH_MORE;
}

enum kv_watch_step kv_watch_send_changes(struct kv_stream_watch *watch)
{
   struct kv_watch_stream *stream = watch->stream;
   struct kv_history *history = kv_watchers_history(stream->group.watchers);
   struct kv_watch_part *part = kv_watch_part_of(stream);
   struct kv_history_cursor cursor;
   uint64_t version;
   bool held = kv_history_open(history, kv_call_worker(stream->call), watch->next, &cursor);
   if (!held || kv_history_falls_back(&cursor, &watch->least_lag)) {
      if (held)
         kv_history_close(&cursor);
      watch->ending = KV_WATCH_TOO_SLOW;
      return KV_WATCH_MORE;
   }
   enum kv_watch_step step = collect(watch, &cursor, part, &version);
   if (part->count > 0) {
      send_part(watch, part, version, kv_change_read);
      step = KV_WATCH_SENT;
   }
   watch->sent = version;
   kv_history_close(&cursor);
   return step;
}

/* ---- The initial state ---- */

static size_t read_state(const void *source, bool with_previous, struct kv_change *change)
{
   (void)with_previous;
   const struct kv_entry *entry = source;
   *change = (struct kv_change){.sequence = kv_entry_version(entry),
                                .kind = KV_CHANGE_SET,
                                .key = kv_entry_key(entry),
                                .value = {kv_entry_value(entry), entry},
                                .expires_at = kv_entry_expires_at(entry)};
   return 0;
}

/* Steps to the next entry of the watch's ranges: watch->entry. False at the end. */
static bool step_state(struct kv_stream_watch *watch)
{
   const struct kv_range_set *set = watch->watch.set;
   for (; watch->range < kv_range_set_count(set); watch->range++, watch->in_range = false) {
      const struct kv_key_range range = kv_range_set_at(set, watch->range);
      if (!watch->in_range)
         kv_cursor_seek(&watch->cursor, kv_store_view_version(watch->view), range.start);
      watch->in_range = true;
      watch->entry = kv_cursor_next(&watch->cursor);
      if (watch->entry &&
          (range.end.size == 0 || kv_slice_compare(kv_entry_key(watch->entry), range.end) < 0))
         return true;
   }
   watch->entry = NULL;
   return false;
}

/* Everything has been sent; the changes since are next. What the thread of core/watch has told of a
 * restore meanwhile was not for the state, so that is asked of the history. */
static void finish_state(struct kv_stream_watch *watch)
{
   struct kv_watch_stream *stream = watch->stream;
   struct kv_history *history = kv_watchers_history(stream->group.watchers);
   Kvstore__V1__WatchResponse response = KVSTORE__V1__WATCH_RESPONSE__INIT;
   Kvstore__V1__WatchResponse__InitialDone done = KVSTORE__V1__WATCH_RESPONSE__INITIAL_DONE__INIT;
   response.watch_id = watch->id;
   response.version = watch->from - 1;
   response.kind_case = KVSTORE__V1__WATCH_RESPONSE__KIND_INITIAL_DONE;
   response.initial_done = &done;
   kv_store_view_destroy(watch->view);
   watch->view = NULL;
   stream->over = !kv_message_encode(stream->call, &response.base);
   if (stream->over)
      return;
   note_sending(watch, watch->from - 1);
   watch->is_behind = true;
   if (!kv_history_find(history, kv_call_worker(stream->call), watch->from, &watch->next))
      watch->ending =
          kv_history_replaced(history) >= watch->from ? KV_WATCH_REPLACED : KV_WATCH_TOO_SLOW;
   kv_call_send(stream->call);
}

enum kv_watch_step kv_watch_send_state(struct kv_stream_watch *watch)
{
   struct kv_watch_part *part = kv_watch_part_of(watch->stream);
   struct kv_change change;
   begin_part(part);
   for (unsigned walked = 0; walked < WALK_MAX; walked++) {
      if (!watch->entry && !step_state(watch)) {
         if (part->count > 0)
            break;
         finish_state(watch);
         return KV_WATCH_SENT;
      }
      if (kv_entry_is_live(watch->entry, watch->state_ms)) {
         read_state(watch->entry, false, &change);
         if (!add_event(part, watch, &change, watch->entry, KV_WATCH_PART_SIZE))
            break;
      }
      watch->entry = NULL;
   }
   if (part->count == 0)
      return KV_WATCH_MORE;
   send_part(watch, part, 0, read_state);
   return KV_WATCH_SENT;
}

/* ---- Messages without events ---- */

static void send(struct kv_watch_stream *stream, const Kvstore__V1__WatchResponse *response)
{
   stream->over = !kv_message_encode(stream->call, &response->base);
   if (stream->over)
      return;
   stream->sending = true;
   kv_call_send(stream->call);
}

void kv_watch_send_progress(struct kv_stream_watch *watch, uint64_t version)
{
   Kvstore__V1__WatchResponse response = KVSTORE__V1__WATCH_RESPONSE__INIT;
   Kvstore__V1__WatchResponse__Progress progress = KVSTORE__V1__WATCH_RESPONSE__PROGRESS__INIT;
   response.watch_id = watch->id;
   response.version = version > watch->sent ? version : watch->sent;
   response.kind_case = KVSTORE__V1__WATCH_RESPONSE__KIND_PROGRESS;
   response.progress = &progress;
   note_sending(watch, response.version);
   send(watch->stream, &response);
}

void kv_watch_send_created(struct kv_watch_stream *stream, uint64_t id, uint64_t version)
{
   Kvstore__V1__WatchResponse response = KVSTORE__V1__WATCH_RESPONSE__INIT;
   Kvstore__V1__WatchResponse__Created created = KVSTORE__V1__WATCH_RESPONSE__CREATED__INIT;
   response.watch_id = id;
   response.version = version;
   response.kind_case = KVSTORE__V1__WATCH_RESPONSE__KIND_CREATED;
   response.created = &created;
   send(stream, &response);
}

void kv_watch_send_ended(struct kv_watch_stream *stream, uint64_t id, uint64_t version,
                         const struct kv_watch_end *end)
{
   Kvstore__V1__WatchResponse response = KVSTORE__V1__WATCH_RESPONSE__INIT;
   Kvstore__V1__WatchResponse__Ended ended = KVSTORE__V1__WATCH_RESPONSE__ENDED__INIT;
   const struct kv_status *status = &end->status;
   ended.code = (int32_t)status->code;
   if (status->code != KV_OK) {
      ended.reason = kv_message_text(status->reason ? status->reason : "");
      ended.message = kv_message_text(status->text);
   }
   ended.start_version = end->start_version;
   ended.lowest_version = end->lowest_version;
   response.watch_id = id;
   response.version = version;
   response.kind_case = KVSTORE__V1__WATCH_RESPONSE__KIND_ENDED;
   response.ended = &ended;
   send(stream, &response);
}
