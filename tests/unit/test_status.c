#include "core/support/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

static void a_failed_system_call_says_what_why_and_whether_space_or_rights_are_missing(void **state)
{
   static const struct {
      int error_number;
      enum kv_code code;
   } cases[] = {
       {ENOSPC, KV_RESOURCE_EXHAUSTED}, {EDQUOT, KV_RESOURCE_EXHAUSTED},
       {EFBIG, KV_RESOURCE_EXHAUSTED},  {ENOMEM, KV_RESOURCE_EXHAUSTED},
       {EACCES, KV_PERMISSION_DENIED},  {EPERM, KV_PERMISSION_DENIED},
       {EIO, KV_UNAVAILABLE},           {ENOENT, KV_UNAVAILABLE},
   };
   (void)state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      struct kv_status status;
      assert_int_equal(kv_fail_errno(&status, cases[i].error_number, "cannot write %s", "file"),
                       cases[i].code);
      assert_int_equal(status.code, cases[i].code);
      assert_int_equal(strncmp(status.text, "cannot write file: ", 19), 0);
      assert_non_null(strstr(status.text, strerrordesc_np(cases[i].error_number)));
      if (cases[i].code == KV_RESOURCE_EXHAUSTED && cases[i].error_number != ENOMEM)
         assert_string_equal(status.reason, KV_REASON_STORAGE_FULL);
      else
         assert_null(status.reason);
   }
}

static void a_text_that_does_not_fit_is_cut(void **state)
{
   char long_text[2 * KV_STATUS_TEXT_SIZE];
   struct kv_status status;
   (void)state;
   memset(long_text, 'x', sizeof long_text - 1);
   long_text[sizeof long_text - 1] = '\0';
   kv_fail_errno(&status, EIO, "%s", long_text);
   assert_int_equal(strlen(status.text), KV_STATUS_TEXT_SIZE - 1);
}

static void only_a_failure_with_a_reason_has_one(void **state)
{
   struct kv_status status;
   (void)state;
   assert_int_equal(kv_fail_reason(&status, KV_UNAUTHENTICATED, "WHO", "no %s", "name"),
                    KV_UNAUTHENTICATED);
   assert_int_equal(status.code, KV_UNAUTHENTICATED);
   assert_string_equal(status.reason, "WHO");
   assert_string_equal(status.text, "no name");
   kv_fail(&status, KV_ABORTED, "on purpose");
   assert_null(status.reason);
   status.reason = "LEFTOVER";
   kv_fail_errno(&status, EIO, "on purpose");
   assert_null(status.reason);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_failed_system_call_says_what_why_and_whether_space_or_rights_are_missing),
       cmocka_unit_test(a_text_that_does_not_fit_is_cut),
       cmocka_unit_test(only_a_failure_with_a_reason_has_one),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
