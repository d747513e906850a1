#include "storage/codec.h"
#include "storage/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t store[16] = "store number one";

static kvs_record effect(uint64_t sequence, const char *key, const char *value, uint32_t flags)
{
   return (kvs_record){.sequence = sequence,
                       .kind = value ? KVS_SET : KVS_DELETE,
                       .flags = flags,
                       .key = {key, strlen(key)},
                       .value = {value, value ? strlen(value) : 0}};
}

static bool same_bytes(kvs_bytes a, kvs_bytes b)
{
   return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* A run of three effects, encoded for offset 1000 of segment 7. */
struct sample {
   kvs_record effects[3];
   struct storage_record_place place;
   size_t size;
   uint8_t bytes[512];
};

static void make_sample(struct sample *sample)
{
   sample->effects[0] = effect(10, "alpha", "one", KVS_RECORD_JOINED);
   sample->effects[1] = effect(12, "beta", NULL, KVS_RECORD_JOINED | KVS_RECORD_EXPIRED);
   sample->effects[2] = effect(1ull << 40, "gamma", "", 0);
   sample->effects[0].expires_at_ms = 1234567890123;
   sample->effects[2].expires_at_ms = INT64_MAX;
   sample->place = (struct storage_record_place){storage_record_salt(store, 7), 1000};
   struct storage_record_header header = {.durable_sequence = 9, .durable_end = 900};
   sample->size = storage_record_encode(sample->bytes, sample->place, &header, sample->effects, 3);
}

/* Whether `bytes` decode to a record at all. */
static bool decodes(const uint8_t *bytes, struct storage_record_place place)
{
   struct storage_record_header header;
   kvs_record effects[3];
   return storage_record_decode_header(bytes, place, &header) && header.effect_count <= 3 &&
          header.payload_size <= 400 &&
          storage_record_decode_effects(&header, bytes + STORAGE_RECORD_HEADER_SIZE, effects);
}

static void checksum_is_crc32c(void **state)
{
   (void)state;
   assert_int_equal(storage_crc(0, "123456789", 9), 0xe3069283u);
   assert_int_equal(storage_crc(storage_crc(0, "1234", 4), "56789", 5), 0xe3069283u);
}

static void run_of_effects_comes_back_as_written(void **state)
{
   (void)state;
   struct sample sample;
   struct storage_record_header header;
   kvs_record effects[3];
   make_sample(&sample);
   assert_int_equal(sample.size,
                    STORAGE_RECORD_HEADER_SIZE + storage_record_payload_size(sample.effects, 3));
   assert_true(storage_record_decode_header(sample.bytes, sample.place, &header));
   assert_int_equal(header.type, STORAGE_RECORD_EFFECTS);
   assert_int_equal(header.effect_count, 3);
   assert_int_equal(header.first_sequence, 10);
   assert_int_equal(header.durable_sequence, 9);
   assert_int_equal(header.durable_end, 900);
   assert_true(
       storage_record_decode_effects(&header, sample.bytes + STORAGE_RECORD_HEADER_SIZE, effects));
   for (int i = 0; i < 3; i++) {
      assert_int_equal(effects[i].sequence, sample.effects[i].sequence);
      assert_int_equal(effects[i].kind, sample.effects[i].kind);
      assert_int_equal(effects[i].flags, sample.effects[i].flags);
      assert_true(effects[i].expires_at_ms == sample.effects[i].expires_at_ms);
      assert_true(same_bytes(effects[i].key, sample.effects[i].key));
      assert_true(same_bytes(effects[i].value, sample.effects[i].value));
   }
}

/* A single delete whose field for the time of expiry is `field`. */
static bool decode_delete(uint64_t field, kvs_record *decoded)
{
   struct storage_record_place place = {storage_record_salt(store, 1), 80};
   struct storage_record_header header = {0};
   kvs_record deletion = effect(3, "key", NULL, 0);
   uint8_t bytes[128], *payload = bytes + STORAGE_RECORD_HEADER_SIZE;
   storage_record_encode(bytes, place, &header, &deletion, 1);
   assert_int_equal(storage_get64(payload + 8), 0);
   storage_put64(payload + 8, field);
   header.payload_crc = storage_crc(0, payload, header.payload_size);
   return storage_record_decode_effects(&header, payload, decoded);
}

/* docs/formats.md; a delete that was written before it had a meaning there has 0. */
static void a_delete_says_whether_its_key_had_expired(void **state)
{
   (void)state;
   kvs_record decoded;
   assert_true(decode_delete(0, &decoded));
   assert_int_equal(decoded.flags, 0);
   assert_true(decode_delete(1, &decoded));
   assert_int_equal(decoded.flags, KVS_RECORD_EXPIRED);
   assert_true(decoded.expires_at_ms == 0);
   assert_false(decode_delete(2, &decoded));
}

static void mark_comes_back_as_written(void **state)
{
   (void)state;
   uint8_t bytes[STORAGE_RECORD_HEADER_SIZE];
   struct storage_record_place place = {storage_record_salt(store, 1), 80};
   struct storage_record_header header = {
       .first_sequence = 41, .durable_sequence = 41, .durable_end = 80};
   header.type = STORAGE_RECORD_MARK;
   assert_int_equal(storage_record_encode(bytes, place, &header, NULL, 0), sizeof bytes);
   memset(&header, 0, sizeof header);
   assert_true(storage_record_decode_header(bytes, place, &header));
   assert_int_equal(header.type, STORAGE_RECORD_MARK);
   assert_int_equal(header.first_sequence, 41);
   assert_int_equal(header.durable_end, 80);
   assert_int_equal(header.payload_size, 0);
}

static void every_flipped_bit_is_noticed(void **state)
{
   (void)state;
   struct sample sample;
   make_sample(&sample);
   for (size_t bit = 0; bit < sample.size * 8; bit++) {
      sample.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
      assert_false(decodes(sample.bytes, sample.place));
      sample.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
   }
   assert_true(decodes(sample.bytes, sample.place));
}

static void record_counts_only_where_it_was_written(void **state)
{
   (void)state;
   struct sample sample;
   make_sample(&sample);
   struct storage_record_place elsewhere = sample.place;
   elsewhere.offset++;
   assert_false(decodes(sample.bytes, elsewhere));
   elsewhere = sample.place;
   elsewhere.salt = storage_record_salt(store, 8);
   assert_false(decodes(sample.bytes, elsewhere));
   elsewhere.salt = storage_record_salt((const uint8_t *)"store number two", 7);
   assert_false(decodes(sample.bytes, elsewhere));
}

static void zeroes_are_no_record(void **state)
{
   (void)state;
   uint8_t bytes[512] = {0};
   assert_false(decodes(bytes, (struct storage_record_place){0, 0}));
}

static void unit_ends_with_the_first_effect_that_is_not_joined(void **state)
{
   (void)state;
   kvs_record effects[] = {effect(1, "a", "1", 0), effect(2, "b", "2", KVS_RECORD_JOINED),
                           effect(3, "c", "3", 0), effect(4, "d", "4", KVS_RECORD_JOINED)};
   assert_int_equal(storage_record_unit(effects, 4), 1);
   assert_int_equal(storage_record_unit(effects + 1, 3), 2);
   assert_int_equal(storage_record_unit(effects + 3, 1), 1);
}

static void unit_beyond_the_limit_is_detected_before_it_is_encoded(void **state)
{
   (void)state;
   kvs_record effects[] = {effect(1, "a", "1", KVS_RECORD_JOINED), effect(2, "b", "2", 0)};
   effects[0].value.size = effects[1].value.size = STORAGE_RECORD_PAYLOAD_MAX / 2;
   assert_true(storage_record_payload_size(effects, 1) <= STORAGE_RECORD_PAYLOAD_MAX);
   assert_true(storage_record_payload_size(effects, 2) > STORAGE_RECORD_PAYLOAD_MAX);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(checksum_is_crc32c),
       cmocka_unit_test(run_of_effects_comes_back_as_written),
       cmocka_unit_test(a_delete_says_whether_its_key_had_expired),
       cmocka_unit_test(mark_comes_back_as_written),
       cmocka_unit_test(every_flipped_bit_is_noticed),
       cmocka_unit_test(record_counts_only_where_it_was_written),
       cmocka_unit_test(zeroes_are_no_record),
       cmocka_unit_test(unit_ends_with_the_first_effect_that_is_not_joined),
       cmocka_unit_test(unit_beyond_the_limit_is_detected_before_it_is_encoded),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
