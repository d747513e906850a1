#include "core/host/loading.h"

#include <inttypes.h>
#include <stdio.h>

/* Far above any sequence that a store can reach, and far enough below the end to count on. */
#define SEQUENCE_MAX (KV_SEQUENCE_MAX >> 1)

/* Remembers the first reason, so that a plug-in which goes on regardless does not get through. */
static int refuse(struct kv_loading *loading, kvs_error *error, int result, enum kv_code code,
                  const char *text, uint64_t sequence)
{
   const char *reason = code == KV_RESOURCE_EXHAUSTED ? NULL : KV_REASON_PLUGIN_FAILED;
   if (loading->refusal.code == KV_OK)
      kv_fail_reason(&loading->refusal, code, reason,
                     "plug-in %s: it handed over %s (sequence %" PRIu64 ")", loading->plugin->name,
                     text, sequence);
   if (error)
      snprintf(error->text, sizeof error->text, "%s (sequence %" PRIu64 ")", text, sequence);
   return result;
}

/* ---- Records ---- */

/* What is wrong with a record handed over, or NULL. */
static const char *find_fault(const struct kv_loading *loading, const kvs_record *record)
{
   if (!loading->transaction)
      return "a record from a fresh directory";
   if (record->sequence == 0 || record->sequence > SEQUENCE_MAX)
      return "a record whose sequence is out of range";
   if (record->kind != KVS_SET && record->kind != KVS_DELETE)
      return "a record that neither sets nor deletes; it may be of a newer version";
   if (record->key.size == 0 || record->key.size > KV_KEY_SIZE_MAX || !record->key.data)
      return "a record whose key is not of 1 to 65536 bytes";
   if (record->expires_at_ms < 0 || record->expires_at_ms > KV_EXPIRES_AT_MAX)
      return "a record whose time of expiry is out of range";
   if (record->kind == KVS_DELETE && record->value.size > 0)
      return "a record that deletes and has a value";
   if (record->kind == KVS_DELETE && record->expires_at_ms != 0)
      return "a record that deletes and expires";
   if (record->value.size > KV_VALUE_SIZE_MAX || (record->value.size > 0 && !record->value.data))
      return "a record whose value is too large or missing";
   if (loading->is_history && record->sequence <= loading->last_change)
      return "a change that is not after the one before it";
   return NULL;
}

static bool apply(struct kv_transaction *transaction, const kvs_record *record)
{
   struct kv_slice key = kv_slice(record->key.data, record->key.size);
   bool existed;
   if (record->kind == KVS_DELETE)
      return kv_transaction_delete(transaction, key, &existed);
   return kv_transaction_set(transaction, key, kv_slice(record->value.data, record->value.size),
                             record->expires_at_ms, record->sequence);
}

/* To whoever follows the changes of the data. */
static void tell_change(struct kv_loading *loading, const kvs_record *record)
{
   const struct kv_instance_observer *observer = loading->observer;
   if (!loading->is_history)
      return;
   loading->last_change = record->sequence;
   if (observer->loaded)
      observer->loaded(
          observer->context, record,
          kv_transaction_find(loading->transaction, kv_slice(record->key.data, record->key.size)));
}

static bool is_given_up(const struct kv_loading *loading)
{
   const struct kv_instance_observer *observer = loading->observer;
   return observer->give_up && observer->give_up(observer->context);
}

static int give_up(struct kv_loading *loading, kvs_error *error)
{
   if (loading->refusal.code == KV_OK)
      kv_fail(&loading->refusal, KV_CANCELLED, "plug-in %s: its load was cancelled",
              loading->plugin->name);
   if (error)
      snprintf(error->text, sizeof error->text, "the load was cancelled");
   return KVS_IO;
}

int kv_loading_take(struct kv_loading *loading, const kvs_record *records, size_t count,
                    kvs_error *error)
{
   if (!loading->active)
      return refuse(loading, error, KVS_INVALID, KV_INTERNAL, "records outside of on_load", 0);
   if (is_given_up(loading))
      return give_up(loading, error);
   for (size_t i = 0; i < count; i++) {
      const kvs_record *record = &records[i];
      const char *fault = find_fault(loading, record);
      if (fault)
         return refuse(loading, error, KVS_CORRUPT,
                       loading->transaction ? KV_DATA_LOSS : KV_INTERNAL, fault, record->sequence);
      tell_change(loading, record);
      if (!apply(loading->transaction, record))
         return refuse(loading, error, KVS_IO, KV_RESOURCE_EXHAUSTED,
                       "more data than there is memory for", record->sequence);
      if (record->sequence > loading->highest)
         loading->highest = record->sequence;
   }
   if (loading->report)
      kv_load_report_count(loading->report, count);
   return loading->refusal.code == KV_OK ? KVS_OK : KVS_CORRUPT;
}

/* ---- What else is told ---- */

void kv_loading_note(const struct kv_loading *loading, const kvs_load_note *note)
{
   if (loading->active && loading->report)
      kv_load_report_note(loading->report, note);
}

void kv_loading_declare(struct kv_loading *loading, uint64_t sequence)
{
   if (sequence > SEQUENCE_MAX)
      refuse(loading, NULL, 0, KV_DATA_LOSS, "a state whose sequence is out of range", sequence);
   else if (sequence > loading->declared)
      loading->declared = sequence;
}

void kv_loading_begin_history(struct kv_loading *loading, uint64_t sequence)
{
   const struct kv_instance_observer *observer = loading->observer;
   if (!loading->active) {
      refuse(loading, NULL, 0, KV_INTERNAL, "a history outside of on_load", sequence);
      return;
   }
   if (sequence > SEQUENCE_MAX || loading->highest > sequence) {
      refuse(loading, NULL, 0, KV_DATA_LOSS, "a history that begins below what it continues",
             sequence);
      return;
   }
   loading->is_history = true;
   loading->last_change = sequence;
   if (observer->complete_above)
      observer->complete_above(observer->context, sequence);
}

/* ---- Beginning and end ---- */

void kv_loading_begin(struct kv_loading *loading, struct kv_transaction *transaction)
{
   loading->transaction = transaction;
   loading->active = true;
}

void kv_loading_end(struct kv_loading *loading, uint64_t *sequence)
{
   loading->active = false;
   loading->is_history = false;
   if (loading->declared > 0 && !loading->transaction)
      refuse(loading, NULL, 0, KV_INTERNAL, "a state from a fresh directory", loading->declared);
   if (loading->declared > 0 && loading->declared < loading->highest)
      refuse(loading, NULL, 0, KV_DATA_LOSS, "a record above the sequence that it declared",
             loading->highest);
   *sequence = loading->declared > 0 ? loading->declared : loading->highest;
   loading->transaction = NULL;
}
