#include "core/rpc/inflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#define SIZE ((size_t)300000)
#define GZIP 31 /* bits of the window, with a header of gzip; ZLIB with one of zlib */
#define ZLIB 15

/* A packed request and the limits on what is made of it. */
struct world {
   uint8_t plain[SIZE], packed[2 * SIZE];
   size_t packed_size, piece_size, size_max, admitted, admitted_max;
   struct kv_inflater *inflater;
   struct kv_status status;
};

static bool get_piece(void *context, size_t index, struct kv_slice *piece)
{
   const struct world *world = context;
   size_t at = index * world->piece_size;
   if (at >= world->packed_size)
      return false;
   size_t left = world->packed_size - at;
   *piece = kv_slice(world->packed + at, left < world->piece_size ? left : world->piece_size);
   return true;
}

static bool admit(void *context, size_t bytes)
{
   struct world *world = context;
   world->admitted += bytes;
   return world->admitted <= world->admitted_max;
}

static void pack(struct world *world, int bits)
{
   z_stream stream = {.next_in = world->plain,
                      .avail_in = (uInt)SIZE,
                      .next_out = world->packed,
                      .avail_out = (uInt)sizeof world->packed};
   assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
   assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
   world->packed_size = stream.total_out;
   deflateEnd(&stream);
}

static int set_up(void **state)
{
   struct world *world = calloc(1, sizeof *world);
   for (size_t i = 0; i < SIZE; i++)
      world->plain[i] = (uint8_t)(i * i >> 7);
   pack(world, GZIP);
   world->piece_size = world->packed_size;
   world->size_max = SIZE;
   world->admitted_max = SIZE_MAX;
   *state = world;
   return 0;
}

static int tear_down(void **state)
{
   kv_inflater_destroy(((struct world *)*state)->inflater);
   free(*state);
   return 0;
}

static enum kv_code create(struct world *world, bool gzip)
{
   const struct kv_inflater_config config = {.gzip = gzip,
                                             .piece = get_piece,
                                             .context = world,
                                             .size_max = world->size_max,
                                             .admit = admit,
                                             .admit_context = world};
   return kv_inflater_create(&config, &world->inflater, &world->status);
}

/* In one go. */
static enum kv_code unpack(struct world *world, bool gzip)
{
   bool done = false;
   enum kv_code code = create(world, gzip);
   if (code == KV_OK)
      code = kv_inflater_run(world->inflater, SIZE_MAX, &done, &world->status);
   assert_true(done || code != KV_OK);
   return code;
}

static void assert_is_plain(struct world *world)
{
   size_t size;
   char *result = kv_inflater_take(world->inflater, &size);
   assert_int_equal(size, SIZE);
   assert_memory_equal(result, world->plain, SIZE);
   free(result);
   kv_inflater_destroy(world->inflater);
   world->inflater = NULL;
}

static void what_was_packed_comes_back_from_pieces_of_any_size(void **state)
{
   struct world *world = *state;
   for (int gzip = 0; gzip < 2; gzip++) {
      pack(world, gzip ? GZIP : ZLIB);
      for (size_t size = 1; size < 100000; size = 10 * size + 1) {
         world->piece_size = size;
         assert_int_equal(unpack(world, gzip), KV_OK);
         assert_is_plain(world);
      }
   }
}

static void unpacking_goes_on_in_steps(void **state)
{
   struct world *world = *state;
   bool done = false;
   unsigned steps = 0;
   assert_int_equal(create(world, true), KV_OK);
   for (; !done; steps++)
      assert_int_equal(kv_inflater_run(world->inflater, SIZE / 10, &done, &world->status), KV_OK);
   assert_in_range(steps, 10, 12);
   assert_is_plain(world);
}

static void a_result_over_the_limit_is_refused_before_it_is_made(void **state)
{
   struct world *world = *state;
   world->size_max = SIZE - 1;
   assert_int_equal(unpack(world, true), KV_RESOURCE_EXHAUSTED);
   assert_non_null(strstr(world->status.text, "more than 299999 bytes"));
   assert_in_range(world->admitted, 1, 2 * SIZE);
}

static void nothing_is_allocated_that_is_not_admitted(void **state)
{
   struct world *world = *state;
   world->admitted_max = 0;
   assert_int_equal(create(world, true), KV_RESOURCE_EXHAUSTED);
   assert_null(world->inflater);
   world->admitted = 0;
   world->admitted_max = SIZE / 2;
   assert_int_equal(unpack(world, true), KV_RESOURCE_EXHAUSTED);
}

static void a_damaged_input_is_refused(void **state)
{
   struct world *world = *state;
   world->packed[world->packed_size / 2] ^= 0x10;
   assert_int_equal(unpack(world, true), KV_INTERNAL);
}

static void an_input_in_the_other_format_is_refused(void **state)
{
   struct world *world = *state;
   assert_int_equal(unpack(world, false), KV_INTERNAL);
   kv_inflater_destroy(world->inflater);
   world->inflater = NULL;
   pack(world, ZLIB);
   assert_int_equal(unpack(world, true), KV_INTERNAL);
}

static void an_input_that_ends_too_early_is_refused(void **state)
{
   struct world *world = *state;
   world->packed_size--;
   assert_int_equal(unpack(world, true), KV_INTERNAL);
   assert_non_null(strstr(world->status.text, "ends too early"));
}

static void bytes_after_the_end_are_refused_in_the_same_piece_or_the_next(void **state)
{
   struct world *world = *state;
   size_t size = world->packed_size++;
   for (int i = 0; i < 2; i++) {
      world->piece_size = i == 0 ? size : size + 1;
      assert_int_equal(unpack(world, true), KV_INTERNAL);
      kv_inflater_destroy(world->inflater);
      world->inflater = NULL;
   }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(what_was_packed_comes_back_from_pieces_of_any_size),
       CASE(unpacking_goes_on_in_steps),
       CASE(a_result_over_the_limit_is_refused_before_it_is_made),
       CASE(nothing_is_allocated_that_is_not_admitted),
       CASE(a_damaged_input_is_refused),
       CASE(an_input_in_the_other_format_is_refused),
       CASE(an_input_that_ends_too_early_is_refused),
       CASE(bytes_after_the_end_are_refused_in_the_same_piece_or_the_next),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
