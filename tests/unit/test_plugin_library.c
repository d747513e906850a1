#include "core/host/plugin_library.h"

#include "tests/support/temporary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each test has a plug-in directory of its own, so that modes and owners are known. */
struct fixture {
   struct temporary directory;
   struct kv_plugin_library *library;
   const kvs_plugin *plugin;
   struct kv_status status;
};

static int set_up(void **state)
{
   static struct fixture fixture;
   memset(&fixture, 0, sizeof fixture);
   temporary_create(&fixture.directory);
   fixture.library = kv_plugin_library_create(fixture.directory.path, &fixture.status);
   assert_non_null(fixture.library);
   *state = &fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   kv_plugin_library_destroy(fixture->library);
   temporary_remove(&fixture->directory);
   return 0;
}

/* Puts the built plug-in `name` into the directory as `file`. */
static void put(struct fixture *fixture, const char *name, const char *file)
{
   char from[TEMPORARY_PATH_SIZE];
   snprintf(from, sizeof from, TEST_PLUGIN_DIR "/%s.so", name);
   temporary_copy(&fixture->directory, from, file);
}

static enum kv_code find(struct fixture *fixture, const char *name)
{
   return kv_plugin_library_find(fixture->library, name, &fixture->plugin, &fixture->status);
}

/* Every refusal says which plug-in or file it is about. */
static void assert_refused(struct fixture *fixture, const char *name, enum kv_code code,
                           const char *part)
{
   assert_int_equal(find(fixture, name), code);
   assert_non_null(strstr(fixture->status.text, name));
   assert_non_null(strstr(fixture->status.text, part));
}

static void a_good_plug_in_is_found_once_and_stays(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "plain", "plain.so");
   assert_int_equal(find(fixture, "plain"), KV_OK);
   const kvs_plugin *first = fixture->plugin;
   assert_string_equal(first->name, "plain");

   char path[TEMPORARY_PATH_SIZE];
   assert_int_equal(unlink(temporary_path(&fixture->directory, "plain.so", path)), 0);
   assert_int_equal(find(fixture, "plain"), KV_OK);
   assert_ptr_equal(fixture->plugin, first);
}

static void an_unknown_name_is_refused_with_a_list_of_the_known(void **state)
{
   struct fixture *fixture = *state;
   assert_refused(fixture, "absent", KV_NOT_FOUND, "known: none");
   put(fixture, "plain", "plain.so");
   put(fixture, "memory", "memory.so");
   temporary_write(&fixture->directory, "README", "x", 1);
   temporary_write(&fixture->directory, "Upper.so", "x", 1);
   temporary_write(&fixture->directory, ".so", "x", 1);
   assert_refused(fixture, "absent", KV_NOT_FOUND, "known: memory, plain");
   assert_null(strstr(fixture->status.text, "Upper"));
}

static void a_name_is_never_a_path(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "plain", "plain.so");
   static const char *const names[] = {
       "",           "../plain",
       "/tmp/plain", "sub/plain",
       "plain.so",   "Plain",
       ".",          "..",
       "pla in",     "pl\nain",
       "plai\xff",   "a23456789b23456789c23456789d23456789e23456789f23456789g23456789hi"};
   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
      assert_int_equal(find(fixture, names[i]), KV_INVALID_ARGUMENT);
      assert_non_null(strstr(fixture->status.text, "not the name of a plug-in"));
      assert_null(strchr(fixture->status.text, '\n'));
   }
}

static void a_file_that_others_may_write_is_refused(void **state)
{
   struct fixture *fixture = *state;
   char path[TEMPORARY_PATH_SIZE];
   put(fixture, "plain", "plain.so");
   temporary_path(&fixture->directory, "plain.so", path);
   assert_int_equal(chmod(path, 0775), 0);
   assert_refused(fixture, "plain", KV_PERMISSION_DENIED, "others could change it");
   assert_int_equal(chmod(path, 0755), 0);
   assert_int_equal(find(fixture, "plain"), KV_OK);
}

/* Clients see this text. */
static void no_status_names_a_path(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "no_symbol", "no_symbol.so");
   put(fixture, "unresolved", "unresolved.so");
   put(fixture, "plain", "plain.so");
   temporary_write(&fixture->directory, "empty.so", "", 0);
   char path[TEMPORARY_PATH_SIZE];
   assert_int_equal(chmod(temporary_path(&fixture->directory, "empty.so", path), 0755), 0);
   assert_int_equal(chmod(temporary_path(&fixture->directory, "plain.so", path), 0777), 0);
   static const char *const names[] = {"no_symbol", "unresolved", "plain", "empty", "absent"};
   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
      assert_int_not_equal(find(fixture, names[i]), KV_OK);
      assert_null(strchr(fixture->status.text, '/'));
   }
}

static void what_is_no_shared_object_is_refused(void **state)
{
   struct fixture *fixture = *state;
   char path[TEMPORARY_PATH_SIZE];
   temporary_write(&fixture->directory, "empty.so", "", 0);
   assert_int_equal(chmod(temporary_path(&fixture->directory, "empty.so", path), 0755), 0);
   assert_refused(fixture, "empty", KV_FAILED_PRECONDITION, "cannot be loaded");
   assert_int_equal(mkdir(temporary_path(&fixture->directory, "folder.so", path), 0755), 0);
   assert_refused(fixture, "folder", KV_FAILED_PRECONDITION, "the server's log says which");
}

/* It must fail now, not when a hook first calls the function. */
static void what_needs_a_function_that_is_not_there_is_refused(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "unresolved", "unresolved.so");
   assert_refused(fixture, "unresolved", KV_FAILED_PRECONDITION, "kvstore_nobody_has_this");
}

static void what_a_plug_in_exports_is_not_seen_by_others(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "plain", "plain.so");
   assert_int_equal(find(fixture, "plain"), KV_OK);
   assert_null(dlsym(RTLD_DEFAULT, KVS_PLUGIN_SYMBOL));
}

/* Where the code of the latest copy of a plug-in's file is mapped; 0: nowhere. */
static uintptr_t mapped_at(const char *name)
{
   FILE *maps = fopen("/proc/self/maps", "r");
   char line[512], wanted[64];
   uintptr_t found = 0;
   assert_non_null(maps);
   snprintf(wanted, sizeof wanted, "/memfd:%s.so", name);
   while (fgets(line, sizeof line, maps))
      if (found == 0 && strstr(line, wanted))
         found = strtoul(line, NULL, 16);
   fclose(maps);
   return found;
}

/* Its threads may still run in it. A refused plug-in has run no hook and is unmapped. */
static void an_accepted_plug_in_stays_mapped_and_a_refused_one_does_not(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "prompt", "prompt.so");
   put(fixture, "other_abi", "other_abi.so");
   struct kv_plugin_library *library =
       kv_plugin_library_create(fixture->directory.path, &fixture->status);
   assert_non_null(library);
   assert_int_equal(kv_plugin_library_find(library, "prompt", &fixture->plugin, &fixture->status),
                    KV_OK);
   assert_int_not_equal(
       kv_plugin_library_find(library, "other_abi", &fixture->plugin, &fixture->status), KV_OK);
   kv_plugin_library_destroy(library);
   assert_int_not_equal(mapped_at("prompt"), 0);
   assert_int_equal(mapped_at("other_abi"), 0);
}

/* cp overwrites the existing file. */
static void a_loaded_plug_in_does_not_see_its_file_change(void **state)
{
   struct fixture *fixture = *state;
   char path[TEMPORARY_PATH_SIZE];
   put(fixture, "plain", "plain.so");
   assert_int_equal(find(fixture, "plain"), KV_OK);
   assert_int_equal(truncate(temporary_path(&fixture->directory, "plain.so", path), 0), 0);
   assert_string_equal(fixture->plugin->name, "plain");
   assert_int_not_equal(strlen(fixture->plugin->description), 0);
   const kvs_plugin *first = fixture->plugin;
   assert_int_equal(find(fixture, "plain"), KV_OK);
   assert_ptr_equal(fixture->plugin, first);
}

static size_t open_files(void)
{
   size_t count = 0;
   for (int fd = 0; fd < 1024; fd++)
      count += fcntl(fd, F_GETFD) >= 0;
   return count;
}

static void asking_again_for_a_refused_plug_in_takes_no_more_files(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "no_symbol", "no_symbol.so");
   put(fixture, "unresolved", "unresolved.so");
   size_t before = open_files();
   for (int i = 0; i < 5; i++) {
      assert_refused(fixture, "no_symbol", KV_FAILED_PRECONDITION, "does not export");
      assert_refused(fixture, "unresolved", KV_FAILED_PRECONDITION, "kvstore_nobody_has_this");
   }
   assert_int_equal(open_files(), before);
}

/* The linker never unloads some libraries, and knows them by a name that must not lead elsewhere
 * later.
 */
static void
a_refused_plug_in_that_stays_mapped_is_mapped_once_and_mistaken_for_no_other(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "stays", "stays.so");
   assert_refused(fixture, "stays", KV_FAILED_PRECONDITION, "plug-in ABI 99");
   size_t before = open_files();
   for (int i = 0; i < 5; i++)
      assert_refused(fixture, "stays", KV_FAILED_PRECONDITION, "plug-in ABI 99");
   assert_int_equal(open_files(), before);
   put(fixture, "memory", "memory.so");
   assert_int_equal(find(fixture, "memory"), KV_OK);
   assert_string_equal(fixture->plugin->name, "memory");

   char path[TEMPORARY_PATH_SIZE];
   assert_int_equal(unlink(temporary_path(&fixture->directory, "stays.so", path)), 0);
   put(fixture, "other_name", "stays.so");
   assert_refused(fixture, "stays", KV_FAILED_PRECONDITION, "has the name \"elsewhere\"");
}

static void a_wrong_descriptor_is_refused_with_what_is_wrong(void **state)
{
   struct fixture *fixture = *state;
   static const struct {
      const char *name, *part;
   } cases[] = {
       {"no_symbol", "does not export the symbol kvstore_plugin"},
       {"durable_prompt", "promises KVS_DURABLE"},
       {"other_abi", "built for plug-in ABI 99, and this server has ABI 1"},
       {"short_descriptor", "its descriptor has 40 bytes"},
       {"other_name", "has the name \"elsewhere\""},
       {"missing_hook", "lacks the hook on_write"},
       {"no_load", "lacks the hook on_load"},
       {"no_tick", "lacks the hook on_tick"},
       {"bad_default", "its option number has a default value that it would not accept"},
   };
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      char file[64];
      snprintf(file, sizeof file, "%s.so", cases[i].name);
      put(fixture, cases[i].name, file);
      assert_refused(fixture, cases[i].name, KV_FAILED_PRECONDITION, cases[i].part);
   }
}

static void a_refused_plug_in_can_be_replaced_by_a_good_one(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "no_symbol", "plain.so");
   assert_int_equal(find(fixture, "plain"), KV_FAILED_PRECONDITION);
   char path[TEMPORARY_PATH_SIZE];
   assert_int_equal(unlink(temporary_path(&fixture->directory, "plain.so", path)), 0);
   put(fixture, "plain", "plain.so");
   assert_int_equal(find(fixture, "plain"), KV_OK);
}

static void the_first_directory_that_has_the_file_counts(void **state)
{
   struct fixture *fixture = *state;
   struct temporary second;
   char list[2 * TEMPORARY_PATH_SIZE];
   temporary_create(&second);
   temporary_copy(&second, TEST_PLUGIN_DIR "/plain.so", "plain.so");
   temporary_copy(&second, TEST_PLUGIN_DIR "/memory.so", "memory.so");
   put(fixture, "no_symbol", "plain.so");
   snprintf(list, sizeof list, "%s:/nowhere/at/all:%s", fixture->directory.path, second.path);
   struct kv_plugin_library *library = kv_plugin_library_create(list, &fixture->status);
   assert_non_null(library);

   assert_int_equal(kv_plugin_library_find(library, "memory", &fixture->plugin, &fixture->status),
                    KV_OK);
   assert_int_equal(kv_plugin_library_find(library, "plain", &fixture->plugin, &fixture->status),
                    KV_FAILED_PRECONDITION);
   assert_non_null(strstr(fixture->status.text, "does not export"));
   kv_plugin_library_destroy(library);
   temporary_remove(&second);
}

static void a_relative_directory_is_resolved_at_once(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "plain", "plain.so");
   char *before = getcwd(NULL, 0);
   assert_non_null(before);
   assert_int_equal(chdir(fixture->directory.path), 0);
   struct kv_plugin_library *library = kv_plugin_library_create(".", &fixture->status);
   assert_int_equal(chdir(before), 0);
   free(before);
   assert_non_null(library);
   assert_int_equal(kv_plugin_library_find(library, "plain", &fixture->plugin, &fixture->status),
                    KV_OK);
   kv_plugin_library_destroy(library);
}

static void without_a_directory_there_is_no_library(void **state)
{
   struct fixture *fixture = *state;
   assert_null(kv_plugin_library_create("", &fixture->status));
   assert_non_null(strstr(fixture->status.text, "no plug-in directory is given"));
   assert_null(kv_plugin_library_create("/nowhere/at/all", &fixture->status));
   assert_non_null(strstr(fixture->status.text, "/nowhere/at/all"));
   char path[TEMPORARY_PATH_SIZE];
   temporary_write(&fixture->directory, "file", "x", 1);
   assert_null(kv_plugin_library_create(temporary_path(&fixture->directory, "file", path),
                                        &fixture->status));
   assert_non_null(strstr(fixture->status.text, "not a directory"));
}

struct listing {
   char text[256];
};

static void note(void *context, const char *name, const kvs_plugin *plugin, const char *error)
{
   struct listing *listing = context;
   assert_true(!plugin == !!error);
   if (plugin)
      assert_string_equal(plugin->name, name);
   size_t used = strlen(listing->text);
   snprintf(listing->text + used, sizeof listing->text - used, "%s%s ", name,
            plugin ? "" : " refused");
}

static void the_list_has_good_and_bad_ones_in_order_of_name(void **state)
{
   struct fixture *fixture = *state;
   put(fixture, "plain", "plain.so");
   put(fixture, "other_abi", "other_abi.so");
   put(fixture, "faulty", "faulty.so");
   temporary_write(&fixture->directory, "notes.txt", "x", 1);
   struct listing listing = {""};
   kv_plugin_library_list(fixture->library, note, &listing);
   assert_string_equal(listing.text, "faulty other_abi refused plain ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
   const struct CMUnitTest tests[] = {
       TEST(a_good_plug_in_is_found_once_and_stays),
       TEST(an_unknown_name_is_refused_with_a_list_of_the_known),
       TEST(a_name_is_never_a_path),
       TEST(a_file_that_others_may_write_is_refused),
       TEST(no_status_names_a_path),
       TEST(what_is_no_shared_object_is_refused),
       TEST(what_needs_a_function_that_is_not_there_is_refused),
       TEST(what_a_plug_in_exports_is_not_seen_by_others),
       TEST(an_accepted_plug_in_stays_mapped_and_a_refused_one_does_not),
       TEST(a_loaded_plug_in_does_not_see_its_file_change),
       TEST(asking_again_for_a_refused_plug_in_takes_no_more_files),
       TEST(a_refused_plug_in_that_stays_mapped_is_mapped_once_and_mistaken_for_no_other),
       TEST(a_wrong_descriptor_is_refused_with_what_is_wrong),
       TEST(a_refused_plug_in_can_be_replaced_by_a_good_one),
       TEST(the_first_directory_that_has_the_file_counts),
       TEST(a_relative_directory_is_resolved_at_once),
       TEST(without_a_directory_there_is_no_library),
       TEST(the_list_has_good_and_bad_ones_in_order_of_name),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
