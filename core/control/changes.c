#include "core/control/changes.h"

bool kv_changes_init(struct kv_changes *changes, struct kv_watchers *watchers,
                     struct kv_store *store)
{
   *changes = (struct kv_changes){.watchers = watchers};
   if (watchers)
      changes->reader = kv_reader_create(store);
   return !watchers || changes->reader;
}

void kv_changes_deinit(struct kv_changes *changes)
{
   if (changes->reader)
      kv_reader_destroy(changes->reader);
}

static void publish(struct kv_changes *changes)
{
   kv_history_publish(kv_watchers_history(changes->watchers));
   kv_watchers_wake(changes->watchers);
}

/* With an entry of the store, unless the batch has changed its key once more. The pin is the
 * caller's: other writers may retire the entry meanwhile, but not free it. */
static const struct kv_entry *find_entry(const struct kv_version *version, const kvs_record *record)
{
   const struct kv_entry *entry =
       kv_version_find(version, kv_slice(record->key.data, record->key.size));
   return entry && kv_entry_version(entry) == record->sequence ? entry : NULL;
}

static void add(struct kv_changes *changes, const kvs_record *record,
                const struct kv_history_previous *previous)
{
   struct kv_history *history = kv_watchers_history(changes->watchers);
   if (record->value.size < KV_ENTRY_KEEP_MIN) {
      kv_history_add(history, record, NULL, previous);
      return;
   }
   const struct kv_version *version = kv_reader_pin(changes->reader);
   kv_history_add(history, record, find_entry(version, record), previous);
   kv_reader_unpin(changes->reader);
}

void kv_changes_publish(struct kv_changes *changes, const kvs_record *records,
                        const struct kv_replaced *previous, size_t count)
{
   if (!changes->watchers)
      return;
   for (size_t i = 0; i < count; i++) {
      if (!previous) {
         add(changes, &records[i], NULL);
         continue;
      }
      const struct kv_previous *entry = &previous[i].entry;
      const struct kv_history_previous replaced = {.existed = previous[i].existed,
                                                   .value = entry->value,
                                                   .entry = previous[i].kept,
                                                   .version = entry->version,
                                                   .expires_at = entry->expires_at};
      add(changes, &records[i], &replaced);
   }
   publish(changes);
}

void kv_changes_begin(struct kv_changes *changes, uint64_t sequence)
{
   changes->has_history = true;
   if (changes->watchers)
      kv_history_begin(kv_watchers_history(changes->watchers), sequence);
}

void kv_changes_load(struct kv_changes *changes, const kvs_record *record,
                     const struct kv_entry *previous)
{
   if (!changes->watchers)
      return;
   struct kv_history_previous replaced = {.existed = previous};
   if (previous) {
      replaced.value = kv_entry_value(previous);
      replaced.entry = previous;
      replaced.version = kv_entry_version(previous);
      replaced.expires_at = kv_entry_expires_at(previous);
   }
   struct kv_history *history = kv_watchers_history(changes->watchers);
   kv_history_add(history, record, NULL, &replaced);
   kv_history_publish(history); /* nobody watches yet, and a batch would be held as a whole */
}

/* Where the plug-in has told no history, or one that ends earlier than its state. */
void kv_changes_loaded(struct kv_changes *changes, const struct kv_versions_start *start)
{
   if (!changes->watchers)
      return;
   struct kv_history *history = kv_watchers_history(changes->watchers);
   if (changes->has_history)
      kv_history_reach(history, start->loaded);
   else
      kv_history_begin(history, start->loaded);
   kv_history_reach(history, start->known);
   kv_history_reach(history, start->first);
   publish(changes);
}

void kv_changes_replaced(struct kv_changes *changes, uint64_t sequence)
{
   if (!changes->watchers)
      return;
   kv_history_replace(kv_watchers_history(changes->watchers), sequence);
   kv_watchers_wake(changes->watchers);
}
