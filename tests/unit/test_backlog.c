/* Which of the waiting submissions are committed next, and which part of them. */
#include "core/commit/backlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define MANY ((size_t)10000)
#define LARGE_VALUE ((size_t)3 * 1024 * 1024)

static struct kv_submission submission_of(size_t count, size_t value_size)
{
   struct kv_operation *operations = calloc(count, sizeof *operations);
   for (size_t i = 0; i < count; i++)
      operations[i] = (struct kv_operation){
          .kind = KV_OPERATION_SET, .key = kv_slice("k", 1), .value = kv_slice(NULL, value_size)};
   return (struct kv_submission){.operations = operations, .count = count};
}

static struct kv_submission *link_up(struct kv_submission *submissions, size_t count)
{
   for (size_t i = 0; i < count; i++)
      submissions[i].next = i + 1 < count ? &submissions[i + 1] : NULL;
   return submissions;
}

static void free_operations(struct kv_submission *submissions, size_t count)
{
   for (size_t i = 0; i < count; i++)
      free(submissions[i].operations);
}

static size_t operations_in(const struct kv_submission *batch)
{
   size_t count = 0;
   for (; batch; batch = batch->next)
      count += batch->batch_end - batch->committed;
   return count;
}

static void small_ones_are_taken_whole_and_in_their_order(void **state)
{
   (void)state;
   struct kv_backlog backlog = {0};
   struct kv_submission all[3] = {submission_of(1, 100), submission_of(64, 1), submission_of(1, 0)};
   struct kv_submission *batch = kv_backlog_next(&backlog, link_up(all, 3));
   assert_ptr_equal(batch, &all[0]);
   assert_ptr_equal(batch->next, &all[1]);
   assert_ptr_equal(batch->next->next, &all[2]);
   assert_null(batch->next->next->next);
   assert_int_equal(operations_in(batch), 66);
   assert_ptr_equal(kv_backlog_settle(&backlog, batch), &all[0]);
   assert_null(kv_backlog_next(&backlog, NULL));
   free_operations(all, 3);
}

static void a_large_one_is_taken_in_parts_until_it_is_complete(void **state)
{
   (void)state;
   struct kv_backlog backlog = {0};
   struct kv_submission large = submission_of(MANY, 10);
   struct kv_submission *batch = kv_backlog_next(&backlog, link_up(&large, 1));
   size_t taken = 0, batches = 0;
   while (batch) {
      assert_ptr_equal(batch, &large);
      assert_int_equal(batch->committed, taken);
      taken += operations_in(batch);
      batches++;
      struct kv_submission *complete = kv_backlog_settle(&backlog, batch);
      assert_ptr_equal(complete, taken == MANY ? &large : NULL);
      batch = kv_backlog_next(&backlog, NULL);
   }
   assert_int_equal(taken, MANY);
   assert_in_range(batches, 2, 10);
   free_operations(&large, 1);
}

static void small_ones_overtake_large_ones(void **state)
{
   (void)state;
   struct kv_backlog backlog = {0};
   struct kv_submission large[2] = {submission_of(MANY, 10), submission_of(MANY, 10)};
   struct kv_submission small = submission_of(1, 10);
   struct kv_submission *batch = kv_backlog_next(&backlog, link_up(large, 2));
   assert_null(kv_backlog_settle(&backlog, batch));
   batch = kv_backlog_next(&backlog, link_up(&small, 1));
   assert_ptr_equal(batch, &small);
   assert_ptr_equal(batch->next, &large[0]); /* first come, first served */
   assert_null(batch->next->next);
   assert_ptr_equal(kv_backlog_settle(&backlog, batch), &small);
   free_operations(large, 2);
   free_operations(&small, 1);
}

static void large_ones_that_fit_share_a_batch(void **state)
{
   (void)state;
   struct kv_backlog backlog = {0};
   struct kv_submission large[3] = {submission_of(100, 10), submission_of(1000, 10),
                                    submission_of(100, 10)};
   struct kv_submission *batch = kv_backlog_next(&backlog, link_up(large, 3));
   assert_int_equal(operations_in(batch), 1200);
   assert_ptr_equal(kv_backlog_settle(&backlog, batch), &large[0]);
   free_operations(large, 3);
}

static void bytes_count_as_operations_do(void **state)
{
   (void)state;
   struct kv_backlog backlog = {0};
   struct kv_submission large = submission_of(4, LARGE_VALUE);
   struct kv_submission one = submission_of(1, LARGE_VALUE);
   struct kv_submission *batch = kv_backlog_next(&backlog, link_up(&large, 1));
   assert_int_equal(operations_in(batch), 1);
   assert_null(kv_backlog_settle(&backlog, batch));
   batch = kv_backlog_next(&backlog, link_up(&one, 1));
   assert_ptr_equal(batch, &large); /* of one operation, but not small */
   assert_null(batch->next);
   assert_null(kv_backlog_settle(&backlog, batch));
   free_operations(&large, 1);
   free_operations(&one, 1);
}

static void what_is_written_again_counts_like_what_is_sent(void **state)
{
   (void)state;
   struct kv_backlog backlog = {0};
   struct kv_submission large = submission_of(4, 0);
   for (size_t i = 0; i < large.count; i++) {
      large.operations[i].kind = KV_OPERATION_SET_EXPIRY;
      large.operations[i].number = LARGE_VALUE;
   }
   assert_int_equal(operations_in(kv_backlog_next(&backlog, link_up(&large, 1))), 1);
   free_operations(&large, 1);
}

static void a_single_operation_may_be_larger_than_a_batch(void **state)
{
   (void)state;
   struct kv_backlog backlog = {0};
   struct kv_submission huge = submission_of(2, 20 * LARGE_VALUE);
   struct kv_submission *batch = kv_backlog_next(&backlog, link_up(&huge, 1));
   assert_int_equal(operations_in(batch), 1);
   assert_null(kv_backlog_settle(&backlog, batch));
   assert_ptr_equal(kv_backlog_settle(&backlog, kv_backlog_next(&backlog, NULL)), &huge);
   free_operations(&huge, 1);
}

static void a_compound_is_never_divided(void **state)
{
   (void)state;
   struct kv_backlog backlog = {0};
   struct kv_compound compound = {0};
   struct kv_submission all[2] = {submission_of(100, 10), submission_of(MANY, 10)};
   all[1].compound = &compound;
   struct kv_submission *batch = kv_backlog_next(&backlog, link_up(all, 2));
   assert_int_equal(operations_in(batch), 100);
   assert_ptr_equal(kv_backlog_settle(&backlog, batch), &all[0]);
   batch = kv_backlog_next(&backlog, NULL);
   assert_ptr_equal(batch, &all[1]);
   assert_int_equal(operations_in(batch), MANY);
   assert_ptr_equal(kv_backlog_settle(&backlog, batch), &all[1]);
   free_operations(all, 2);
}

static void what_was_refused_together_comes_one_by_one_before_what_came_later(void **state)
{
   (void)state;
   struct kv_backlog backlog = {0};
   struct kv_submission all[4] = {submission_of(1, 1), submission_of(MANY, 1), submission_of(1, 1),
                                  submission_of(1, 1)};
   struct kv_submission *batch = kv_backlog_next(&backlog, link_up(all, 2));
   assert_ptr_equal(batch->next, &all[1]);
   size_t part = all[1].batch_end;
   assert_true(part < MANY);
   kv_backlog_separate(&backlog, batch);
   assert_false(kv_backlog_is_empty(&backlog));
   assert_ptr_equal(kv_backlog_next(&backlog, &all[2]), &all[0]);
   assert_null(all[0].next);
   assert_ptr_equal(kv_backlog_next(&backlog, &all[3]), &all[1]);
   assert_null(all[1].next);
   assert_int_equal(all[1].batch_end, part);
   assert_null(kv_backlog_settle(&backlog, &all[1]));
   batch = kv_backlog_next(&backlog, NULL);
   assert_ptr_equal(batch, &all[2]);
   assert_ptr_equal(batch->next, &all[3]);
   assert_ptr_equal(batch->next->next, &all[1]);
   assert_int_equal(all[1].committed, part);
   free_operations(all, 4);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(small_ones_are_taken_whole_and_in_their_order),
       cmocka_unit_test(a_large_one_is_taken_in_parts_until_it_is_complete),
       cmocka_unit_test(small_ones_overtake_large_ones),
       cmocka_unit_test(large_ones_that_fit_share_a_batch),
       cmocka_unit_test(bytes_count_as_operations_do),
       cmocka_unit_test(what_is_written_again_counts_like_what_is_sent),
       cmocka_unit_test(a_single_operation_may_be_larger_than_a_batch),
       cmocka_unit_test(a_compound_is_never_divided),
       cmocka_unit_test(what_was_refused_together_comes_one_by_one_before_what_came_later),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
