/* What a failed call brings its client. */
#include "core/service/message.h"
#include "tests/support/fake_rpc.h"

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void refuse(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)request;
   kv_message_fail(call, service);
}

static void run(struct kv_status *status, struct fake_answer *answer)
{
   const struct kv_rpc_method method = {
       .path = "/test.Test/Fail", .service = status, .request = refuse};
   fake_call_run(&method, kv_slice(NULL, 0), NULL, answer);
}

static void assert_text(ProtobufCBinaryData text, const char *expected)
{
   assert_int_equal(text.len, strlen(expected));
   assert_memory_equal(text.data, expected, text.len);
}

static void a_failure_with_a_reason_brings_it_as_an_error_info(void **state)
{
   struct kv_status status;
   struct fake_answer answer;
   (void)state;
   kv_fail_reason(&status, KV_UNAUTHENTICATED, "TOKEN_UNKNOWN", "who is that?");
   run(&status, &answer);
   assert_int_equal(answer.code, KV_UNAUTHENTICATED);
   assert_string_equal(answer.text, "who is that?");
   assert_non_null(answer.details);
   Google__Rpc__Status *details =
       google__rpc__status__unpack(NULL, answer.details_size, answer.details);
   assert_non_null(details);
   assert_int_equal(details->code, KV_UNAUTHENTICATED);
   assert_text(details->message, "who is that?");
   assert_int_equal(details->n_details, 1);
   const Google__Protobuf__Any *detail = details->details[0];
   assert_string_equal(detail->type_url, "type.googleapis.com/google.rpc.ErrorInfo");
   Google__Rpc__ErrorInfo *info =
       google__rpc__error_info__unpack(NULL, detail->value.len, detail->value.data);
   assert_non_null(info);
   assert_text(info->reason, "TOKEN_UNKNOWN");
   assert_text(info->domain, "kvstore");
   google__rpc__error_info__free_unpacked(info, NULL);
   google__rpc__status__free_unpacked(details, NULL);
   fake_answer_deinit(&answer);
}

static void a_failure_without_a_reason_brings_no_details(void **state)
{
   struct kv_status status;
   struct fake_answer answer;
   (void)state;
   kv_fail(&status, KV_ABORTED, "on purpose");
   run(&status, &answer);
   assert_int_equal(answer.code, KV_ABORTED);
   assert_null(answer.details);
   fake_answer_deinit(&answer);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_failure_with_a_reason_brings_it_as_an_error_info),
       cmocka_unit_test(a_failure_without_a_reason_brings_no_details),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
