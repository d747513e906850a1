#include "core/service/scan.h"

#include "core/service/keyvalue/page_token.h"
#include "core/service/message.h"
#include "core/service/writer.h"

#include <stdio.h>

/* Of one message, unless a single entry is larger: well below the 4 MiB that clients accept by
 * default. */
#define PART_SIZE ((size_t)256 * 1024)
#define PART_ENTRIES 4096

/* Field numbers of both ScanResponses and Entries; the old ones have the first ones only. */
enum { RESPONSE_ENTRIES = 1, RESPONSE_VERSION = 2, RESPONSE_TOKEN = 3, RESPONSE_COUNT = 4 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2, ENTRY_VERSION = 3, ENTRY_EXPIRY = 4, ENTRY_OMITTED = 5 };

struct scan {
   struct kv_walk walk;
   struct kv_scan_request request;
   uint64_t version;
   uint64_t left;                 /* entries still wanted */
   uint64_t counted;              /* of KV_SCAN_COUNT */
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
   return scan->request.projection != KV_SCAN_ENTRIES ||
          (max > 0 && kv_entry_value(entry).size > max);
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
   if (scan->request.v1)
      size += kv_number_field_size(kv_entry_version(entry)) +
              kv_number_field_size((uint64_t)kv_entry_expires_at(entry)) +
              kv_number_field_size(omitted_size(scan, entry));
   return size;
}

static void write_entry(struct kv_writer *writer, const struct scan *scan,
                        const struct kv_entry *entry)
{
   kv_writer_message(writer, RESPONSE_ENTRIES, size_of_entry(scan, entry));
   kv_writer_bytes(writer, ENTRY_KEY, kv_entry_key(entry));
   if (!omits_value(scan, entry))
      kv_writer_value(writer, ENTRY_VALUE, entry);
   if (!scan->request.v1)
      return;
   kv_writer_number(writer, ENTRY_VERSION, kv_entry_version(entry));
   kv_writer_number(writer, ENTRY_EXPIRY, (uint64_t)kv_entry_expires_at(entry));
   kv_writer_number(writer, ENTRY_OMITTED, omitted_size(scan, entry));
}

/* The rest of a message of kvstore.v1. False when memory runs out: the call has been failed. */
static bool take_token(struct kv_call *call, const struct scan *scan, struct kv_slice *token)
{
   *token = kv_slice(NULL, 0);
   if (!scan->ended || !scan->has_more || !scan->request.v1)
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
   const uint64_t version = scan->request.v1 ? scan->version : 0;
   const uint64_t counted = scan->ended ? scan->counted : 0;
   if (!take_token(call, scan, &token))
      return false;
   const size_t size = scan->size + kv_number_field_size(version) +
                       kv_optional_field_size(token.size) + kv_number_field_size(counted);
   if (!kv_writer_begin(&writer, call, size, scan->in_place))
      return false;
   for (size_t i = 0; i < scan->count; i++)
      write_entry(&writer, scan, scan->part[i]);
   kv_writer_number(&writer, RESPONSE_VERSION, version);
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
   if (scan->request.projection == KV_SCAN_COUNT) {
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
      } else if (scan->left == 0 && !scan->request.v1) {
         scan->ended = true;
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
   else if (scan->count == 0 && !scan->request.v1)
      kv_call_finish(call);
   else if (encode_part(call, scan))
      kv_call_send(call);
   (void)service;
}

/* ---- The stream ---- */

void kv_scan_begin(struct kv_store *store, struct kv_call *call,
                   const struct kv_scan_request *request)
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

void kv_scan_sent(void *service, struct kv_call *call)
{
   struct scan *scan = *kv_call_state(call);
   scan->count = scan->size = scan->in_place = 0;
   if (scan->ended)
      kv_call_finish(call);
   else
      go_on(service, call);
}

void kv_scan_closed(void *service, struct kv_call *call)
{
   struct scan *scan = *kv_call_state(call);
   (void)service;
   if (scan)
      kv_walk_end(&scan->walk);
}

size_t kv_scan_kept(void *service, struct kv_call *call)
{
   const struct scan *scan = *kv_call_state(call);
   (void)service;
   return scan ? kv_store_view_kept(scan->walk.view) : 0;
}

/* A part that is being sent may have arrived incompletely, so the client needs all of it again. */
void kv_scan_resume(void *service, struct kv_call *call, char *text, size_t size)
{
   const struct scan *scan = *kv_call_state(call);
   (void)service;
   const bool sends = scan && scan->count > 0;
   const struct kv_slice first = sends ? kv_entry_key(scan->part[0]) : kv_slice(NULL, 0);
   const char *start = scan && scan->request.v1 ? "range.start" : "start";
   if (scan && scan->request.projection == KV_SCAN_COUNT)
      snprintf(text, size, "; count smaller ranges");
   else if (scan && scan->request.descending)
      snprintf(text, size, "; continue with range.end = the last key received");
   else if (sends && first.size < size / 2)
      snprintf(text, size, "; continue with %s = \"%.*s\"", start, (int)first.size,
               (const char *)first.data);
   else
      snprintf(text, size, "; continue with %s = the last key received", start);
}
