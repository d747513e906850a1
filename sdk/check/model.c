#include "sdk/check/model.h"

#include "core/support/text.h"
#include "sdk/check/check.h"
#include "sdk/check/spy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct kv_store *model_create(void)
{
   struct kv_store *store = kv_store_create();
   if (!store)
      check_broken("no memory for a store");
   return store;
}

static struct kv_slice bytes_of(kvs_bytes bytes)
{
   return kv_slice(bytes.data, bytes.size);
}

/* A case whose records have times that no host gives leaves them to the spy. */
static int64_t expiry_of(const kvs_record *record)
{
   return spy.expiry_of ? 0 : record->expires_at_ms;
}

void model_apply(struct kv_store *store, const kvs_record *records, size_t count)
{
   struct kv_transaction *transaction = kv_store_begin(store);
   bool done = transaction != NULL;
   for (size_t i = 0; done && i < count; i++) {
      bool existed;
      done = records[i].kind == KVS_DELETE
                 ? kv_transaction_delete(transaction, bytes_of(records[i].key), &existed)
                 : kv_transaction_set(transaction, bytes_of(records[i].key),
                                      bytes_of(records[i].value), expiry_of(&records[i]),
                                      records[i].sequence);
   }
   if (!done)
      check_broken("no memory for the records");
   kv_transaction_commit(transaction, records[count - 1].sequence);
}

static struct kv_store_view *view_of(struct kv_store *store)
{
   struct kv_store_view *view = kv_store_view_create(store);
   if (!view)
      check_broken("no memory for a view");
   return view;
}

uint64_t model_sequence(struct kv_store *store)
{
   struct kv_store_view *view = view_of(store);
   uint64_t sequence = kv_version_sequence(kv_store_view_version(view));
   kv_store_view_destroy(view);
   return sequence;
}

struct kv_store *model_copy(struct kv_store *store)
{
   struct kv_store *copy = model_create();
   struct kv_store_view *view = view_of(store);
   struct kv_transaction *transaction = kv_store_begin(copy);
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   if (!transaction)
      check_broken("no memory for a copy of the state");
   kv_cursor_seek(&cursor, kv_store_view_version(view), kv_slice(NULL, 0));
   while ((entry = kv_cursor_next(&cursor)))
      if (!kv_transaction_set(transaction, kv_entry_key(entry), kv_entry_value(entry),
                              kv_entry_expires_at(entry), kv_entry_version(entry)))
         check_broken("no memory for a copy of the state");
   kv_transaction_commit(transaction, kv_version_sequence(kv_store_view_version(view)));
   kv_store_view_destroy(view);
   return copy;
}

/* ---- Comparing ----------------------------------------------------------------------------- */

#define SHOWN_SIZE 48

static const char *show(struct kv_slice bytes, char shown[SHOWN_SIZE])
{
   char text[SHOWN_SIZE];
   size_t size = bytes.size < sizeof text - 1 ? bytes.size : sizeof text - 1;
   for (size_t i = 0; i < size; i++) {
      char byte = ((const char *)bytes.data)[i];
      text[i] = byte == '\0' ? '?' : byte;
   }
   text[size] = '\0';
   return kv_text_show(text, shown, SHOWN_SIZE);
}

/* As versions do: `exact`, or up to `highest`. */
struct versions {
   bool exact;
   uint64_t highest;
};

static bool differ_in_version(const struct versions *versions, const struct kv_entry *written,
                              const struct kv_entry *read, char *difference, size_t size)
{
   char shown[SHOWN_SIZE];
   const uint64_t expected = kv_entry_version(written), found = kv_entry_version(read);
   if (versions->exact ? found == expected : found >= expected && found <= versions->highest)
      return false;
   snprintf(difference, size,
            "key \"%s\" has sequence %" PRIu64 ", and its last change was of %" PRIu64,
            show(kv_entry_key(written), shown), found, expected);
   return true;
}

static bool differ_in_value(const struct kv_entry *written, const struct kv_entry *read,
                            char *difference, size_t size)
{
   char shown[SHOWN_SIZE];
   const struct kv_slice key = kv_entry_key(written);
   const struct kv_slice expected = kv_entry_value(written), found = kv_entry_value(read);
   if (expected.size != found.size)
      snprintf(difference, size, "key \"%s\" has a value of %zu bytes, and %zu were written",
               show(key, shown), found.size, expected.size);
   else if (expected.size > 0 && memcmp(expected.data, found.data, expected.size) != 0)
      snprintf(difference, size,
               "key \"%s\" has a value of %zu bytes, as written, but with other bytes",
               show(key, shown), found.size);
   else if (kv_entry_expires_at(written) != kv_entry_expires_at(read))
      snprintf(difference, size,
               "key \"%s\" has expires_at_ms %" PRId64 ", and was written with %" PRId64,
               show(key, shown), kv_entry_expires_at(read), kv_entry_expires_at(written));
   else
      return false;
   return true;
}

/* One step of both cursors, which stand at the same key or at an end. */
static bool find_difference(const struct versions *versions, struct kv_cursor *expected,
                            struct kv_cursor *found, bool *ended, char *difference, size_t size)
{
   char shown[SHOWN_SIZE];
   const struct kv_entry *written = kv_cursor_next(expected), *read = kv_cursor_next(found);
   *ended = !written && !read;
   if (*ended)
      return false;
   int order = !written ? 1
               : !read  ? -1
                        : kv_slice_compare(kv_entry_key(written), kv_entry_key(read));
   if (order == 0)
      return differ_in_value(written, read, difference, size) ||
             differ_in_version(versions, written, read, difference, size);
   if (order < 0)
      snprintf(difference, size, "key \"%s\" is missing", show(kv_entry_key(written), shown));
   else
      snprintf(difference, size, "key \"%s\" is there, and must not be",
               show(kv_entry_key(read), shown));
   return true;
}

bool model_equal(const kvs_plugin *plugin, struct kv_store *expected, struct kv_store *found,
                 char *difference, size_t size)
{
   struct kv_store_view *views[2] = {view_of(expected), view_of(found)};
   struct kv_cursor cursors[2];
   for (int i = 0; i < 2; i++)
      kv_cursor_seek(&cursors[i], kv_store_view_version(views[i]), kv_slice(NULL, 0));
   const struct versions versions = {.exact = plugin->flags & KVS_PLUGIN_VERSIONS,
                                     .highest =
                                         kv_version_sequence(kv_store_view_version(views[1]))};
   bool ended = false, different = false;
   while (!ended && !different)
      different = find_difference(&versions, &cursors[0], &cursors[1], &ended, difference, size);
   kv_store_view_destroy(views[0]);
   kv_store_view_destroy(views[1]);
   return !different;
}

/* ---- The states of a workload -------------------------------------------------------------- */

void model_begin(struct model *model, const struct workload *workload)
{
   *model = (struct model){.workload = workload, .store = model_create()};
}

void model_end(struct model *model)
{
   kv_store_destroy(model->store);
}

bool model_move_to(struct model *model, uint64_t sequence)
{
   if (model_sequence(model->store) > sequence) {
      model_end(model);
      model_begin(model, model->workload);
   }
   struct batch batch = {0};
   uint64_t reached = model_sequence(model->store);
   while (reached < sequence) {
      batch_add_group(&batch, &reached, model->workload, model->groups);
      if (reached <= sequence) {
         model_apply(model->store, batch.records, batch.count);
         model->groups++;
      }
      batch_reset(&batch);
   }
   batch_deinit(&batch);
   return reached == sequence;
}
