#include "core/control/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct request {
   struct kv_control_task task;
   int what;
};

static void run(struct kv_control_task *task)
{
   (void)task;
}

static void run_otherwise(struct kv_control_task *task)
{
   (void)task;
}

static bool asks_for_the_same(const struct kv_control_task *a, const struct kv_control_task *b)
{
   return ((const struct request *)a)->what == ((const struct request *)b)->what;
}

static struct request request(uint64_t caller, int what)
{
   return (struct request){.task = {.run = run, .is_same = asks_for_the_same, .caller = caller},
                           .what = what};
}

static struct kv_control_task *put(struct kv_control_queue *queue, struct request *request)
{
   return kv_control_queue_put(queue, &request->task);
}

static void assert_next(struct kv_control_queue *queue, const struct request *expected)
{
   assert_ptr_equal(kv_control_queue_take(queue), expected);
}

static void what_one_caller_asks_is_taken_in_its_order(void **state)
{
   (void)state;
   struct kv_control_queue queue = {0};
   struct request requests[] = {request(1, 1), request(1, 2), request(1, 3)};
   for (size_t i = 0; i < 3; i++)
      assert_null(put(&queue, &requests[i]));
   for (size_t i = 0; i < 3; i++)
      assert_next(&queue, &requests[i]);
   assert_null(kv_control_queue_take(&queue));
}

static void callers_take_turns(void **state)
{
   (void)state;
   struct kv_control_queue queue = {0};
   struct request greedy[] = {request(1, 1), request(1, 2), request(1, 3), request(1, 4)};
   struct request other = request(2, 5), third = request(3, 6);
   for (size_t i = 0; i < 3; i++)
      put(&queue, &greedy[i]);
   assert_next(&queue, &greedy[0]);
   put(&queue, &other); /* before the waiting tasks of the greedy caller */
   put(&queue, &greedy[3]);
   assert_next(&queue, &other);
   assert_next(&queue, &greedy[1]);
   put(&queue, &third);
   assert_next(&queue, &third);
   assert_next(&queue, &greedy[2]);
   assert_next(&queue, &greedy[3]);
}

static void those_that_ask_for_the_same_are_one(void **state)
{
   (void)state;
   struct kv_control_queue queue = {0};
   struct request first = request(1, 1), second = request(2, 1), third = request(1, 1);
   struct request different = request(1, 2), elsewhere = request(1, 1);
   elsewhere.task.run = run_otherwise;
   put(&queue, &first);
   put(&queue, &different);
   put(&queue, &second);
   put(&queue, &third);
   put(&queue, &elsewhere);
   assert_int_equal(queue.count, 3);
   assert_next(&queue, &first);
   unsigned merged = 0;
   for (const struct kv_control_task *task = first.task.merged; task; task = task->merged) {
      assert_true(task == &second.task || task == &third.task);
      merged++;
   }
   assert_int_equal(merged, 2);
   assert_next(&queue, &different);
   assert_null(different.task.merged);
   assert_next(&queue, &elsewhere);
   assert_int_equal(queue.count, 0);
}

static void what_says_nothing_of_sameness_is_merged_with_nothing(void **state)
{
   (void)state;
   struct kv_control_queue queue = {0};
   struct request first = request(1, 1), second = request(1, 1);
   first.task.is_same = second.task.is_same = NULL;
   put(&queue, &first);
   put(&queue, &second);
   assert_next(&queue, &first);
   assert_next(&queue, &second);
}

static void a_caller_has_only_some_places(void **state)
{
   (void)state;
   struct kv_control_queue queue = {0};
   struct request requests[KV_CONTROL_QUEUE_CALLER_MAX + 1];
   for (int i = 0; i <= KV_CONTROL_QUEUE_CALLER_MAX; i++) {
      requests[i] = request(1, i);
      assert_ptr_equal(put(&queue, &requests[i]),
                       i < KV_CONTROL_QUEUE_CALLER_MAX ? NULL : &requests[i]);
   }
   /* One task of another caller fits, and so does a request that waits already. */
   struct request other = request(2, 100), same = request(1, 0);
   assert_null(put(&queue, &other));
   assert_null(put(&queue, &same));
}

static void who_asks_little_displaces_who_asks_most_when_all_places_are_taken(void **state)
{
   (void)state;
   enum { CALLERS = KV_CONTROL_QUEUE_MAX / KV_CONTROL_QUEUE_CALLER_MAX };
   struct kv_control_queue queue = {0};
   static struct request requests[KV_CONTROL_QUEUE_MAX];
   for (int i = 0; i < KV_CONTROL_QUEUE_MAX; i++) {
      requests[i] = request(1 + (uint64_t)(i % CALLERS), i);
      assert_null(put(&queue, &requests[i]));
   }
   struct request newcomer = request(1000, 1000);
   assert_ptr_equal(put(&queue, &newcomer), &requests[KV_CONTROL_QUEUE_MAX - 1]);
   assert_int_equal(queue.count, KV_CONTROL_QUEUE_MAX);
   for (int i = 0; i < CALLERS; i++)
      assert_next(&queue, &requests[i]);
   assert_next(&queue, &newcomer);
}

static void a_newcomer_is_refused_where_all_ask_as_little(void **state)
{
   (void)state;
   struct kv_control_queue queue = {0};
   static struct request requests[KV_CONTROL_QUEUE_MAX + 1];
   for (int i = 0; i <= KV_CONTROL_QUEUE_MAX; i++) {
      requests[i] = request(1 + (uint64_t)i, i);
      assert_ptr_equal(put(&queue, &requests[i]), i < KV_CONTROL_QUEUE_MAX ? NULL : &requests[i]);
   }
   assert_next(&queue, &requests[0]);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(what_one_caller_asks_is_taken_in_its_order),
       cmocka_unit_test(callers_take_turns),
       cmocka_unit_test(those_that_ask_for_the_same_are_one),
       cmocka_unit_test(what_says_nothing_of_sameness_is_merged_with_nothing),
       cmocka_unit_test(a_caller_has_only_some_places),
       cmocka_unit_test(who_asks_little_displaces_who_asks_most_when_all_places_are_taken),
       cmocka_unit_test(a_newcomer_is_refused_where_all_ask_as_little),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
