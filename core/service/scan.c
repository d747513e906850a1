/* Keys and Scan: what the store holds, from one consistent view. */
#include "core/service/internal.h"
#include "core/service/validate.h"
#include "core/service/values.h"

#include <stdio.h>
#include <string.h>

/* Gross size of one Scan message, but for a single larger entry: well below the 4 MiB that clients
 * accept by default. */
#define CHUNK_SIZE ((size_t)256 * 1024)
#define CHUNK_ENTRIES 4096
/* A gRPC message cannot be larger than its 32-bit length; stay clear of signed 32 bits. */
#define REPLY_SIZE_MAX ((size_t)INT32_MAX - 1024)
/* Tag and length that each entry takes beside its bytes, at most. */
#define ENTRY_OVERHEAD 16

/* ---- Keys ---- */

/* Two walks over one view: the first measures the reply, the second writes it. A walk goes on for
 * some milliseconds at a time, so that the worker serves others in between and hears when the
 * caller has gone. */
struct keys {
   struct kv_store_view *view;
   struct kv_cursor cursor;
   size_t size;   /* of the reply: measured so far, then all */
   uint8_t *next; /* where the second walk writes; NULL in the first */
};

#define KEYS_AT_ONCE 16384

/* KeysResponse has one field, `repeated string keys = 1`: a tag, the key's size, the key. */
#define KEYS_TAG 0x0a
#define VARINT_BITS 7

static size_t size_of_key(struct kv_slice key)
{
   size_t size = 2 + key.size;
   for (size_t rest = key.size >> VARINT_BITS; rest > 0; rest >>= VARINT_BITS)
      size++;
   return size;
}

static uint8_t *put_key(uint8_t *to, struct kv_slice key)
{
   *to++ = KEYS_TAG;
   size_t rest = key.size;
   for (; rest >> VARINT_BITS > 0; rest >>= VARINT_BITS)
      *to++ = (uint8_t)(rest | 1u << VARINT_BITS);
   *to++ = (uint8_t)rest;
   memcpy(to, key.data, key.size);
   return to + key.size;
}

static void end_keys(struct kv_call *call, struct keys *keys, enum kv_code code, const char *text)
{
   kv_store_view_destroy(keys->view);
   if (code == KV_OK)
      kv_call_reply(call);
   else
      kv_call_fail(call, code, text);
}

/* Goes on with the walk; false at its end. */
static bool walk_keys(struct keys *keys)
{
   struct kv_slice key, value;
   for (int i = 0; i < KEYS_AT_ONCE; i++) {
      if (!kv_cursor_next(&keys->cursor, &key, &value))
         return false;
      if (keys->next)
         keys->next = put_key(keys->next, key);
      else
         keys->size += size_of_key(key);
   }
   return true;
}

static void go_on_with_keys(void *context, struct kv_call *call)
{
   (void)context;
   struct keys *keys = *kv_call_state(call);
   if (kv_call_is_cancelled(call)) {
      end_keys(call, keys, KV_CANCELLED, "the caller is gone");
   } else if (walk_keys(keys)) {
      kv_call_yield(call, go_on_with_keys);
   } else if (keys->next) {
      end_keys(call, keys, KV_OK, NULL);
   } else if (keys->size > REPLY_SIZE_MAX) {
      end_keys(call, keys, KV_RESOURCE_EXHAUSTED,
               "the keys do not fit into one message; use Scan, which sends them in parts");
   } else {
      keys->next = kv_call_message(call, keys->size);
      if (!keys->next) {
         kv_store_view_destroy(keys->view);
         kv_message_out_of_memory(call);
         return;
      }
      kv_cursor_seek(&keys->cursor, kv_store_view_version(keys->view), kv_slice(NULL, 0));
      kv_call_yield(call, go_on_with_keys);
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
   kv_cursor_seek(&keys->cursor, kv_store_view_version(view), kv_slice(NULL, 0));
   *kv_call_state(call) = keys;
   go_on_with_keys(service, call);
}

/* ---- Scan ---- */

struct scan {
   struct kv_store_view *view;
   struct kv_cursor cursor;
   struct kv_slice prefix;
   uint64_t left; /* entries still wanted */
   bool keys_only;
   bool held;             /* key and value were read, but did not fit into the last part */
   struct kv_slice first; /* the first key of the part being sent */
   struct kv_slice key, value;
   struct kv_values values; /* of the part being made */
   Kvstore__Entry entries[CHUNK_ENTRIES];
   Kvstore__Entry *pointers[CHUNK_ENTRIES];
};

/* Reads the next entry into scan->key and scan->value, unless one is held back. */
static bool next_entry(struct scan *scan)
{
   if (scan->held)
      return true;
   if (scan->left == 0 || !kv_cursor_next(&scan->cursor, &scan->key, &scan->value))
      return false;
   if (scan->keys_only)
      scan->value = kv_slice(NULL, 0);
   scan->held = scan->key.size >= scan->prefix.size &&
                (scan->prefix.size == 0 ||
                 memcmp(scan->key.data, scan->prefix.data, scan->prefix.size) == 0);
   return scan->held;
}

/* Sends the next part, or ends the call when there is none. */
static void send_chunk(struct kv_call *call, struct scan *scan)
{
   Kvstore__ScanResponse response = KVSTORE__SCAN_RESPONSE__INIT;
   response.entries = scan->pointers;
   size_t size = 0;
   while (response.n_entries < CHUNK_ENTRIES && next_entry(scan)) {
      size += scan->key.size + scan->value.size + ENTRY_OVERHEAD;
      if (size > CHUNK_SIZE && response.n_entries > 0)
         break;
      Kvstore__Entry *entry = &scan->entries[response.n_entries];
      kvstore__entry__init(entry);
      entry->key = kv_message_bytes(scan->key);
      entry->value = kv_values_add(&scan->values, call, scan->key, scan->value);
      if (response.n_entries == 0)
         scan->first = scan->key;
      scan->pointers[response.n_entries++] = entry;
      scan->held = false;
      scan->left--;
   }
   if (response.n_entries == 0)
      kv_call_finish(call);
   else if (kv_values_encode(&scan->values, call, &response.base))
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
   scan->held = false;
   scan->values = (struct kv_values){0};
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
   struct scan *scan = begin_scan(service, call, wanted);
   if (!scan) {
      kv_message_out_of_memory(call);
      return;
   }
   *kv_call_state(call) = scan;
   send_chunk(call, scan);
}

void kv_service_scan_sent(void *context, struct kv_call *call)
{
   (void)context;
   send_chunk(call, *kv_call_state(call));
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

/* A part that is being sent may have arrived in part, which is as good as not at all. */
void kv_service_scan_resume(void *context, struct kv_call *call, char *text, size_t size)
{
   (void)context;
   const struct scan *scan = *kv_call_state(call);
   if (scan && scan->first.size < size / 2)
      snprintf(text, size, "; go on with start = \"%.*s\"", (int)scan->first.size,
               (const char *)scan->first.data);
   else
      snprintf(text, size, "; go on with start = the last key received");
}
