/* ListSlowCalls, Monitor and ListHotPrefixes: what they show of calls, and how they end. */
#include "tests/support/service_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define MS_NS UINT64_C(1000000)

/* Runs a call of Set, and tells the observers that it was answered so. */
static void answer_as(struct service_fixture *fixture, const char *key, enum kv_code code,
                      uint64_t elapsed_ns, enum kv_rpc_kind kind)
{
   struct fake_answer reply;
   Kvstore__SetRequest request = KVSTORE__SET_REQUEST__INIT;
   request.key = service_text(key);
   struct kv_call *call = service_begin(fixture, "Set", &request.base, &reply);
   fake_call_wait(call);
   struct kv_rpc_method method = *service_method(fixture, "Set");
   static const char *const paths[] = {
       [KV_RPC_UNARY] = "/t.T/Unary", [KV_RPC_SERVER_STREAM] = "/t.T/Stream"};
   method.path = paths[kind];
   method.kind = kind;
   kv_observers_answered(&fixture->observers, &(struct kv_rpc_answer){.call = call,
                                                                      .method = &method,
                                                                      .code = code,
                                                                      .elapsed_ns = elapsed_ns,
                                                                      .request_size = 42});
   fake_call_end(call);
   fake_answer_deinit(&reply);
}

static void answered(struct service_fixture *fixture, const char *key)
{
   answer_as(fixture, key, KV_OK, 1, KV_RPC_UNARY);
}

/* ---- ListSlowCalls ---- */

static Kvstore__V1__ListSlowCallsResponse *list_slow(const struct service_fixture *fixture,
                                                     uint32_t limit)
{
   Kvstore__V1__ListSlowCallsRequest request = KVSTORE__V1__LIST_SLOW_CALLS_REQUEST__INIT;
   request.limit = limit;
   return service_reply(fixture, "ListSlowCalls", &request.base,
                        &kvstore__v1__list_slow_calls_response__descriptor);
}

static void slow_calls_are_listed_newest_first_with_all_that_is_known_of_them(void **state)
{
   answer_as(*state, "quick", KV_OK, (SERVICE_SLOW_MS - 1) * MS_NS, KV_RPC_UNARY);
   answer_as(*state, "first", KV_ABORTED, SERVICE_SLOW_MS * MS_NS, KV_RPC_UNARY);
   answer_as(*state, "second", KV_OK, 250 * MS_NS + 7000, KV_RPC_UNARY);
   Kvstore__V1__ListSlowCallsResponse *reply = list_slow(*state, 0);
   assert_int_equal(reply->threshold_ms, SERVICE_SLOW_MS);
   assert_int_equal(reply->count, 2);
   assert_int_equal(reply->n_calls, 2);
   const Kvstore__V1__CallEvent *newest = reply->calls[0]->call, *first = reply->calls[1]->call;
   service_assert_text(newest->key, "second");
   service_assert_text(newest->method, "/t.T/Unary");
   service_assert_text(newest->peer, "unknown"); /* the stand-in's */
   assert_int_equal(newest->duration_us, 250007);
   assert_int_equal(newest->request_bytes, 42);
   assert_int_equal(newest->key_size, 6);
   assert_true(newest->end_unix_ms > 0);
   service_assert_text(first->key, "first");
   assert_int_equal(first->code, KV_ABORTED);
   kvstore__v1__list_slow_calls_response__free_unpacked(reply, NULL);

   reply = list_slow(*state, 1);
   assert_int_equal(reply->n_calls, 1);
   service_assert_text(reply->calls[0]->call->key, "second");
   assert_int_equal(reply->count, 2);
   kvstore__v1__list_slow_calls_response__free_unpacked(reply, NULL);
}

static void a_stream_is_never_slow_as_its_client_decides_how_long_it_lasts(void **state)
{
   answer_as(*state, "k", KV_OK, UINT64_C(3600) * 1000 * MS_NS, KV_RPC_SERVER_STREAM);
   Kvstore__V1__ListSlowCallsResponse *reply = list_slow(*state, 0);
   assert_int_equal(reply->count, 0);
   kvstore__v1__list_slow_calls_response__free_unpacked(reply, NULL);
}

static void only_the_beginning_of_a_long_key_is_kept_beside_its_size(void **state)
{
   char key[1001] = {0};
   memset(key, 'k', sizeof key - 1);
   answer_as(*state, key, KV_OK, 200 * MS_NS, KV_RPC_UNARY);
   Kvstore__V1__ListSlowCallsResponse *reply = list_slow(*state, 0);
   assert_int_equal(reply->calls[0]->call->key.len, 128);
   assert_int_equal(reply->calls[0]->call->key_size, 1000);
   kvstore__v1__list_slow_calls_response__free_unpacked(reply, NULL);
}

static void a_call_of_an_unknown_method_is_followed_but_never_slow(void **state)
{
   struct service_fixture *fixture = *state;
   struct fake_answer reply;
   struct kv_follower *follower;
   struct kv_event event;
   struct kv_status status;
   const Kvstore__SetRequest request = KVSTORE__SET_REQUEST__INIT;
   const struct kv_monitor_filter any = {.failed_only = true};
   struct kv_call *call = service_begin(fixture, "Set", &request.base, &reply);
   assert_int_equal(kv_monitor_follow(fixture->observers.monitor, &any, &follower, &status), KV_OK);
   kv_observers_answered(&fixture->observers, &(struct kv_rpc_answer){.call = call,
                                                                      .code = KV_UNIMPLEMENTED,
                                                                      .elapsed_ns = 1000 * MS_NS,
                                                                      .thread = 1});
   assert_int_equal(kv_follower_take(follower, &event, 1), 1);
   assert_string_equal(event.method, "");
   assert_int_equal(event.code, KV_UNIMPLEMENTED);
   kv_monitor_unfollow(fixture->observers.monitor, follower);
   fake_call_end(call);
   fake_answer_deinit(&reply);
   Kvstore__V1__ListSlowCallsResponse *slow = list_slow(fixture, 0);
   assert_int_equal(slow->count, 0);
   kvstore__v1__list_slow_calls_response__free_unpacked(slow, NULL);
}

/* ---- ListHotPrefixes ---- */

static void hot_prefixes_are_listed_with_their_share_of_the_calls(void **state)
{
   struct service_fixture *fixture = *state;
   Kvstore__V1__ListHotPrefixesRequest request = KVSTORE__V1__LIST_HOT_PREFIXES_REQUEST__INIT;
   for (unsigned i = 0; i < 64 * 1000; i++)
      kv_hot_count(fixture->observers.hot, i % 2, kv_slice_of(i % 4 < 3 ? "user:1" : "item:1"));
   Kvstore__V1__ListHotPrefixesResponse *reply =
       service_reply(fixture, "ListHotPrefixes", &request.base,
                     &kvstore__v1__list_hot_prefixes_response__descriptor);
   assert_int_equal(reply->n_prefixes, 2);
   service_assert_text(reply->prefixes[0]->prefix, "user:");
   assert_in_range(reply->sampled_calls, 900, 1100);
   assert_in_range(reply->prefixes[0]->calls, 64 * 650, 64 * 850);
   assert_true(reply->prefixes[0]->share > 0.65 && reply->prefixes[0]->share < 0.85);
   kvstore__v1__list_hot_prefixes_response__free_unpacked(reply, NULL);

   request.limit = 1;
   reply = service_reply(fixture, "ListHotPrefixes", &request.base,
                         &kvstore__v1__list_hot_prefixes_response__descriptor);
   assert_int_equal(reply->n_prefixes, 1);
   kvstore__v1__list_hot_prefixes_response__free_unpacked(reply, NULL);
}

/* ---- Monitor ---- */

struct following {
   struct kv_call *call;
   struct fake_answer answer;
};

static void begin(struct service_fixture *fixture, struct following *following,
                  const Kvstore__V1__MonitorRequest *request)
{
   following->call = service_begin(fixture, "Monitor", &request->base, &following->answer);
   assert_int_equal(following->answer.count, 1);
   assert_int_equal(following->answer.messages[0].size, 0);
}

static void end(struct following *following)
{
   fake_call_end(following->call);
   fake_answer_deinit(&following->answer);
}

static Kvstore__V1__MonitorResponse *await(struct following *following, size_t count)
{
   fake_call_await_message(following->call, count);
   const struct kv_slice message = following->answer.messages[count - 1];
   Kvstore__V1__MonitorResponse *reply =
       kvstore__v1__monitor_response__unpack(NULL, message.size, message.data);
   assert_non_null(reply);
   return reply;
}

static const Kvstore__V1__MonitorRequest all = KVSTORE__V1__MONITOR_REQUEST__INIT;

static void a_monitor_is_sent_each_call_from_its_first_message_on(void **state)
{
   struct following following;
   answered(*state, "before");
   begin(*state, &following, &all);
   assert_true(fake_call_sent(following.call));
   answered(*state, "after");
   Kvstore__V1__MonitorResponse *reply = await(&following, 2);
   assert_int_equal(reply->n_calls, 1);
   service_assert_text(reply->calls[0]->key, "after");
   service_assert_text(reply->calls[0]->method, "/t.T/Unary");
   assert_int_equal(reply->left_out, 0);
   kvstore__v1__monitor_response__free_unpacked(reply, NULL);
   end(&following);
   assert_false(kv_monitor_is_followed(((struct service_fixture *)*state)->observers.monitor));
}

static void a_monitor_is_sent_only_what_it_asks_for(void **state)
{
   struct following following;
   Kvstore__V1__MonitorRequest request = KVSTORE__V1__MONITOR_REQUEST__INIT;
   request.method_prefix = service_text("/t.");
   request.key_prefix = service_text("user:");
   request.failed_only = true;
   begin(*state, &following, &request);
   assert_true(fake_call_sent(following.call));
   answered(*state, "user:1");
   answer_as(*state, "item:1", KV_ABORTED, 1, KV_RPC_UNARY);
   answer_as(*state, "user:2", KV_ABORTED, 1, KV_RPC_UNARY);
   Kvstore__V1__MonitorResponse *reply = await(&following, 2);
   assert_int_equal(reply->n_calls, 1);
   service_assert_text(reply->calls[0]->key, "user:2");
   kvstore__v1__monitor_response__free_unpacked(reply, NULL);
   end(&following);
}

static void one_that_does_not_read_gets_no_more_and_is_told_what_it_missed(void **state)
{
   struct following following;
   begin(*state, &following, &all);
   for (unsigned i = 0; i < KV_MONITOR_RING_SIZE + 10; i++)
      answered(*state, "k");
   assert_true(fake_call_sent(following.call)); /* only now has the first message left */
   Kvstore__V1__MonitorResponse *reply = await(&following, 2);
   assert_int_equal(reply->n_calls, KV_MONITOR_RING_SIZE);
   assert_int_equal(reply->left_out, 10);
   kvstore__v1__monitor_response__free_unpacked(reply, NULL);
   end(&following);
}

static void one_for_which_memory_runs_out_later_is_ended_and_touched_no_more(void **state)
{
   struct service_fixture *fixture = *state;
   struct following following;
   struct fake_account account = {.grants = 1};
   const struct fake_client client = {.account = &account};
   following.call = fake_call_begin(service_method(fixture, "Monitor"), kv_slice(NULL, 0), &client,
                                    &following.answer);
   assert_true(fake_call_sent(following.call));
   answered(fixture, "k");
   fake_call_wait(following.call);
   assert_int_equal(following.answer.code, KV_RESOURCE_EXHAUSTED);
   struct following other;
   begin(fixture, &other, &all);
   assert_true(fake_call_sent(other.call));
   answered(fixture, "k");
   Kvstore__V1__MonitorResponse *reply = await(&other, 2); /* the thread has looked at both */
   kvstore__v1__monitor_response__free_unpacked(reply, NULL);
   end(&other);
   end(&following);
}

static void a_stop_ends_each_monitor_and_refuses_new_ones(void **state)
{
   struct service_fixture *fixture = *state;
   struct following first, second;
   struct fake_answer late;
   begin(fixture, &first, &all);
   begin(fixture, &second, &all);
   assert_true(fake_call_sent(first.call));
   kv_service_drain(fixture->service);
   fake_call_wait(first.call);
   assert_int_equal(first.answer.code, KV_UNAVAILABLE);
   assert_false(fake_call_is_answered(second.call)); /* a message is on its way to it */
   assert_true(fake_call_sent(second.call));
   fake_call_wait(second.call);
   assert_int_equal(second.answer.code, KV_UNAVAILABLE);
   end(&first);
   end(&second);
   service_run(fixture, "Monitor", &all.base, NULL, &late);
   assert_int_equal(late.code, KV_UNAVAILABLE);
   assert_int_equal(late.count, 0);
   fake_answer_deinit(&late);
}

static void a_ninth_monitor_is_refused_until_one_has_ended(void **state)
{
   struct following followings[KV_MONITOR_FOLLOWERS_MAX];
   for (size_t i = 0; i < KV_MONITOR_FOLLOWERS_MAX; i++)
      begin(*state, &followings[i], &all);
   service_refused(*state, "Monitor", &all.base, KV_RESOURCE_EXHAUSTED, "8 monitors",
                   "end one of them", NULL);
   end(&followings[2]);
   begin(*state, &followings[2], &all);
   for (size_t i = 0; i < KV_MONITOR_FOLLOWERS_MAX; i++)
      end(&followings[i]);
}

static void a_prefix_that_no_key_can_have_is_refused_by_name(void **state)
{
   Kvstore__V1__MonitorRequest request = KVSTORE__V1__MONITOR_REQUEST__INIT;
   request.key_prefix = service_text("\xff");
   service_refused(*state, "Monitor", &request.base, KV_INVALID_ARGUMENT, "key_prefix", NULL);
   request = all;
   request.method_prefix = service_text("\xff");
   service_refused(*state, "Monitor", &request.base, KV_INVALID_ARGUMENT, "method_prefix", NULL);
}

static void a_monitor_for_which_memory_runs_out_fails_alone(void **state)
{
   struct service_fixture *fixture = *state;
   for (size_t grants = 0;; grants++) {
      struct fake_account account = {.grants = grants};
      struct fake_client client = {.account = &account, .leaves_at = 1};
      struct fake_answer answer;
      service_run(fixture, "Monitor", &all.base, &client, &answer);
      bool begun = answer.count > 0;
      if (!begun)
         assert_int_equal(answer.code, KV_RESOURCE_EXHAUSTED);
      fake_answer_deinit(&answer);
      assert_false(kv_monitor_is_followed(fixture->observers.monitor));
      if (begun)
         break;
      assert_true(grants < 10);
   }
}

int main(void)
{
   const struct CMUnitTest tests[] = {
#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, service_fixture_set_up, service_fixture_tear_down)
       TEST(slow_calls_are_listed_newest_first_with_all_that_is_known_of_them),
       TEST(a_stream_is_never_slow_as_its_client_decides_how_long_it_lasts),
       TEST(only_the_beginning_of_a_long_key_is_kept_beside_its_size),
       TEST(a_call_of_an_unknown_method_is_followed_but_never_slow),
       TEST(hot_prefixes_are_listed_with_their_share_of_the_calls),
       TEST(a_monitor_is_sent_each_call_from_its_first_message_on),
       TEST(a_monitor_is_sent_only_what_it_asks_for),
       TEST(one_that_does_not_read_gets_no_more_and_is_told_what_it_missed),
       TEST(one_for_which_memory_runs_out_later_is_ended_and_touched_no_more),
       TEST(a_stop_ends_each_monitor_and_refuses_new_ones),
       TEST(a_ninth_monitor_is_refused_until_one_has_ended),
       TEST(a_prefix_that_no_key_can_have_is_refused_by_name),
       TEST(a_monitor_for_which_memory_runs_out_fails_alone),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
