#include "tests/fuzz/request_model.h"

#include "tests/fuzz/request_check.h"
#include "tests/fuzz/support.h"

static bool same(struct kv_slice a, struct kv_slice b)
{
   return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

void model_load(struct model *model, const struct kv_version *version)
{
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   model->count = 0;
   model->bytes = 0;
   model->sequence = kv_version_sequence(version);
   model->result_left = CHECK_MESSAGE_MAX;
   kv_cursor_seek(&cursor, version, kv_slice(NULL, 0));
   while ((entry = kv_cursor_next(&cursor))) {
      const struct model_pair pair = {kv_entry_key(entry), kv_entry_value(entry)};
      REQUIRE(model->count < MODEL_PAIRS_MAX);
      model->pairs[model->count++] = pair;
      model->bytes += pair.key.size + pair.value.size;
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
      if (!entry || !same(kv_entry_value(entry), model->pairs[i].value))
         return false;
   }
   return kv_version_count(version) == model->count && kv_version_bytes(version) == model->bytes &&
          kv_version_sequence(version) == model->sequence;
}

uint64_t model_growth(const struct model *model, struct kv_slice key, struct kv_slice value)
{
   const struct model_pair *old = model_find(model, key);
   size_t before = old ? old->value.size : 0;
   size_t after = old ? value.size : key.size + value.size;
   return after > before ? after - before : 0;
}

bool model_set(struct model *model, struct kv_slice key, struct kv_slice value, bool bounded)
{
   uint64_t growth = model_growth(model, key, value);
   if (bounded && growth > 0 && model->bytes + growth > CHECK_MEMORY_MAX)
      return false;
   struct model_pair *pair = (struct model_pair *)model_find(model, key);
   if (pair) {
      model->bytes -= pair->value.size;
   } else {
      REQUIRE(model->count < MODEL_PAIRS_MAX);
      pair = &model->pairs[model->count++];
      pair->key = key;
      model->bytes += key.size;
   }
   pair->value = value;
   model->bytes += value.size;
   model->sequence++;
   return true;
}

bool model_delete(struct model *model, struct kv_slice key)
{
   struct model_pair *pair = (struct model_pair *)model_find(model, key);
   if (!pair)
      return false;
   model->bytes -= pair->key.size + pair->value.size;
   *pair = model->pairs[--model->count];
   model->sequence++;
   return true;
}
