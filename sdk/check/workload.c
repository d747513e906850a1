#include "sdk/check/workload.h"

#include "sdk/check/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SplitMix64 (Steele, Lea, Flood 2014): every state gives a well-mixed number. */
uint64_t workload_random(uint64_t *state)
{
   uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
   mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
   mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
   return mixed ^ (mixed >> 31);
}

/* 2100; a quarter of the sets expire some time after. */
#define FAR_MS INT64_C(4102444800000)

static void *copy(const void *data, size_t size)
{
   void *bytes = malloc(size > 0 ? size : 1);
   if (!bytes)
      check_broken("no memory for a record of %zu bytes", size);
   if (size > 0)
      memcpy(bytes, data, size);
   return bytes;
}

void batch_add(struct batch *batch, uint64_t *sequence, uint32_t kind, const void *key,
               size_t key_size, const void *value, size_t value_size)
{
   if (batch->count == batch->capacity) {
      batch->capacity = batch->capacity ? 2 * batch->capacity : 64;
      batch->records = reallocarray(batch->records, batch->capacity, sizeof *batch->records);
      if (!batch->records)
         check_broken("no memory for a batch");
   }
   batch->records[batch->count++] = (kvs_record){
       .sequence = ++*sequence,
       .kind = kind,
       .key = {copy(key, key_size), key_size},
       .value = {copy(value, value_size), value_size},
   };
}

static void add_random(struct batch *batch, uint64_t *sequence, const struct workload *workload,
                       uint64_t *state)
{
   char key[32];
   int key_size =
       snprintf(key, sizeof key, "key-%04u", (unsigned)(workload_random(state) % workload->keys));
   if (workload_random(state) % 8 == 0) {
      batch_add(batch, sequence, KVS_DELETE, key, (size_t)key_size, NULL, 0);
      batch->records[batch->count - 1].flags =
          workload_random(state) % 2 == 0 ? KVS_RECORD_EXPIRED : 0;
      return;
   }
   size_t size = workload_random(state) % (workload->value_max + 1);
   uint8_t *value = malloc(size + sizeof(uint64_t));
   if (!value)
      check_broken("no memory for a value of %zu bytes", size);
   for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
      uint64_t random = workload_random(state);
      memcpy(value + i, &random, sizeof random);
   }
   batch_add(batch, sequence, KVS_SET, key, (size_t)key_size, value, size);
   if (workload_random(state) % 4 == 0)
      batch->records[batch->count - 1].expires_at_ms =
          FAR_MS + (int64_t)(workload_random(state) % FAR_MS);
   free(value);
}

void batch_add_group(struct batch *batch, uint64_t *sequence, const struct workload *workload,
                     uint64_t number)
{
   uint64_t state = workload->seed ^ (number * 0x2545f4914f6cdd1du);
   size_t count = 1;
   if (workload_random(&state) % 100 < workload->joined_percent)
      count =
          workload->run_min + workload_random(&state) % (workload->run_max - workload->run_min + 1);
   for (size_t i = 0; i < count; i++) {
      add_random(batch, sequence, workload, &state);
      if (i + 1 < count)
         batch->records[batch->count - 1].flags |= KVS_RECORD_JOINED;
   }
}

void batch_reset(struct batch *batch)
{
   for (size_t i = 0; i < batch->count; i++) {
      free((void *)batch->records[i].key.data);
      free((void *)batch->records[i].value.data);
   }
   batch->count = 0;
}

void batch_deinit(struct batch *batch)
{
   batch_reset(batch);
   free(batch->records);
   *batch = (struct batch){0};
}
