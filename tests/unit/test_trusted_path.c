#include "core/host/trusted_path.h"

#include "tests/support/temporary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHER_USER 4711

/* The file `top`/`inner`/file. */
struct fixture {
   struct temporary top;
   char inner[TEMPORARY_PATH_SIZE], path[TEMPORARY_PATH_SIZE];
   struct kv_trusted_file file;
   struct kv_status status;
};

static int set_up(void **state)
{
   static struct fixture fixture;
   memset(&fixture, 0, sizeof fixture);
   temporary_create(&fixture.top);
   assert_int_equal(mkdir(temporary_path(&fixture.top, "inner", fixture.inner), 0755), 0);
   temporary_write(&fixture.top, "inner/file", "content", 7);
   assert_int_equal(chmod(temporary_path(&fixture.top, "inner/file", fixture.path), 0644), 0);
   *state = &fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   temporary_remove(&fixture->top);
   return 0;
}

static enum kv_code open_at(struct fixture *fixture, const char *directory)
{
   enum kv_code code = kv_trusted_file_open(directory, "file", &fixture->file, &fixture->status);
   if (code == KV_OK) {
      char content[8] = "";
      assert_int_equal(read(fixture->file.fd, content, sizeof content), 7);
      assert_string_equal(content, "content");
      kv_trusted_file_close(&fixture->file);
   }
   return code;
}

static void assert_refused(struct fixture *fixture, const char *directory, const char *part)
{
   assert_int_equal(open_at(fixture, directory), KV_PERMISSION_DENIED);
   assert_non_null(strstr(fixture->status.text, part));
}

static void a_file_that_only_its_owner_can_change_is_opened(void **state)
{
   struct fixture *fixture = *state;
   char around[2 * TEMPORARY_PATH_SIZE];
   assert_int_equal(open_at(fixture, fixture->inner), KV_OK);
   assert_string_equal(fixture->file.path, fixture->path);
   snprintf(around, sizeof around, "%s//.././inner/", fixture->inner);
   assert_int_equal(open_at(fixture, around), KV_OK);
   assert_string_equal(fixture->file.path, fixture->path);
}

static void what_is_not_there_is_not_found(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(open_at(fixture, "/nowhere/at/all"), KV_NOT_FOUND);
   assert_int_equal(open_at(fixture, fixture->top.path), KV_NOT_FOUND);
}

static void a_file_that_others_may_write_is_refused(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(chmod(fixture->path, 0664), 0);
   assert_refused(fixture, fixture->inner, "inner/file may be written by others");
   assert_non_null(strstr(fixture->status.text, "mode 0664"));
   assert_int_equal(chmod(fixture->path, 0646), 0);
   assert_refused(fixture, fixture->inner, "mode 0646");
}

static void its_directory_may_not_be_open_to_others_sticky_or_not(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(chmod(fixture->inner, 0770), 0);
   assert_refused(fixture, fixture->inner, "inner may be written by others");
   assert_int_equal(chmod(fixture->inner, 01707), 0);
   assert_refused(fixture, fixture->inner, "mode 1707");
}

static void a_directory_above_may_be_open_to_others_where_it_is_sticky(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(chmod(fixture->top.path, 0777), 0);
   assert_refused(fixture, fixture->inner, fixture->top.path);
   assert_int_equal(chmod(fixture->top.path, 01777), 0);
   assert_int_equal(open_at(fixture, fixture->inner), KV_OK);
}

/* As created with a umask of 002. */
static void a_directory_above_may_be_open_to_a_group_of_its_owner_alone(void **state)
{
   struct fixture *fixture = *state;
   if (geteuid() != 0)
      skip(); /* who the groups of others are depends on the machine */
   assert_int_equal(chown(fixture->top.path, 0, 0), 0);
   assert_int_equal(chmod(fixture->top.path, 0775), 0);
   assert_int_equal(open_at(fixture, fixture->inner), KV_OK);
   assert_int_equal(chmod(fixture->inner, 0775), 0);
   assert_refused(fixture, fixture->inner, "inner may be written by others");
   assert_int_equal(chmod(fixture->inner, 0755), 0);
   assert_int_equal(chown(fixture->top.path, 0, OTHER_USER), 0);
   assert_refused(fixture, fixture->inner, "mode 0775");
}

static void what_belongs_to_another_user_is_refused_wherever_it_stands(void **state)
{
   struct fixture *fixture = *state;
   if (geteuid() != 0)
      skip(); /* only root can change the owner of files */
   const char *const all[] = {fixture->path, fixture->inner, fixture->top.path};
   for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
      assert_int_equal(chown(all[i], OTHER_USER, 0), 0);
      assert_refused(fixture, fixture->inner, "belongs to user id 4711");
      assert_non_null(strstr(fixture->status.text, all[i]));
      assert_int_equal(chown(all[i], 0, 0), 0);
   }
}

/* Another user could redirect such a link at any time. */
static void a_link_on_the_way_is_followed_where_only_its_owner_can_change_it(void **state)
{
   struct fixture *fixture = *state;
   char link[TEMPORARY_PATH_SIZE], parent[TEMPORARY_PATH_SIZE];
   assert_int_equal(symlink(fixture->inner, temporary_path(&fixture->top, "link", link)), 0);
   assert_int_equal(open_at(fixture, link), KV_OK);
   assert_string_equal(fixture->file.path, fixture->path);

   assert_int_equal(mkdir(temporary_path(&fixture->top, "open", parent), 0755), 0);
   assert_int_equal(symlink("../inner", temporary_path(&fixture->top, "open/link", link)), 0);
   assert_int_equal(open_at(fixture, link), KV_OK);
   assert_int_equal(chmod(parent, 0777), 0);
   assert_refused(fixture, link, "/open may be written by others");
   if (geteuid() != 0)
      return;
   assert_int_equal(chmod(parent, 01777), 0);
   assert_int_equal(lchown(link, OTHER_USER, 0), 0);
   assert_refused(fixture, link, "/open/link belongs to user id 4711");
}

static void a_link_that_goes_round_is_refused(void **state)
{
   struct fixture *fixture = *state;
   char link[TEMPORARY_PATH_SIZE], path[TEMPORARY_PATH_SIZE];
   assert_int_equal(symlink("round", temporary_path(&fixture->top, "round", link)), 0);
   assert_int_not_equal(open_at(fixture, link), KV_OK);
   assert_non_null(strstr(fixture->status.text, "cannot follow the link"));
   assert_int_equal(unlink(fixture->path), 0);
   assert_int_equal(symlink("file", temporary_path(&fixture->top, "inner/file", path)), 0);
   assert_int_not_equal(open_at(fixture, fixture->inner), KV_OK);
   assert_non_null(strstr(fixture->status.text, "cannot follow the link"));
}

static void a_file_that_is_a_link_may_not_leave_the_directory(void **state)
{
   struct fixture *fixture = *state;
   char real[TEMPORARY_PATH_SIZE], outside[TEMPORARY_PATH_SIZE];
   temporary_path(&fixture->top, "inner/real", real);
   assert_int_equal(rename(fixture->path, real), 0);
   const char *const inside[] = {"real", "./real", real};
   for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
      assert_int_equal(symlink(inside[i], fixture->path), 0);
      assert_int_equal(open_at(fixture, fixture->inner), KV_OK);
      assert_string_equal(fixture->file.path, real);
      assert_int_equal(unlink(fixture->path), 0);
   }
   assert_int_equal(rename(real, temporary_path(&fixture->top, "real", outside)), 0);
   const char *const outsides[] = {"../real", outside};
   for (size_t i = 0; i < sizeof outsides / sizeof outsides[0]; i++) {
      assert_int_equal(symlink(outsides[i], fixture->path), 0);
      assert_refused(fixture, fixture->inner, "a link that leaves its directory");
      assert_int_equal(unlink(fixture->path), 0);
   }
}

/* Opening a pipe for reading would wait for a writer. */
static void only_regular_files_are_opened(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(unlink(fixture->path), 0);
   assert_int_equal(mkfifo(fixture->path, 0600), 0);
   assert_int_equal(open_at(fixture, fixture->inner), KV_FAILED_PRECONDITION);
   assert_non_null(strstr(fixture->status.text, "not a regular file"));
   assert_int_equal(unlink(fixture->path), 0);
   assert_int_equal(mkdir(fixture->path, 0755), 0);
   assert_int_equal(open_at(fixture, fixture->inner), KV_FAILED_PRECONDITION);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
   const struct CMUnitTest tests[] = {
       TEST(a_file_that_only_its_owner_can_change_is_opened),
       TEST(what_is_not_there_is_not_found),
       TEST(a_file_that_others_may_write_is_refused),
       TEST(its_directory_may_not_be_open_to_others_sticky_or_not),
       TEST(a_directory_above_may_be_open_to_others_where_it_is_sticky),
       TEST(a_directory_above_may_be_open_to_a_group_of_its_owner_alone),
       TEST(what_belongs_to_another_user_is_refused_wherever_it_stands),
       TEST(a_link_on_the_way_is_followed_where_only_its_owner_can_change_it),
       TEST(a_link_that_goes_round_is_refused),
       TEST(a_file_that_is_a_link_may_not_leave_the_directory),
       TEST(only_regular_files_are_opened),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
