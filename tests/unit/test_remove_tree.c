#include "core/support/remove_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void a_tree_is_removed_and_what_its_links_lead_to_stays(void **state)
{
   char top[] = "/tmp/kvstore-test-XXXXXX", path[64], link[64];
   (void)state;
   assert_non_null(mkdtemp(top));
   snprintf(path, sizeof path, "%s/kept", top);
   int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
   assert_true(fd >= 0);
   close(fd);
   snprintf(path, sizeof path, "%s/tree", top);
   assert_int_equal(mkdir(path, 0700), 0);
   snprintf(path, sizeof path, "%s/tree/below", top);
   assert_int_equal(mkdir(path, 0700), 0);
   snprintf(link, sizeof link, "%s/tree/below/link", top);
   assert_int_equal(symlink("../../kept", link), 0);

   snprintf(path, sizeof path, "%s/tree", top);
   assert_true(kv_remove_tree(path));
   assert_int_equal(access(path, F_OK), -1);
   snprintf(path, sizeof path, "%s/kept", top);
   assert_int_equal(access(path, F_OK), 0);
   assert_true(kv_remove_tree(top));
   assert_false(kv_remove_tree(top));
   assert_int_equal(errno, ENOENT);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_tree_is_removed_and_what_its_links_lead_to_stays),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
