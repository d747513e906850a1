#include "tests/fuzz/request_model.h"

#include "tests/fuzz/request_check.h"
#include "tests/fuzz/support.h"

static bool same(struct kv_slice a, struct kv_slice b)
{
   return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void add(struct model *model, const struct kv_entry *entry)
{
   const struct model_pair pair = {kv_entry_key(entry), kv_entry_value(entry),
                                   kv_entry_version(entry), kv_entry_expires_at(entry)};
   REQUIRE(model->count < MODEL_PAIRS_MAX);
   model->pairs[model->count++] = pair;
   model->bytes += pair.key.size + pair.value.size;
}

static void drop(struct model *model, struct model_pair *pair)
{
   model->bytes -= pair->key.size + pair->value.size;
   *pair = model->pairs[--model->count];
}

static bool is_hidden(struct kv_slice key)
{
   return ((const char *)key.data)[0] == '\0';
}

void model_load(struct model *model, const struct kv_version *version)
{
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   model->count = 0;
   model->bytes = 0;
   model->sequence = kv_version_sequence(version);
   model->result_left = CHECK_MESSAGE_MAX;
   model->text_count = 0;
   kv_cursor_seek(&cursor, version, kv_slice(NULL, 0));
   while ((entry = kv_cursor_next(&cursor))) {
      REQUIRE(kv_entry_is_live(entry, MODEL_NOW_MS));
      add(model, entry);
   }
   REQUIRE(model->count == kv_version_count(version));
   REQUIRE(model->bytes == kv_version_bytes(version));
}

const struct model_pair *model_find(const struct model *model, struct kv_slice key)
{
   for (size_t i = 0; i < model->count; i++)
      if (same(model->pairs[i].key, key))
         return &model->pairs[i];
   return NULL;
}

bool model_matches(const struct model *model, const struct kv_version *version)
{
   for (size_t i = 0; i < model->count; i++) {
      const struct kv_entry *entry = kv_version_find(version, model->pairs[i].key);
      if (!entry || !same(kv_entry_value(entry), model->pairs[i].value) ||
          kv_entry_version(entry) != model->pairs[i].version ||
          kv_entry_expires_at(entry) != model->pairs[i].expires_at)
         return false;
   }
   return kv_version_count(version) == model->count && kv_version_bytes(version) == model->bytes &&
          kv_version_sequence(version) == model->sequence;
}

bool model_has_room(const struct model *model, struct kv_slice key, struct kv_slice value)
{
   const struct model_pair *old = model_find(model, key);
   size_t before = old ? old->value.size : 0;
   size_t after = old ? value.size : key.size + value.size;
   return after <= before || model->bytes + (after - before) <= CHECK_MEMORY_MAX;
}

bool model_set(struct model *model, struct kv_slice key, struct kv_slice value)
{
   if (!model_has_room(model, key, value))
      return false;
   model_put(model, key, value, 0, model->sequence + 1);
   return true;
}

void model_put(struct model *model, struct kv_slice key, struct kv_slice value, int64_t expires_at,
               uint64_t version)
{
   struct model_pair *pair = (struct model_pair *)model_find(model, key);
   REQUIRE(version > model->sequence);
   if (pair)
      drop(model, pair);
   REQUIRE(model->count < MODEL_PAIRS_MAX);
   model->pairs[model->count++] = (struct model_pair){key, value, version, expires_at};
   model->bytes += key.size + value.size;
   model->sequence = version;
}

bool model_delete(struct model *model, struct kv_slice key)
{
   struct model_pair *pair = (struct model_pair *)model_find(model, key);
   if (!pair)
      return false;
   drop(model, pair);
   model->sequence++;
   return true;
}

void model_take_hidden(struct model *model, const struct kv_version *version)
{
   for (size_t i = model->count; i > 0; i--)
      if (is_hidden(model->pairs[i - 1].key))
         drop(model, &model->pairs[i - 1]);
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   kv_cursor_seek(&cursor, version, kv_slice(NULL, 0));
   while ((entry = kv_cursor_next(&cursor)) && is_hidden(kv_entry_key(entry)))
      add(model, entry);
}

char *model_text(struct model *model)
{
   REQUIRE(model->text_count < MODEL_TEXTS_MAX);
   return model->texts[model->text_count++];
}

void model_expire(struct model *model)
{
   for (size_t i = model->count; i > 0; i--) {
      struct model_pair *pair = &model->pairs[i - 1];
      if (pair->expires_at != 0 && pair->expires_at <= MODEL_NOW_MS)
         drop(model, pair);
   }
}
