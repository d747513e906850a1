/* What is written comes back. */
#include "sdk/check/cases.h"
#include "sdk/check/driver.h"
#include "sdk/check/spy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_text(struct batch *batch, const char *key, const char *value)
{
   uint64_t sequence = 0; /* numbered when it is written */
   batch_add(batch, &sequence, value ? KVS_SET : KVS_DELETE, key, strlen(key), value,
             value ? strlen(value) : 0);
}

void case_reload(const struct check_subject *subject)
{
   struct driver driver;
   driver_begin(&driver, subject, "reload");
   driver_set(&driver, "first", "1");
   driver_set(&driver, "second", "2");
   driver_reload(&driver);
   driver_set(&driver, "second", "changed");
   driver_set(&driver, "first", NULL);
   driver_reload(&driver);
   const struct workload workload = {.seed = subject->seed,
                                     .keys = 300,
                                     .run_min = 2,
                                     .run_max = 10,
                                     .joined_percent = 20,
                                     .value_max = 500};
   struct batch batch = {0};
   uint64_t sequence = 0;
   for (uint64_t group = 0; group < 400; group++) {
      batch_add_group(&batch, &sequence, &workload, group);
      if (group % 7 != 6)
         continue;
      driver_write(&driver, &batch);
      batch_reset(&batch);
      if (group % 140 == 139)
         driver_reload(&driver);
   }
   batch_reset(&batch);
   driver_reload(&driver);
   /* The very last one counts too. */
   driver_set(&driver, "last", "one");
   driver_reload(&driver);
   batch_deinit(&batch);
   driver_end(&driver);
}

void case_order(const struct check_subject *subject)
{
   struct driver driver;
   struct batch batch = {0};
   driver_begin(&driver, subject, "order");
   /* The same few keys over and over in one batch: only the last effect on each counts. */
   for (int round = 0; round < 3; round++) {
      for (int i = 0; i < 40; i++) {
         char key[16], value[16];
         snprintf(key, sizeof key, "k%d", i % 4);
         snprintf(value, sizeof value, "%d.%d", round, i);
         add_text(&batch, key, value);
         if (i % 3 == 0)
            add_text(&batch, key, NULL);
      }
      add_text(&batch, "gone", "for now");
      add_text(&batch, "gone", NULL);
      add_text(&batch, "back", NULL);
      add_text(&batch, "back", "again");
      driver_write(&driver, &batch);
      batch_reset(&batch);
      driver_reload(&driver);
   }
   /* And across batches. */
   driver_set(&driver, "back", NULL);
   driver_set(&driver, "back", "and again");
   driver_set(&driver, "gone", "there");
   driver_set(&driver, "gone", NULL);
   driver_set(&driver, "never there", NULL);
   driver_reload(&driver);
   batch_deinit(&batch);
   driver_end(&driver);
}

/* Gaps in the sequence are allowed. */
static void write_after_gap(struct driver *driver, uint64_t gap)
{
   struct batch batch = {0};
   struct kv_status status;
   uint64_t sequence = model_sequence(driver->store) + gap;
   batch_add(&batch, &sequence, KVS_SET, "gap", 3, "x", 1);
   sequence += gap;
   batch_add(&batch, &sequence, KVS_SET, "gap 2", 5, "y", 1);
   if (kv_instance_write(driver->instance, batch.records, batch.count, 0, &status) != KV_OK)
      check_fail("on_write refuses a batch with gaps in its sequences: %s", status.text);
   model_apply(driver->store, batch.records, batch.count);
   batch_deinit(&batch);
}

void case_sequence(const struct check_subject *subject)
{
   struct driver driver;
   driver_begin(&driver, subject, "sequence");
   driver_set(&driver, "a", "1");
   driver_set(&driver, "b", "2");
   driver_set(&driver, "b", NULL);
   driver_reload(&driver);
   driver_set(&driver, "a", NULL);
   driver_reload(&driver); /* nothing is left but the sequence */
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   driver_reload(&driver); /* and no log either */
   driver_set(&driver, "not there", NULL);
   driver_reload(&driver);
   driver_reload(&driver);
   write_after_gap(&driver, 1000);
   driver_reload(&driver);
   write_after_gap(&driver, UINT64_C(1) << 40);
   driver_reload(&driver);
   driver_set(&driver, "gap", NULL);
   driver_reload(&driver);
   driver_end(&driver);
}

void case_batches(const struct check_subject *subject)
{
   static const size_t counts[] = {1, 2, 3, 10, 100, 1000, 10000, 1};
   struct driver driver;
   struct batch batch = {0};
   driver_begin(&driver, subject, "batches");
   for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
      for (size_t j = 0; j < counts[i]; j++) {
         char key[32], value[48];
         snprintf(key, sizeof key, "%zu-%zu", i % 3, j);
         snprintf(value, sizeof value, "value %zu of batch %zu", j, i);
         add_text(&batch, key, i > 0 && j % 10 == 9 ? NULL : value);
      }
      driver_write(&driver, &batch);
      batch_reset(&batch);
      if (counts[i] >= 1000)
         driver_reload(&driver);
   }
   driver_reload(&driver);
   batch_deinit(&batch);
   driver_end(&driver);
}

static void write_sized(struct driver *driver, size_t key_size, size_t value_size)
{
   struct batch batch = {0};
   uint64_t sequence = 0, state = value_size;
   uint8_t *key = malloc(key_size), *value = malloc(value_size + sizeof(uint64_t));
   if (!key || !value)
      check_broken("no memory for a value of %zu bytes", value_size);
   memset(key, 'k', key_size);
   snprintf((char *)key, key_size, "%zu/%zu", key_size, value_size);
   for (size_t i = 0; i < value_size; i += sizeof(uint64_t)) {
      uint64_t random = workload_random(&state);
      memcpy(value + i, &random, sizeof random);
   }
   batch_add(&batch, &sequence, KVS_SET, key, key_size, value, value_size);
   check_context(" with a key of %zu and a value of %zu bytes", key_size, value_size);
   driver_write(driver, &batch);
   check_context("%s", "");
   batch_deinit(&batch);
   free(key);
   free(value);
}

void case_sizes(const struct check_subject *subject)
{
   static const size_t values[] = {0, 1, 4095, 4096, 65536, 1048575, 1048577, 5000000, 64u << 20};
   struct driver driver;
   driver_begin(&driver, subject, "sizes");
   for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
      write_sized(&driver, 24, values[i]);
   driver_reload(&driver);
   static const size_t keys[] = {255, 256, 500, 512, 1000, 4096, 65535, 65536};
   for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
      write_sized(&driver, keys[i], 10);
   write_sized(&driver, 65536, 0);
   driver_reload(&driver);
   driver_end(&driver);
}

void case_binary(const struct check_subject *subject)
{
   static const char *const names[] = {"../../outside", "/absolute", ".",    "..",  "a/b",
                                       "con\nnewline",  "'quote\"",  "%s%n", "NULL"};
   struct driver driver;
   struct batch batch = {0};
   uint64_t sequence = 0;
   uint8_t all[512];
   for (size_t i = 0; i < sizeof all; i++)
      all[i] = (uint8_t)(i & 0xff);
   driver_begin(&driver, subject, "binary");
   for (size_t i = 0; i < 256; i++) {
      /* Each byte as a key, as the first and the last of one, and in a value. */
      batch_add(&batch, &sequence, KVS_SET, &all[i], 1, all, sizeof all);
      batch_add(&batch, &sequence, KVS_SET, &all[i], 200, &all[i], 1);
   }
   batch_add(&batch, &sequence, KVS_SET, "a\0b", 3, "\0", 1);
   batch_add(&batch, &sequence, KVS_SET, "a\0c", 3, "\0\0", 2);
   batch_add(&batch, &sequence, KVS_SET, "a", 1, "no zero", 7);
   batch_add(&batch, &sequence, KVS_SET, "a\0", 2, "one zero", 8);
   driver_write(&driver, &batch);
   batch_reset(&batch);
   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
      driver_set(&driver, names[i], names[i]);
   driver_reload(&driver);
   batch_add(&batch, &sequence, KVS_DELETE, "a\0b", 3, NULL, 0);
   batch_add(&batch, &sequence, KVS_DELETE, "a", 1, NULL, 0);
   driver_write(&driver, &batch);
   driver_reload(&driver);
   batch_deinit(&batch);
   driver_end(&driver);
}

/* The keys of this case say when they expire. */
static int64_t expiry_of(kvs_bytes key)
{
   char text[64];
   size_t size = key.size < sizeof text - 1 ? key.size : sizeof text - 1;
   memcpy(text, key.data, size);
   text[size] = '\0';
   return strtoll(text, NULL, 10);
}

static void add_expiring(struct batch *batch, const char *key, bool set)
{
   add_text(batch, key, set ? "expires" : NULL);
   kvs_record *record = &batch->records[batch->count - 1];
   record->expires_at_ms = set ? expiry_of(record->key) : 0;
}

void case_expiry(const struct check_subject *subject)
{
   /* One that has long passed is still handed over: what expires when is the host's to decide. */
   static const char *const keys[] = {"4102444800000 far", "1 past", "0 never",
                                      "9223372036854775807", "253402300800000"};
   struct driver driver;
   struct batch batch = {0};
   spy.expiry_of = expiry_of;
   driver_begin(&driver, subject, "expiry");
   for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
      add_expiring(&batch, keys[i], true);
   add_expiring(&batch, "5 deleted", true);
   add_expiring(&batch, "5 deleted", false);
   driver_write(&driver, &batch);
   driver_reload(&driver);
   /* And by way of a checkpoint. */
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   driver_reload(&driver);
   batch_deinit(&batch);
   driver_end(&driver);
}
