/* What the storage engine makes of failed system calls. */
#include "storage/file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void what_runs_out_is_no_space_and_all_else_is_io(void **state)
{
   static const struct {
      int error, code;
   } cases[] = {{ENOSPC, KVS_NO_SPACE}, {EDQUOT, KVS_NO_SPACE}, {EFBIG, KVS_NO_SPACE},
                {ENOMEM, KVS_NO_SPACE}, {EIO, KVS_IO},          {EACCES, KVS_IO},
                {EMFILE, KVS_IO}};
   (void)state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      kvs_error error = {.size = sizeof error};
      assert_int_equal(storage_fail_errno(&error, cases[i].error, "it"), cases[i].code);
   }
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(what_runs_out_is_no_space_and_all_else_is_io),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
