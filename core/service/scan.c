/* Keys and Scan: what the store holds, from one consistent view. */
#include "core/service/internal.h"
#include "core/service/validate.h"

#include <stdio.h>
#include <string.h>

/* Of one message of a Scan, unless a single entry is larger: well below the 4 MiB that clients
 * accept by default. */
#define PART_SIZE ((size_t)256 * 1024)
#define PART_ENTRIES 4096
/* A gRPC message cannot be larger than its 32-bit length; stay clear of signed 32 bits. */
#define REPLY_SIZE_MAX ((size_t)INT32_MAX - 1024)

/* ---- Keys ---- */

enum { KEYS_RESPONSE_KEYS = 1 }; /* its field number */

/* Two walks over one view: the first measures the reply, the second writes it. A walk takes some
 * milliseconds at a time, so that the worker serves others in between and learns when the call has
 * been cancelled. */
struct keys {
   struct kv_store_view *view;
   struct kv_cursor cursor;
   size_t size; /* of the reply: measured so far, then all */
   bool writing;
   struct kv_writer writer;
};

#define KEYS_AT_ONCE 16384

static void end_keys(struct kv_call *call, struct keys *keys, enum kv_code code, const char *text)
{
   kv_store_view_destroy(keys->view);
   if (code == KV_OK)
      kv_call_reply(call);
   else
      kv_call_fail(call, code, text);
}

static void begin_walk(struct keys *keys)
{
   kv_cursor_seek(&keys->cursor, kv_store_view_version(keys->view), kv_slice(NULL, 0));
}

/* Continues the walk; returns false at its end. */
static bool walk_keys(struct keys *keys)
{
   for (int i = 0; i < KEYS_AT_ONCE; i++) {
      const struct kv_entry *entry = kv_cursor_next(&keys->cursor);
      if (!entry)
         return false;
      if (keys->writing)
         kv_writer_bytes(&keys->writer, KEYS_RESPONSE_KEYS, kv_entry_key(entry));
      else
         keys->size += kv_field_size(kv_entry_key(entry).size);
   }
   return true;
}

static void continue_keys(void *context, struct kv_call *call)
{
   (void)context;
   struct keys *keys = *kv_call_state(call);
   if (kv_call_is_cancelled(call)) {
      end_keys(call, keys, KV_CANCELLED, "the call has been cancelled");
   } else if (walk_keys(keys)) {
      kv_call_yield(call, continue_keys);
   } else if (keys->writing) {
      end_keys(call, keys, KV_OK, NULL);
   } else if (keys->size > REPLY_SIZE_MAX) {
      end_keys(call, keys, KV_RESOURCE_EXHAUSTED,
               "the keys do not fit into one message; use Scan, which sends them in parts");
   } else if (kv_writer_begin(&keys->writer, call, keys->size, 0)) {
      keys->writing = true;
      begin_walk(keys);
      kv_call_yield(call, continue_keys);
   } else {
      kv_store_view_destroy(keys->view);
   }
}

void kv_service_keys(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   if (!kv_service_request(service, call, &kvstore__keys_request__descriptor, request))
      return;
   struct keys *keys = kv_arena_alloc(kv_call_arena(call), sizeof *keys);
   struct kv_store_view *view = keys ? kv_store_view_create(service->config.store) : NULL;
   if (!view) {
      kv_message_out_of_memory(call);
      return;
   }
   *keys = (struct keys){.view = view};
   begin_walk(keys);
   *kv_call_state(call) = keys;
   continue_keys(service, call);
}

/* ---- Scan ---- */

/* Field numbers of ScanResponse and Entry. */
enum { SCAN_RESPONSE_ENTRIES = 1, ENTRY_KEY = 1, ENTRY_VALUE = 2 };

struct scan {
   struct kv_store_view *view;
   struct kv_cursor cursor;
   struct kv_slice prefix;
   uint64_t left; /* entries still wanted */
   bool keys_only;
   const struct kv_entry *next;                  /* read, but not in a part yet; may be NULL */
   size_t count;                                 /* of the entries of the part being sent */
   const struct kv_entry *entries[PART_ENTRIES]; /* valid as long as the view */
};

/* Reads scan->next, unless it has been read. */
static bool read_next(struct scan *scan)
{
   if (scan->next)
      return true;
   const struct kv_entry *entry = scan->left > 0 ? kv_cursor_next(&scan->cursor) : NULL;
   if (entry && kv_slice_begins_with(kv_entry_key(entry), scan->prefix))
      scan->next = entry;
   return scan->next;
}

static size_t size_of_entry(const struct scan *scan, const struct kv_entry *entry)
{
   size_t size = kv_field_size(kv_entry_key(entry).size);
   return scan->keys_only ? size : size + kv_optional_field_size(kv_entry_value(entry).size);
}

static bool encode_part(struct kv_call *call, const struct scan *scan, size_t size, size_t in_place)
{
   struct kv_writer writer;
   if (!kv_writer_begin(&writer, call, size, in_place))
      return false;
   for (size_t i = 0; i < scan->count; i++) {
      const struct kv_entry *entry = scan->entries[i];
      kv_writer_message(&writer, SCAN_RESPONSE_ENTRIES, size_of_entry(scan, entry));
      kv_writer_bytes(&writer, ENTRY_KEY, kv_entry_key(entry));
      if (!scan->keys_only)
         kv_writer_value(&writer, ENTRY_VALUE, entry);
   }
   return kv_writer_end(&writer);
}

/* Sends the next part, or ends the call when there is none. */
static void send_part(struct kv_call *call, struct scan *scan)
{
   size_t size = 0, in_place = 0;
   scan->count = 0;
   while (scan->count < PART_ENTRIES && read_next(scan)) {
      size_t more = kv_field_size(size_of_entry(scan, scan->next));
      if (size + more > PART_SIZE && scan->count > 0)
         break;
      size += more;
      if (!scan->keys_only)
         in_place += kv_in_place_size(scan->next);
      scan->entries[scan->count++] = scan->next;
      scan->next = NULL;
      scan->left--;
   }
   if (scan->count == 0)
      kv_call_finish(call);
   else if (encode_part(call, scan, size, in_place))
      kv_call_send(call);
}

static struct scan *begin_scan(struct kv_service *service, struct kv_call *call,
                               const Kvstore__ScanRequest *request)
{
   struct scan *scan = kv_arena_alloc(kv_call_arena(call), sizeof *scan);
   if (!scan)
      return NULL;
   scan->view = kv_store_view_create(service->config.store);
   if (!scan->view)
      return NULL;
   scan->prefix = kv_service_bytes(request->prefix);
   scan->left = request->limit ? request->limit : UINT64_MAX;
   scan->keys_only = request->keys_only;
   scan->next = NULL;
   scan->count = 0;
   struct kv_slice start = kv_service_bytes(request->start);
   kv_cursor_seek(&scan->cursor, kv_store_view_version(scan->view),
                  kv_slice_compare(start, scan->prefix) > 0 ? start : scan->prefix);
   return scan;
}

void kv_service_scan(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__ScanRequest *wanted =
       kv_service_request(service, call, &kvstore__scan_request__descriptor, request);
   if (!wanted)
      return;
   struct kv_status status;
   if (kv_validate_prefix("prefix", kv_service_bytes(wanted->prefix), &status) != KV_OK ||
       kv_validate_prefix("start", kv_service_bytes(wanted->start), &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   kv_call_set_subject(call, kv_service_bytes(wanted->prefix));
   struct scan *scan = begin_scan(service, call, wanted);
   if (!scan) {
      kv_message_out_of_memory(call);
      return;
   }
   *kv_call_state(call) = scan;
   send_part(call, scan);
}

void kv_service_scan_sent(void *context, struct kv_call *call)
{
   (void)context;
   send_part(call, *kv_call_state(call));
}

void kv_service_scan_closed(void *context, struct kv_call *call)
{
   (void)context;
   struct scan *scan = *kv_call_state(call);
   if (scan)
      kv_store_view_destroy(scan->view);
}

size_t kv_service_scan_kept(void *context, struct kv_call *call)
{
   (void)context;
   const struct scan *scan = *kv_call_state(call);
   return scan ? kv_store_view_kept(scan->view) : 0;
}

/* A part that is being sent may have arrived incompletely, so the client needs all of it again. */
void kv_service_scan_resume(void *context, struct kv_call *call, char *text, size_t size)
{
   (void)context;
   const struct scan *scan = *kv_call_state(call);
   const bool sends = scan && scan->count > 0;
   const struct kv_slice first = sends ? kv_entry_key(scan->entries[0]) : kv_slice(NULL, 0);
   if (sends && first.size < size / 2)
      snprintf(text, size, "; continue with start = \"%.*s\"", (int)first.size,
               (const char *)first.data);
   else
      snprintf(text, size, "; continue with start = the last key received");
}
