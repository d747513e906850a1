#include "check/start.h"

#include "check/stand_in.h"
#include "storage/key_check.h"

/* One over keys and versions as well, which the digest that is shown does not cover. */
static bool make_digests(struct kv_store *store, struct start *start)
{
   struct kv_digest *digest = kv_digest_create(), *versions = kv_digest_create();
   struct kv_store_view *view = kv_store_view_create(store);
   bool made = digest && versions && view;
   if (made) {
      struct kv_cursor cursor;
      const struct kv_entry *entry;
      kv_cursor_seek(&cursor, kv_store_view_version(view), kv_slice(NULL, 0));
      while ((entry = kv_cursor_next(&cursor))) {
         kv_digest_add(digest, kv_entry_key(entry), kv_entry_value(entry),
                       (uint64_t)kv_entry_expires_at(entry));
         kv_digest_add(versions, kv_entry_key(entry), kv_slice(NULL, 0), kv_entry_version(entry));
      }
      kv_digest_text(digest, start->digest);
      kv_digest_text(versions, start->versions);
   }
   if (view)
      kv_store_view_destroy(view);
   kv_digest_destroy(digest);
   kv_digest_destroy(versions);
   return made;
}

bool start_describe(struct kv_store *store, bool sealed, struct start *start)
{
   struct kv_store_view *view = kv_store_view_create(store);
   if (!view)
      return false;
   const struct kv_version *version = kv_store_view_version(view);
   start->outcome = START_REACHES;
   start->sequence = kv_version_sequence(version);
   start->keys = sealed ? kv_version_count(version) : kv_version_client_count(version);
   start->bytes = kv_version_bytes(version);
   kv_store_view_destroy(view);
   return make_digests(store, start);
}

/* KV_OK also when the load is refused. */
static enum kv_code load(struct kv_instance *instance, struct kv_store *store, bool sealed,
                         struct start *start, struct kv_status *status)
{
   struct kv_transaction *transaction = kv_store_begin(store);
   if (!transaction)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the data");
   enum kv_code code = kv_instance_load(instance, transaction, &start->sequence, &start->refusal);
   if (code != KV_OK) {
      kv_transaction_abort(transaction);
      start->outcome = START_REFUSED;
      *status = start->refusal;
      return code == KV_DATA_LOSS || code == KV_INVALID_ARGUMENT ? KV_OK : code;
   }
   kv_transaction_commit(transaction, start->sequence);
   if (!start_describe(store, sealed, start))
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a checksum");
   return KV_OK;
}

/* What the plug-in encrypt looks at before the data, but for what takes the key. */
static bool refuses_key_check(const char *directory, const uint8_t store_id[16],
                              struct start *start)
{
   kvs_error error = {.size = sizeof error};
   uint8_t file[STORAGE_KEY_CHECK_SIZE];
   bool found;
   if (storage_key_check_read(directory, store_id, file, &found, &error) == KVS_OK)
      return false;
   kv_fail(&start->refusal, KV_DATA_LOSS, "plug-in encrypt: %s", error.text);
   start->outcome = START_REFUSED;
   return true;
}

enum kv_code start_load(const char *directory, const struct place *place,
                        const uint8_t store_id[16], bool prefix, struct kv_store *store,
                        struct start *start, struct kv_status *status)
{
   char path[KV_GENERATION_PATH_SIZE];
   *start = (struct start){.report = kv_load_report_create()};
   if (!start->report)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a report");
   if (place->encrypted && !prefix && refuses_key_check(directory, store_id, start))
      return KV_OK;
   place_path(place, directory, path);
   const kvs_plugin plugin = stand_in_reading(place->kept, place->name, prefix);
   const struct kv_instance_config config = {
       .plugin = &plugin, .directory = path, .resumed = true, .report = start->report};
   struct kv_instance *instance;
   enum kv_code code = stand_in_open(config, store_id, &instance, status);
   if (code != KV_OK)
      return code;
   code = load(instance, store, place->encrypted, start, status);
   kv_instance_close(instance);
   return code;
}

enum kv_code start_try(const char *directory, const struct place *place, const uint8_t store_id[16],
                       struct start *start, struct kv_status *status)
{
   struct kv_store *store = kv_store_create();
   *start = (struct start){0};
   if (!store)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the store");
   enum kv_code code = start_load(directory, place, store_id, false, store, start, status);
   kv_store_destroy(store);
   return code;
}

void start_deinit(struct start *start)
{
   if (start->report)
      kv_load_report_destroy(start->report);
   *start = (struct start){0};
}

struct kv_load_items start_items(const struct start *start, uint32_t kind)
{
   return start->report ? kv_load_report_items(start->report, kind) : (struct kv_load_items){0};
}
