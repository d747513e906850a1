#include "tests/support/control_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <semaphore.h>
#include <string.h>

/* A request to the control thread, as a call makes it. */
struct request {
   struct kv_control_task task;
   struct control_fixture *fixture;
   const char *level; /* to switch to; NULL: a save */
   atomic_bool cancelled;
   atomic_uint runs, refusals, answers;
   enum kv_code code;
   struct kv_status status;
   sem_t done;
};

/* What a checkpoint does besides reading; set by the current test. */
static struct request *leaving, *ending_with;

static void answer(struct request *request, enum kv_code code, const struct kv_status *status)
{
   request->code = code;
   if (code != KV_OK)
      request->status = *status;
   request->answers++;
   sem_post(&request->done);
}

static void run_request(struct kv_control_task *task)
{
   struct request *request = (struct request *)task;
   struct kv_control *control = request->fixture->control;
   const struct kv_mode_option option = {"level", request->level};
   const struct kv_control_request wanted = {"scripted", &option, 1};
   struct kv_status status;
   uint64_t sequence;
   request->runs++;
   enum kv_code code = request->level ? kv_control_configure(control, &wanted, &status)
                                      : kv_control_save(control, &sequence, &status);
   while (task) {
      struct kv_control_task *next = task->merged;
      answer((struct request *)task, code, &status);
      task = next;
   }
}

static void refuse_request(struct kv_control_task *task, const struct kv_status *status)
{
   struct request *request = (struct request *)task;
   request->refusals++;
   answer(request, status->code, status);
}

static bool is_cancelled(const struct kv_control_task *task)
{
   return ((const struct request *)task)->cancelled;
}

static bool is_same(const struct kv_control_task *a, const struct kv_control_task *b)
{
   const char *one = ((const struct request *)a)->level,
              *other = ((const struct request *)b)->level;
   return one == other || (one && other && strcmp(one, other) == 0);
}

static void prepare(struct request *request, struct control_fixture *fixture, const char *level)
{
   memset(request, 0, sizeof *request);
   request->task = (struct kv_control_task){.run = run_request,
                                            .refuse = refuse_request,
                                            .is_cancelled = is_cancelled,
                                            .is_same = is_same};
   request->fixture = fixture;
   request->level = level;
   sem_init(&request->done, 0, 0);
}

static void await(struct request *request)
{
   while (sem_wait(&request->done) != 0)
      assert_int_equal(errno, EINTR);
   assert_int_equal(request->answers, 1);
}

static void post_all(struct control_fixture *fixture, void *context)
{
   for (struct request **each = context; *each; each++)
      kv_control_post(fixture->control, &(*each)->task);
}

/* Lets the control thread itself post them, so that none runs before all have been posted. */
static void post_together(struct control_fixture *fixture, struct request **requests)
{
   control_fixture_run(fixture, post_all, requests);
   for (; *requests; requests++)
      await(*requests);
}

static int set_up(void **state)
{
   leaving = ending_with = NULL;
   int result = control_fixture_set_up(state);
   if (result != 0)
      return result;
   bool written = control_fixture_set(*state, "a", "1") == KV_OK &&
                  control_fixture_set(*state, "b", "2") == KV_OK;
   return written ? 0 : -1;
}

static void leave(void)
{
   leaving->cancelled = true;
}

/* ---- Callers that have cancelled ---- */

static void a_switch_whose_caller_goes_away_is_cancelled(void **state)
{
   struct control_fixture *fixture = *state;
   struct request request;
   prepare(&request, fixture, "2");
   leaving = &request;
   control_script.in_checkpoint = leave;
   post_together(fixture, (struct request *[]){&request, NULL});
   assert_int_equal(request.code, KV_CANCELLED);
   assert_non_null(strstr(request.status.text, "the mode is unchanged"));
   assert_int_equal(control_script.entries, 0); /* it was given no further data */
   assert_int_equal(control_fixture_generation(fixture), 1);
   assert_false(control_fixture_has_generation(fixture, 2));
   assert_int_equal(control_fixture_set(fixture, "c", "3"), KV_OK);
}

static void after_a_cancelled_switch_a_checkpoint_has_all_data(void **state)
{
   struct control_fixture *fixture = *state;
   a_switch_whose_caller_goes_away_is_cancelled(state);
   control_script.in_checkpoint = NULL;
   uint64_t sequence;
   assert_int_equal(control_fixture_save(fixture, &sequence), KV_OK);
   assert_int_equal(control_script.entries, 3);
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_OK);
   assert_int_equal(control_script.entries, 3);
}

static void a_switch_goes_on_as_long_as_one_of_its_callers_stays(void **state)
{
   struct control_fixture *fixture = *state;
   struct request first, second;
   prepare(&first, fixture, "2");
   prepare(&second, fixture, "2");
   leaving = &first;
   control_script.in_checkpoint = leave;
   post_together(fixture, (struct request *[]){&first, &second, NULL});
   assert_int_equal(first.runs + second.runs, 1);
   assert_int_equal(second.code, KV_OK);
   assert_int_equal(control_fixture_generation(fixture), 2);
}

static void a_save_goes_on_when_its_caller_goes_away(void **state)
{
   struct control_fixture *fixture = *state;
   struct request request;
   /* Also one that was a candidate once. */
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_OK);
   prepare(&request, fixture, NULL);
   leaving = &request;
   control_script.in_checkpoint = leave;
   post_together(fixture, (struct request *[]){&request, NULL});
   assert_int_equal(request.code, KV_OK);
   assert_int_equal(control_script.entries, 2);
}

static void a_request_is_not_begun_when_its_caller_has_cancelled(void **state)
{
   struct control_fixture *fixture = *state;
   struct request request;
   prepare(&request, fixture, "2");
   request.cancelled = true;
   post_together(fixture, (struct request *[]){&request, NULL});
   assert_int_equal(request.runs, 0);
   assert_int_equal(request.code, KV_CANCELLED);
   assert_int_equal(control_fixture_generation(fixture), 1);
}

static void saves_that_wait_are_one_checkpoint(void **state)
{
   struct control_fixture *fixture = *state;
   struct request requests[5];
   struct request *all[6] = {0};
   unsigned before = control_script.checkpoints, runs = 0;
   for (size_t i = 0; i < 5; i++) {
      prepare(&requests[i], fixture, NULL);
      all[i] = &requests[i];
   }
   post_together(fixture, all);
   for (size_t i = 0; i < 5; i++) {
      assert_int_equal(requests[i].code, KV_OK);
      runs += requests[i].runs;
   }
   assert_int_equal(runs, 1);
   assert_int_equal(control_script.checkpoints - before, 1);
}

/* ---- The end ---- */

/* The server begins to stop while a hook runs and a task waits. */
static void end_meanwhile(void)
{
   struct request *waiting = ending_with;
   if (!waiting)
      return;
   ending_with = NULL;
   kv_control_post(waiting->fixture->control, &waiting->task);
   kv_control_wind_down(waiting->fixture->control);
   await(waiting); /* although the hook has not returned */
}

static void the_end_cancels_a_switch_and_refuses_what_waits(void **state)
{
   struct control_fixture *fixture = *state;
   struct request request, waiting, late;
   prepare(&request, fixture, "2");
   prepare(&waiting, fixture, "3");
   prepare(&late, fixture, "4");
   ending_with = &waiting;
   control_script.in_checkpoint = end_meanwhile;
   kv_control_post(fixture->control, &request.task);
   await(&request);
   assert_int_equal(request.code, KV_UNAVAILABLE);
   assert_non_null(strstr(request.status.text, "the switch was cancelled"));
   assert_int_equal(waiting.code, KV_UNAVAILABLE);
   assert_int_equal(waiting.runs, 0);
   kv_control_post(fixture->control, &late.task);
   await(&late);
   assert_int_equal(late.code, KV_UNAVAILABLE);
   assert_int_equal(late.runs, 0);
   assert_int_equal(control_fixture_generation(fixture), 1);
}

static void the_end_leaves_a_save_and_the_last_checkpoint_all_data(void **state)
{
   struct control_fixture *fixture = *state;
   struct request request, waiting;
   /* Also one that was a candidate once. */
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_OK);
   prepare(&request, fixture, NULL);
   prepare(&waiting, fixture, "3");
   ending_with = &waiting;
   control_script.in_checkpoint = end_meanwhile;
   kv_control_post(fixture->control, &request.task);
   await(&request);
   assert_int_equal(request.code, KV_OK);
   assert_int_equal(control_script.entries, 2);
   control_script.in_checkpoint = NULL;
   control_script.entries = 0;
   assert_int_equal(control_fixture_stop(fixture), KV_OK);
   assert_int_equal(control_script.entries, 2);
}

static void the_end_gives_up_a_load_and_what_is_there_stays(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.stop_in_load = true;
   assert_int_equal(control_fixture_restart(fixture), KV_CANCELLED);
   assert_int_equal(control_script.records, 1);
   control_script.stop_in_load = control_script.stop_wanted = false;
   assert_int_equal(control_fixture_restart(fixture), KV_OK);
   assert_int_equal(control_fixture_generation(fixture), 1);
   /* A stop of the server leaves its last checkpoint complete. This plug-in has kept nothing. */
   assert_int_equal(control_fixture_set(fixture, "a", "1"), KV_OK);
   assert_int_equal(control_fixture_set(fixture, "b", "2"), KV_OK);
   control_script.stop_wanted = true;
   uint64_t sequence;
   assert_int_equal(control_fixture_save(fixture, &sequence), KV_OK);
   assert_int_equal(control_script.entries, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, control_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_switch_whose_caller_goes_away_is_cancelled),
       TEST(after_a_cancelled_switch_a_checkpoint_has_all_data),
       TEST(a_switch_goes_on_as_long_as_one_of_its_callers_stays),
       TEST(a_save_goes_on_when_its_caller_goes_away),
       TEST(a_request_is_not_begun_when_its_caller_has_cancelled),
       TEST(saves_that_wait_are_one_checkpoint),
       TEST(the_end_cancels_a_switch_and_refuses_what_waits),
       TEST(the_end_gives_up_a_load_and_what_is_there_stays),
       TEST(the_end_leaves_a_save_and_the_last_checkpoint_all_data),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
