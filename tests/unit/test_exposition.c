/* The text format of Prometheus. Memory runs out where the test says so. */
#include "core/metrics/exposition.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned allocations_left = 1000;

void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size)
{
   if (allocations_left == 0)
      return NULL;
   allocations_left--;
   return __real_realloc(block, size);
}

static void assert_page(struct kv_exposition *page, const char *text)
{
   assert_false(page->failed);
   assert_string_equal(page->text, text);
   assert_int_equal(page->size, strlen(text));
   free(page->text);
}

static void a_family_has_help_and_type_before_its_samples(void **state)
{
   struct kv_exposition page = {0};
   (void)state;
   kv_exposition_gauge(&page, "some_bytes", "What it is.", 42);
   kv_exposition_counter(&page, "some_total", "How many.", 7);
   assert_page(&page, "# HELP some_bytes What it is.\n# TYPE some_bytes gauge\nsome_bytes 42\n"
                      "# HELP some_total How many.\n# TYPE some_total counter\nsome_total 7\n");
}

static void labels_are_escaped(void **state)
{
   struct kv_exposition page = {0};
   (void)state;
   page.family = "m";
   kv_exposition_sample(&page, &(struct kv_labels){{{"a", "x\"y\\z\nw"}, {"b", ""}}}, 1);
   assert_page(&page, "m{a=\"x\\\"y\\\\z\\nw\",b=\"\"} 1\n");
}

static void numbers_are_exact_where_they_are_whole(void **state)
{
   struct kv_exposition page = {0};
   (void)state;
   page.family = "m";
   kv_exposition_sample(&page, &KV_NO_LABELS, 9007199254740991.0);
   kv_exposition_sample(&page, &KV_NO_LABELS, 0.000001);
   kv_exposition_sample(&page, &KV_NO_LABELS, 1.5);
   kv_exposition_sample(&page, &KV_NO_LABELS, INFINITY);
   kv_exposition_sample(&page, &KV_NO_LABELS, -1);
   assert_page(&page, "m 9007199254740991\nm 1e-06\nm 1.5\nm +Inf\nm -1\n");
}

static void a_histogram_is_cumulative_and_ends_at_round_values(void **state)
{
   struct kv_exposition page = {0};
   const struct kv_histogram_shape shape = {0, KV_HISTOGRAM_SIZE(0, 3)}; /* of values less one */
   const uint64_t counts[KV_HISTOGRAM_SIZE(0, 3)] = {1, 0, 2, 4};
   const struct kv_exposition_scale scale = {shape, 0, 1, shape.size - 2, 1};
   (void)state;
   assert_int_equal(shape.size, 4);
   page.family = "m";
   kv_exposition_histogram(&page, &KV_LABEL("l", "v"), &scale, counts, 30);
   assert_page(&page, "m_bucket{l=\"v\",le=\"1\"} 1\nm_bucket{l=\"v\",le=\"2\"} 1\n"
                      "m_bucket{l=\"v\",le=\"4\"} 3\nm_bucket{l=\"v\",le=\"+Inf\"} 7\n"
                      "m_sum{l=\"v\"} 30\nm_count{l=\"v\"} 7\n");
}

static void buckets_that_are_left_out_count_for_the_next_one(void **state)
{
   struct kv_exposition page = {0};
   const struct kv_histogram_shape shape = {0, KV_HISTOGRAM_SIZE(0, 3)};
   const uint64_t counts[KV_HISTOGRAM_SIZE(0, 3)] = {1, 1, 1, 1};
   const struct kv_exposition_scale scale = {shape, 1, 2, 2, 0.5};
   (void)state;
   page.family = "m";
   kv_exposition_histogram(&page, &KV_NO_LABELS, &scale, counts, 0.5);
   assert_page(&page, "m_bucket{le=\"1\"} 2\nm_bucket{le=\"+Inf\"} 4\nm_sum 0.5\nm_count 4\n");
}

static void a_page_without_memory_is_given_up_as_a_whole(void **state)
{
   struct kv_exposition page = {0};
   (void)state;
   allocations_left = 1;
   for (int i = 0; i < 1000; i++)
      kv_exposition_gauge(&page, "some_bytes", "What it is.", i);
   allocations_left = 1000;
   assert_true(page.failed);
   assert_null(page.text);
   assert_int_equal(page.size, 0);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_family_has_help_and_type_before_its_samples),
       cmocka_unit_test(labels_are_escaped),
       cmocka_unit_test(numbers_are_exact_where_they_are_whole),
       cmocka_unit_test(a_histogram_is_cumulative_and_ends_at_round_values),
       cmocka_unit_test(buckets_that_are_left_out_count_for_the_next_one),
       cmocka_unit_test(a_page_without_memory_is_given_up_as_a_whole),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
