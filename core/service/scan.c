/* Keys and Scan: what the store holds, from one consistent view. */
#include "core/service/internal.h"
#include "core/service/validate.h"
#include "core/service/values.h"

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

static void reply_keys(struct kv_call *call, const struct kv_version *version)
{
   size_t count = kv_version_count(version);
   ProtobufCBinaryData *keys = kv_arena_alloc(kv_call_arena(call), count * sizeof *keys);
   if (!keys) {
      kv_message_out_of_memory(call);
      return;
   }
   struct kv_cursor cursor;
   struct kv_bytes key, value;
   size_t filled = 0, size = 0;
   kv_cursor_seek(&cursor, version, kv_bytes(NULL, 0));
   while (kv_cursor_next(&cursor, &key, &value)) {
      size += key.size + ENTRY_OVERHEAD;
      keys[filled++] = kv_message_bytes(key);
   }
   if (size > REPLY_SIZE_MAX) {
      kv_call_fail(call, KV_RESOURCE_EXHAUSTED,
                   "the keys do not fit into one message; use Scan, which sends them in parts");
      return;
   }
   Kvstore__KeysResponse response = KVSTORE__KEYS_RESPONSE__INIT;
   response.n_keys = filled;
   response.keys = keys;
   kv_message_reply(call, &response.base);
}

void kv_service_keys(void *context, struct kv_call *call, struct kv_bytes request)
{
   struct kv_service *service = context;
   if (!kv_service_request(service, call, &kvstore__keys_request__descriptor, request))
      return;
   /* A walk over everything is too long for a pin. */
   struct kv_view *view = kv_view_create(service->config.store);
   if (!view) {
      kv_message_out_of_memory(call);
      return;
   }
   reply_keys(call, kv_view_version(view));
   kv_view_destroy(view);
}

/* ---- Scan ---- */

struct scan {
   struct kv_view *view;
   struct kv_cursor cursor;
   struct kv_bytes prefix;
   uint64_t left; /* entries still wanted */
   bool keys_only;
   bool held; /* key and value were read, but did not fit into the last part */
   struct kv_bytes key, value;
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
      scan->value = kv_bytes(NULL, 0);
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
   scan->view = kv_view_create(service->config.store);
   if (!scan->view)
      return NULL;
   scan->prefix = kv_service_bytes(request->prefix);
   scan->left = request->limit ? request->limit : UINT64_MAX;
   scan->keys_only = request->keys_only;
   scan->held = false;
   scan->values = (struct kv_values){0};
   kv_cursor_seek(&scan->cursor, kv_view_version(scan->view), scan->prefix);
   return scan;
}

void kv_service_scan(void *context, struct kv_call *call, struct kv_bytes request)
{
   struct kv_service *service = context;
   const Kvstore__ScanRequest *wanted =
       kv_service_request(service, call, &kvstore__scan_request__descriptor, request);
   if (!wanted)
      return;
   struct kv_status status;
   if (kv_validate_prefix("prefix", kv_service_bytes(wanted->prefix), &status) != KV_OK) {
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
      kv_view_destroy(scan->view);
}
