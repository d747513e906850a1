/*
 * Scan: the entries of a range as a stream of messages; each call has a view as its state.
 *
 * A message has at most 256 KiB and 4,096 entries, unless a single entry is larger. Where entries
 * are passed over or only counted, the worker serves others in between.
 */
#include "core/service/keyvalue/keyvalue.h"
#include "core/service/keyvalue/page_token.h"
#include "core/service/validate.h"
#include "core/service/walk.h"

#include <stdio.h>

/* Of one message, unless a single entry is larger: well below the 4 MiB that clients accept by
 * default. */
#define PART_SIZE ((size_t)256 * 1024)
#define PART_ENTRIES 4096

/* Field numbers of ScanResponse and Entry. */
enum { RESPONSE_ENTRIES = 1, RESPONSE_VERSION = 2, RESPONSE_TOKEN = 3, RESPONSE_COUNT = 4 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2, ENTRY_VERSION = 3, ENTRY_EXPIRY = 4, ENTRY_OMITTED = 5 };

enum projection { ENTRIES, KEYS, COUNT };

struct request {
   struct kv_key_range range;
   bool descending;
   uint64_t limit; /* entries; 0: none */
   enum projection projection;
   uint64_t value_size_max; /* larger values are left out; 0: none is */
   uint64_t digest;         /* of the page token where `limit` leaves entries out */
};

struct scan {
   struct kv_walk walk;
   struct request request;
   uint64_t version;
   uint64_t left;                 /* entries still wanted */
   uint64_t counted;              /* of COUNT */
   const struct kv_entry *next;   /* found, but not in a part yet; may be NULL */
   const struct kv_entry *last;   /* the last one in a part, or counted; may be NULL */
   bool ended;                    /* no part follows */
   bool has_more;                 /* the limit leaves out some */
   size_t size, in_place;         /* of the entries of the part */
   size_t count;                  /* of these: */
   const struct kv_entry *part[]; /* being filled, or sent; valid as long as the view */
};

/* ---- A part ---- */

static bool omits_value(const struct scan *scan, const struct kv_entry *entry)
{
   const uint64_t max = scan->request.value_size_max;
   return scan->request.projection != ENTRIES || (max > 0 && kv_entry_value(entry).size > max);
}

static uint64_t omitted_size(const struct scan *scan, const struct kv_entry *entry)
{
   return omits_value(scan, entry) ? kv_entry_value(entry).size : 0;
}

static size_t size_of_entry(const struct scan *scan, const struct kv_entry *entry)
{
   size_t size = kv_field_size(kv_entry_key(entry).size);
   if (!omits_value(scan, entry))
      size += kv_optional_field_size(kv_entry_value(entry).size);
   return size + kv_number_field_size(kv_entry_version(entry)) +
          kv_number_field_size((uint64_t)kv_entry_expires_at(entry)) +
          kv_number_field_size(omitted_size(scan, entry));
}

static void write_entry(struct kv_writer *writer, const struct scan *scan,
                        const struct kv_entry *entry)
{
   kv_writer_message(writer, RESPONSE_ENTRIES, size_of_entry(scan, entry));
   kv_writer_bytes(writer, ENTRY_KEY, kv_entry_key(entry));
   if (!omits_value(scan, entry))
      kv_writer_value(writer, ENTRY_VALUE, entry);
   kv_writer_number(writer, ENTRY_VERSION, kv_entry_version(entry));
   kv_writer_number(writer, ENTRY_EXPIRY, (uint64_t)kv_entry_expires_at(entry));
   kv_writer_number(writer, ENTRY_OMITTED, omitted_size(scan, entry));
}

/* NULL data: there is none. False when memory runs out: the call has been failed. */
static bool take_token(struct kv_call *call, const struct scan *scan, struct kv_slice *token)
{
   *token = kv_slice(NULL, 0);
   if (!scan->ended || !scan->has_more)
      return true;
   *token =
       kv_page_token_write(scan->request.digest, kv_entry_key(scan->last), kv_call_arena(call));
   if (!token->data)
      kv_message_out_of_memory(call);
   return token->data;
}

static bool encode_part(struct kv_call *call, const struct scan *scan)
{
   struct kv_writer writer;
   struct kv_slice token;
   const uint64_t counted = scan->ended ? scan->counted : 0;
   if (!take_token(call, scan, &token))
      return false;
   const size_t size = scan->size + kv_number_field_size(scan->version) +
                       kv_optional_field_size(token.size) + kv_number_field_size(counted);
   if (!kv_writer_begin(&writer, call, size, scan->in_place))
      return false;
   for (size_t i = 0; i < scan->count; i++)
      write_entry(&writer, scan, scan->part[i]);
   kv_writer_number(&writer, RESPONSE_VERSION, scan->version);
   kv_writer_bytes(&writer, RESPONSE_TOKEN, token);
   kv_writer_number(&writer, RESPONSE_COUNT, counted);
   return kv_writer_end(&writer);
}

/* ---- Filling it ---- */

static void add(struct scan *scan, size_t size)
{
   const struct kv_entry *entry = scan->next;
   scan->size += size;
   if (!omits_value(scan, entry))
      scan->in_place += kv_in_place_size(entry);
   scan->part[scan->count++] = entry;
}

/* Takes scan->next into the part, or counts it; false when it belongs into the next part. */
static bool take_next(struct scan *scan)
{
   if (scan->request.projection == COUNT) {
      scan->counted++;
   } else {
      const size_t size = kv_field_size(size_of_entry(scan, scan->next));
      if (scan->count == PART_ENTRIES || (scan->count > 0 && scan->size + size > PART_SIZE))
         return false;
      add(scan, size);
   }
   scan->last = scan->next;
   scan->next = NULL;
   scan->left--;
   return true;
}

/* False when the stretch has ended before the part is known to be complete. */
static bool fill_part(struct scan *scan)
{
   while (!scan->ended) {
      if (scan->next) {
         if (!take_next(scan))
            return true;
      } else {
         const enum kv_walk_found found = kv_walk_next(&scan->walk, &scan->next);
         if (found == KV_WALK_STRETCH_END)
            return false;
         scan->has_more = found == KV_WALK_ENTRY && scan->left == 0;
         scan->ended = found == KV_WALK_END || scan->has_more;
      }
   }
   return true;
}

static void go_on(void *service, struct kv_call *call)
{
   struct scan *scan = *kv_call_state(call);
   kv_walk_rest(&scan->walk);
   if (!fill_part(scan))
      kv_call_yield(call, go_on);
   else if (encode_part(call, scan))
      kv_call_send(call);
   (void)service;
}

/* ---- The stream ---- */

static void begin(struct kv_store *store, struct kv_call *call, const struct request *request)
{
   const bool is_small = request->limit > 0 && request->limit < PART_ENTRIES;
   const size_t capacity = is_small ? (size_t)request->limit : PART_ENTRIES;
   struct scan *scan = kv_message_alloc(call, sizeof *scan + capacity * sizeof *scan->part);
   if (!scan)
      return;
   *scan =
       (struct scan){.request = *request, .left = request->limit > 0 ? request->limit : UINT64_MAX};
   if (!kv_walk_begin(&scan->walk, store, &request->range, request->descending)) {
      kv_message_out_of_memory(call);
      return;
   }
   scan->version = kv_version_sequence(kv_store_view_version(scan->walk.view));
   *kv_call_state(call) = scan;
   go_on(NULL, call);
}

void kv_keyvalue_scan_sent(void *service, struct kv_call *call)
{
   struct scan *scan = *kv_call_state(call);
   scan->count = scan->size = scan->in_place = 0;
   if (scan->ended)
      kv_call_finish(call);
   else
      go_on(service, call);
}

void kv_keyvalue_scan_closed(void *service, struct kv_call *call)
{
   struct scan *scan = *kv_call_state(call);
   (void)service;
   if (scan)
      kv_walk_end(&scan->walk);
}

size_t kv_keyvalue_scan_kept(void *service, struct kv_call *call)
{
   const struct scan *scan = *kv_call_state(call);
   (void)service;
   return scan ? kv_store_view_kept(scan->walk.view) : 0;
}

/* A part that is being sent may have arrived incompletely, so the client needs all of it again. */
void kv_keyvalue_scan_resume(void *service, struct kv_call *call, char *text, size_t size)
{
   const struct scan *scan = *kv_call_state(call);
   (void)service;
   const bool sends = scan && scan->count > 0;
   const struct kv_slice first = sends ? kv_entry_key(scan->part[0]) : kv_slice(NULL, 0);
   if (scan && scan->request.projection == COUNT)
      snprintf(text, size, "; count smaller ranges");
   else if (scan && scan->request.descending)
      snprintf(text, size, "; continue with range.end = the last key received");
   else if (sends && first.size < size / 2)
      snprintf(text, size, "; continue with range.start = \"%.*s\"", (int)first.size,
               (const char *)first.data);
   else
      snprintf(text, size, "; continue with range.start = the last key received");
}

/* ---- The request ---- */

static enum kv_code resolve(const Kvstore__V1__ScanRequest *wanted, struct kv_arena *arena,
                            struct request *scan, struct kv_status *status)
{
   switch (wanted->projection) {
   case KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_UNSPECIFIED:
      scan->projection = ENTRIES;
      break;
   case KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_KEYS:
      scan->projection = KEYS;
      break;
   case KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_COUNT:
      scan->projection = COUNT;
      break;
   default:
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "projection: %d is none that this server knows",
                            (int)wanted->projection);
   }
   if (kv_range_resolve("range", wanted->range, arena, &scan->range, status) != KV_OK)
      return status->code;
   const struct kv_slice token = kv_service_bytes(wanted->page_token);
   return token.size == 0 ? KV_OK
                          : kv_page_token_apply(token, scan->digest, scan->descending, arena,
                                                &scan->range, status);
}

void kv_keyvalue_scan(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__ScanRequest *wanted =
       kv_service_request(service, call, &kvstore__v1__scan_request__descriptor, request);
   if (!wanted)
      return;
   struct kv_status status;
   struct request scan = {.descending = wanted->descending,
                          .limit = wanted->limit,
                          .value_size_max = wanted->value_size_max,
                          .digest = kv_page_digest(wanted)};
   if (resolve(wanted, kv_call_arena(call), &scan, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   kv_call_set_subject(call, kv_keyvalue_subject(wanted->range));
   begin(service->config.store, call, &scan);
}
