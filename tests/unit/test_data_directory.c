#include "core/datadir/data_directory.h"

#include "core/datadir/active_text.h"
#include "tests/support/temporary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* "data" inside of a temporary directory, open. */
struct fixture {
   struct temporary parent;
   char path[TEMPORARY_PATH_SIZE];
   struct kv_data_directory *directory;
   struct kv_active active; /* the result of the last read; released before each read */
   bool found;
   struct kv_status status;
};

static enum kv_code open_it(struct fixture *fixture)
{
   return kv_data_directory_open(fixture->path, &fixture->directory, &fixture->status);
}

static void close_it(struct fixture *fixture)
{
   kv_data_directory_close(fixture->directory);
   fixture->directory = NULL;
}

static int set_up(void **state)
{
   static struct fixture fixture;
   memset(&fixture, 0, sizeof fixture);
   temporary_create(&fixture.parent);
   temporary_path(&fixture.parent, "data", fixture.path);
   assert_int_equal(open_it(&fixture), KV_OK);
   *state = &fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   kv_active_deinit(&fixture->active);
   if (fixture->directory)
      close_it(fixture);
   temporary_remove(&fixture->parent);
   return 0;
}

static enum kv_code read_it(struct fixture *fixture)
{
   kv_active_deinit(&fixture->active);
   return kv_data_directory_read_active(fixture->directory, &fixture->active, &fixture->found,
                                        &fixture->status);
}

/* Opens it as a new process would. */
static enum kv_code reopen_and_read(struct fixture *fixture)
{
   close_it(fixture);
   assert_int_equal(open_it(fixture), KV_OK);
   return read_it(fixture);
}

static uint64_t create_generation(struct fixture *fixture, uint64_t above)
{
   uint64_t generation = 0;
   assert_int_equal(kv_data_directory_create_generation(fixture->directory, above, &generation,
                                                        &fixture->status),
                    KV_OK);
   return generation;
}

static enum kv_code record(struct fixture *fixture, uint64_t generation)
{
   struct kv_mode_option options[] = {{"fsync", "always"}, {"label", "a = b"}};
   const struct kv_active active = {
       .plugin = "hybrid", .options = options, .option_count = 2, .generation = generation};
   return kv_data_directory_write_active(fixture->directory, &active, &fixture->status);
}

/* A store past its first start, in generation 1, with a file in it. */
static void begin_store(struct fixture *fixture)
{
   assert_int_equal(read_it(fixture), KV_OK);
   assert_false(fixture->found);
   assert_int_equal(create_generation(fixture, 0), 1);
   temporary_write(&fixture->parent, "data/gen-000001/file", "x", 1);
   assert_int_equal(record(fixture, 1), KV_OK);
}

static void assert_refused(struct fixture *fixture, enum kv_code code, const char *part)
{
   assert_int_equal(fixture->status.code, code);
   assert_non_null(strstr(fixture->status.text, fixture->path));
   assert_non_null(strstr(fixture->status.text, part));
}

static void everything_is_private_whatever_the_umask(void **state)
{
   struct fixture *fixture = *state;
   static const mode_t masks[] = {0, 0777};
   for (size_t i = 0; i < 2; i++) {
      close_it(fixture);
      char path[TEMPORARY_PATH_SIZE];
      temporary_path(&fixture->parent, i == 0 ? "open" : "closed", fixture->path);
      mode_t before = umask(masks[i]);
      enum kv_code code = open_it(fixture);
      assert_int_equal(code, KV_OK);
      assert_int_equal(read_it(fixture), KV_OK);
      create_generation(fixture, 0);
      snprintf(path, sizeof path, "%s/STARTING", i == 0 ? "open" : "closed");
      assert_int_equal(temporary_mode(&fixture->parent, path), 0600);
      assert_int_equal(record(fixture, 1), KV_OK);
      umask(before);
      assert_int_equal(temporary_mode(&fixture->parent, i == 0 ? "open" : "closed"), 0700);
      snprintf(path, sizeof path, "%s/LOCK", i == 0 ? "open" : "closed");
      assert_int_equal(temporary_mode(&fixture->parent, path), 0600);
      snprintf(path, sizeof path, "%s/ACTIVE", i == 0 ? "open" : "closed");
      assert_int_equal(temporary_mode(&fixture->parent, path), 0600);
      snprintf(path, sizeof path, "%s/gen-000001", i == 0 ? "open" : "closed");
      assert_int_equal(temporary_mode(&fixture->parent, path), 0700);
   }
}

static void a_second_server_is_refused_and_learns_who_holds_the_directory(void **state)
{
   struct fixture *fixture = *state;
   struct kv_data_directory *second;
   char holder[64];
   snprintf(holder, sizeof holder, "process id %ld;", (long)getpid());
   assert_int_equal(kv_data_directory_open(fixture->path, &second, &fixture->status),
                    KV_FAILED_PRECONDITION);
   assert_refused(fixture, KV_FAILED_PRECONDITION, holder);
   close_it(fixture);
   assert_int_equal(open_it(fixture), KV_OK);
}

static void readers_share_the_directory_and_keep_servers_out(void **state)
{
   struct fixture *fixture = *state;
   struct kv_data_directory *first, *second;
   assert_int_equal(kv_data_directory_open_to_read(fixture->path, &first, &fixture->status),
                    KV_FAILED_PRECONDITION);
   assert_non_null(strstr(fixture->status.text, "in use by another server"));
   kv_data_directory_close(fixture->directory);
   fixture->directory = NULL;
   assert_int_equal(kv_data_directory_open_to_read(fixture->path, &first, &fixture->status), KV_OK);
   assert_int_equal(kv_data_directory_open_to_read(fixture->path, &second, &fixture->status),
                    KV_OK);
   assert_int_equal(open_it(fixture), KV_FAILED_PRECONDITION);
   assert_non_null(strstr(fixture->status.text, "kvstore-check"));
   kv_data_directory_close(first);
   kv_data_directory_close(second);
   assert_int_equal(open_it(fixture), KV_OK);
}

static void reading_makes_nothing(void **state)
{
   struct fixture *fixture = *state;
   struct kv_data_directory *reader;
   char path[TEMPORARY_PATH_SIZE];
   struct stat info;
   temporary_path(&fixture->parent, "other", path);
   assert_int_equal(kv_data_directory_open_to_read(path, &reader, &fixture->status),
                    KV_UNAVAILABLE);
   assert_int_not_equal(stat(path, &info), 0);
   assert_int_equal(mkdir(path, 0700), 0);
   assert_int_equal(kv_data_directory_open_to_read(path, &reader, &fixture->status), KV_OK);
   assert_int_equal(kv_data_directory_inspect_active(reader, &fixture->active, &fixture->found,
                                                     &fixture->status),
                    KV_OK);
   assert_false(fixture->found);
   kv_data_directory_close(reader);
   assert_int_equal(rmdir(path), 0); /* it is empty */
}

static void a_lock_ends_with_its_process(void **state)
{
   struct fixture *fixture = *state;
   close_it(fixture);
   pid_t child = fork();
   assert_true(child >= 0);
   if (child == 0)
      _exit(open_it(fixture) == KV_OK ? 0 : 1);
   int result;
   assert_int_equal(waitpid(child, &result, 0), child);
   assert_int_equal(result, 0);
   assert_int_equal(open_it(fixture), KV_OK);
}

/* The child holds the lock until it reads in the parent's log that the parent waits. */
static void hold_until_waited_for(struct fixture *fixture, int ready, int log)
{
   char line[256];
   if (open_it(fixture) != KV_OK || write(ready, "", 1) != 1 || read(log, line, sizeof line) <= 0)
      _exit(1);
   _exit(strstr(line, "for the lock of") ? 0 : 2);
}

static void a_lock_is_waited_for_whose_holder_is_ending(void **state)
{
   struct fixture *fixture = *state;
   int ready[2], log[2];
   char byte;
   close_it(fixture);
   assert_int_equal(pipe(ready), 0);
   assert_int_equal(pipe(log), 0);
   pid_t child = fork();
   assert_true(child >= 0);
   if (child == 0)
      hold_until_waited_for(fixture, ready[1], log[0]);
   assert_int_equal(read(ready[0], &byte, 1), 1);
   int kept = dup(STDERR_FILENO);
   assert_true(kept >= 0 && dup2(log[1], STDERR_FILENO) >= 0);
   enum kv_code code = open_it(fixture);
   assert_true(dup2(kept, STDERR_FILENO) >= 0);
   if (code != KV_OK)
      kill(child, SIGKILL);
   int result;
   assert_int_equal(waitpid(child, &result, 0), child);
   assert_int_equal(code, KV_OK);
   assert_int_equal(result, 0);
   const int used[] = {kept, ready[0], ready[1], log[0], log[1]};
   for (size_t i = 0; i < sizeof used / sizeof *used; i++)
      close(used[i]);
}

static void a_directory_that_everybody_may_write_is_refused(void **state)
{
   struct fixture *fixture = *state;
   close_it(fixture);
   assert_int_equal(chmod(fixture->path, 01777), 0);
   assert_int_equal(open_it(fixture), KV_PERMISSION_DENIED);
   assert_refused(fixture, KV_PERMISSION_DENIED, "mode 1777");
   assert_int_equal(chmod(fixture->path, 0755), 0);
   assert_int_equal(open_it(fixture), KV_OK);
}

static void a_directory_of_another_user_is_refused(void **state)
{
   struct fixture *fixture = *state;
   enum { SERVER_USER = 4711, OTHER_USER = 4712 };
   if (geteuid() != 0)
      skip(); /* only root can change the owner of directories */
   close_it(fixture);
   assert_int_equal(chmod(fixture->parent.path, 0755), 0);
   assert_int_equal(chmod(fixture->path, 0755), 0);
   assert_int_equal(chown(fixture->path, OTHER_USER, 0), 0);
   assert_int_equal(seteuid(SERVER_USER), 0);
   enum kv_code code = open_it(fixture);
   assert_int_equal(seteuid(0), 0);
   assert_int_equal(code, KV_PERMISSION_DENIED);
   assert_refused(fixture, KV_PERMISSION_DENIED, "belongs to user id 4712");
   /* Not even root, which would do what the owner wants. */
   assert_int_equal(open_it(fixture), KV_PERMISSION_DENIED);
   assert_refused(fixture, KV_PERMISSION_DENIED, "--user 4712");
}

/* Makes `name` in the data directory a link to a file outside, which must not change. */
static void plant_link(const struct fixture *fixture, const char *name)
{
   char path[TEMPORARY_PATH_SIZE];
   temporary_write(&fixture->parent, "precious", "precious", 8);
   (void)unlink(temporary_path(&fixture->parent, name, path));
   assert_int_equal(symlink("../precious", path), 0);
}

static void assert_precious_is_whole(const struct fixture *fixture)
{
   size_t size;
   char *content = temporary_read(&fixture->parent, "precious", &size);
   assert_int_equal(size, 8);
   assert_memory_equal(content, "precious", 8);
   free(content);
}

static void no_link_is_followed(void **state)
{
   struct fixture *fixture = *state;
   char path[TEMPORARY_PATH_SIZE];
   begin_store(fixture);
   plant_link(fixture, "data/ACTIVE.tmp"); /* gives way */
   assert_int_equal(record(fixture, 1), KV_OK);
   close_it(fixture);
   plant_link(fixture, "data/LOCK");
   assert_int_not_equal(open_it(fixture), KV_OK);
   assert_refused(fixture, KV_FAILED_PRECONDITION, "LOCK: it is not a regular file");
   assert_int_equal(unlink(temporary_path(&fixture->parent, "data/LOCK", path)), 0);
   assert_int_equal(open_it(fixture), KV_OK);
   plant_link(fixture, "data/ACTIVE");
   assert_int_not_equal(read_it(fixture), KV_OK);
   assert_refused(fixture, KV_FAILED_PRECONDITION, "ACTIVE: it is not a regular file");
   assert_precious_is_whole(fixture);
}

static void a_lock_with_another_name_is_not_emptied(void **state)
{
   struct fixture *fixture = *state;
   char from[TEMPORARY_PATH_SIZE], to[TEMPORARY_PATH_SIZE];
   close_it(fixture);
   temporary_write(&fixture->parent, "precious", "precious", 8);
   temporary_path(&fixture->parent, "precious", from);
   assert_int_equal(unlink(temporary_path(&fixture->parent, "data/LOCK", to)), 0);
   assert_int_equal(link(from, to), 0);
   assert_int_equal(open_it(fixture), KV_FAILED_PRECONDITION);
   assert_precious_is_whole(fixture);
}

static void a_generation_that_is_a_link_is_refused_and_never_emptied(void **state)
{
   struct fixture *fixture = *state;
   char path[TEMPORARY_PATH_SIZE], away[TEMPORARY_PATH_SIZE];
   begin_store(fixture);
   temporary_path(&fixture->parent, "data/gen-000001", path);
   temporary_path(&fixture->parent, "away", away);
   assert_int_equal(rename(path, away), 0);
   assert_int_equal(symlink("../away", path), 0);
   assert_int_equal(reopen_and_read(fixture), KV_DATA_LOSS);
   assert_refused(fixture, KV_DATA_LOSS, "links are not followed");
   assert_int_equal(kv_data_directory_remove_generation(fixture->directory, 1, &fixture->status),
                    KV_OK);
   assert_false(temporary_has(&fixture->parent, "data/gen-000001"));
   assert_true(temporary_has(&fixture->parent, "away/file"));
}

static void a_pipe_in_place_of_a_file_holds_nothing_up(void **state)
{
   struct fixture *fixture = *state;
   char path[TEMPORARY_PATH_SIZE];
   begin_store(fixture);
   temporary_path(&fixture->parent, "data/ACTIVE", path);
   assert_int_equal(unlink(path), 0);
   assert_int_equal(mkfifo(path, 0600), 0);
   assert_int_not_equal(read_it(fixture), KV_OK);
   assert_refused(fixture, KV_FAILED_PRECONDITION, "not a regular file");
}

static void what_was_moved_away_is_not_the_data_directory_any_more(void **state)
{
   struct fixture *fixture = *state;
   char away[TEMPORARY_PATH_SIZE];
   uint64_t generation;
   begin_store(fixture);
   temporary_path(&fixture->parent, "away", away);
   assert_int_equal(kv_data_directory_check(fixture->directory, 1, &fixture->status), KV_OK);
   assert_int_equal(rename(fixture->path, away), 0);
   assert_int_equal(kv_data_directory_check(fixture->directory, 1, &fixture->status),
                    KV_UNAVAILABLE);
   assert_refused(fixture, KV_UNAVAILABLE, "is no longer there");
   assert_int_equal(mkdir(fixture->path, 0700), 0);
   assert_int_equal(kv_data_directory_check(fixture->directory, 1, &fixture->status),
                    KV_UNAVAILABLE);
   assert_refused(fixture, KV_UNAVAILABLE, "is not the one");
   assert_int_equal(
       kv_data_directory_create_generation(fixture->directory, 1, &generation, &fixture->status),
       KV_UNAVAILABLE);
   assert_int_equal(rmdir(fixture->path), 0);
   assert_int_equal(rename(away, fixture->path), 0);
   assert_int_equal(kv_data_directory_check(fixture->directory, 1, &fixture->status), KV_OK);
}

static void a_path_that_cannot_be_a_directory_is_refused(void **state)
{
   struct fixture *fixture = *state;
   struct kv_data_directory *other;
   char path[TEMPORARY_PATH_SIZE];
   temporary_path(&fixture->parent, "missing/data", path);
   assert_int_equal(kv_data_directory_open(path, &other, &fixture->status), KV_FAILED_PRECONDITION);
   assert_non_null(strstr(fixture->status.text, path));
   temporary_write(&fixture->parent, "file", "x", 1);
   temporary_path(&fixture->parent, "file", path);
   assert_int_not_equal(kv_data_directory_open(path, &other, &fixture->status), KV_OK);
   assert_non_null(strstr(fixture->status.text, path));
}

static void a_fresh_directory_has_no_record(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(read_it(fixture), KV_OK);
   assert_false(fixture->found);
}

static void what_was_recorded_is_read_again(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   uint8_t store_id[16];
   memcpy(store_id, kv_data_directory_store_id(fixture->directory), sizeof store_id);
   assert_int_equal(store_id[6] >> 4, 4); /* UUID version 4 */
   assert_int_equal(store_id[8] >> 6, 2);

   assert_int_equal(reopen_and_read(fixture), KV_OK);
   assert_true(fixture->found);
   assert_string_equal(fixture->active.plugin, "hybrid");
   assert_int_equal(fixture->active.generation, 1);
   assert_int_equal(fixture->active.option_count, 2);
   assert_string_equal(fixture->active.options[0].name, "fsync");
   assert_string_equal(fixture->active.options[0].value, "always");
   assert_string_equal(fixture->active.options[1].name, "label");
   assert_string_equal(fixture->active.options[1].value, "a = b");
   assert_memory_equal(kv_data_directory_store_id(fixture->directory), store_id, 16);
}

static void every_store_has_an_id_of_its_own(void **state)
{
   struct fixture *fixture = *state;
   uint8_t store_id[16];
   memcpy(store_id, kv_data_directory_store_id(fixture->directory), sizeof store_id);
   close_it(fixture);
   assert_int_equal(open_it(fixture), KV_OK);
   assert_memory_not_equal(kv_data_directory_store_id(fixture->directory), store_id, 16);
}

static void a_record_replaces_the_one_before_as_a_whole(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   uint64_t next = create_generation(fixture, 1);
   const struct kv_active active = {.plugin = "none", .generation = next};
   assert_int_equal(kv_data_directory_write_active(fixture->directory, &active, &fixture->status),
                    KV_OK);
   assert_int_equal(reopen_and_read(fixture), KV_OK);
   assert_string_equal(fixture->active.plugin, "none");
   assert_int_equal(fixture->active.option_count, 0);
   assert_int_equal(fixture->active.generation, next);
   assert_false(temporary_has(&fixture->parent, "data/ACTIVE.tmp"));
}

static void a_record_that_cannot_be_written_leaves_the_old_one(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   char path[TEMPORARY_PATH_SIZE];
   assert_int_equal(mkdir(temporary_path(&fixture->parent, "data/ACTIVE.tmp", path), 0700), 0);
   assert_int_not_equal(record(fixture, 2), KV_OK);
   assert_non_null(strstr(fixture->status.text, path));
   assert_int_equal(reopen_and_read(fixture), KV_OK);
   assert_int_equal(fixture->active.generation, 1);
}

static void assert_damage_refused(struct fixture *fixture)
{
   assert_int_equal(read_it(fixture), KV_DATA_LOSS);
   assert_refused(fixture, KV_DATA_LOSS, "ACTIVE cannot be used");
   assert_non_null(strstr(fixture->status.text, "restore this directory from a backup"));
}

static void any_flipped_bit_of_the_record_is_refused(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   size_t size;
   uint8_t store_id[KV_STORE_ID_SIZE];
   char *text = temporary_read(&fixture->parent, "data/ACTIVE", &size);
   char *flipped = calloc(1, size + 1); /* decoding changes it */
   assert_non_null(flipped);
   for (size_t i = 0; i < size * 8; i++) {
      memcpy(flipped, text, size);
      flipped[i / 8] = (char)(flipped[i / 8] ^ 1 << i % 8);
      assert_int_equal(
          kv_active_decode(flipped, size, &fixture->active, store_id, &fixture->status),
          KV_DATA_LOSS);
   }
   text[size / 2] ^= 1;
   temporary_write(&fixture->parent, "data/ACTIVE", text, size);
   assert_damage_refused(fixture);
   text[size / 2] ^= 1;
   temporary_write(&fixture->parent, "data/ACTIVE", text, size);
   assert_int_equal(read_it(fixture), KV_OK);
   free(flipped);
   free(text);
}

static void any_cut_or_longer_record_is_refused(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   size_t size;
   char *text = temporary_read(&fixture->parent, "data/ACTIVE", &size);
   for (size_t cut = 0; cut < size; cut++) {
      temporary_write(&fixture->parent, "data/ACTIVE", text, cut);
      assert_damage_refused(fixture);
   }
   temporary_write(&fixture->parent, "data/ACTIVE", text, size + 1); /* the NUL */
   assert_damage_refused(fixture);
   free(text);
   char *huge = calloc(1, 1024 * 1024);
   assert_non_null(huge);
   temporary_write(&fixture->parent, "data/ACTIVE", huge, 1024 * 1024);
   free(huge);
   assert_damage_refused(fixture);
}

static void a_record_of_a_newer_format_is_refused(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   /* As a later server may write it, with the checksum at the end of every format. */
   static const char newer[] = "format=2\nchecksum=3596f9792437f740\n";
   temporary_write(&fixture->parent, "data/ACTIVE", newer, strlen(newer));
   assert_damage_refused(fixture);
   assert_non_null(strstr(fixture->status.text, "format 2"));
   assert_non_null(strstr(fixture->status.text, "format 1"));
}

static void a_missing_record_over_data_is_refused(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   char path[TEMPORARY_PATH_SIZE];
   assert_int_equal(unlink(temporary_path(&fixture->parent, "data/ACTIVE", path)), 0);
   assert_int_equal(reopen_and_read(fixture), KV_DATA_LOSS);
   assert_refused(fixture, KV_DATA_LOSS, "gen-000001 holds data");
   assert_non_null(strstr(fixture->status.text, "ACTIVE"));
   assert_true(temporary_has(&fixture->parent, "data/gen-000001/file"));
}

static void a_record_of_a_missing_generation_is_refused(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   assert_int_equal(kv_data_directory_remove_generation(fixture->directory, 1, &fixture->status),
                    KV_OK);
   assert_int_equal(reopen_and_read(fixture), KV_DATA_LOSS);
   assert_refused(fixture, KV_DATA_LOSS, "gen-000001, which is not there");
}

static void an_unfinished_first_start_can_be_tried_again(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(read_it(fixture), KV_OK);
   assert_int_equal(create_generation(fixture, 0), 1);
   temporary_write(&fixture->parent, "data/gen-000001/file", "x", 1);
   temporary_write(&fixture->parent, "data/ACTIVE.tmp", "form", 4);

   assert_int_equal(reopen_and_read(fixture), KV_OK);
   assert_false(fixture->found);
   assert_false(temporary_has(&fixture->parent, "data/gen-000001"));
   begin_store(fixture);
   assert_false(temporary_has(&fixture->parent, "data/STARTING"));
   assert_int_equal(reopen_and_read(fixture), KV_OK);
   assert_true(fixture->found);
}

static void an_empty_generation_is_no_data(void **state)
{
   struct fixture *fixture = *state;
   char path[TEMPORARY_PATH_SIZE];
   assert_int_equal(mkdir(temporary_path(&fixture->parent, "data/gen-000001", path), 0700), 0);
   assert_int_equal(read_it(fixture), KV_OK);
   assert_false(fixture->found);
   assert_int_equal(create_generation(fixture, 0), 1);
}

static void a_directory_with_a_number_that_no_generation_reaches_is_none(void **state)
{
   struct fixture *fixture = *state;
   char path[TEMPORARY_PATH_SIZE];
   begin_store(fixture);
   assert_int_equal(
       mkdir(temporary_path(&fixture->parent, "data/gen-18446744073709551615", path), 0700), 0);
   assert_int_equal(create_generation(fixture, 1), 2);
}

static void the_mark_of_the_first_start_goes_with_the_first_record(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   assert_false(temporary_has(&fixture->parent, "data/STARTING"));
   create_generation(fixture, 1); /* made without one */
   assert_false(temporary_has(&fixture->parent, "data/STARTING"));
   /* It came back after a power cut, and must not outlive the next start. */
   temporary_write(&fixture->parent, "data/STARTING", "", 0);
   assert_int_equal(reopen_and_read(fixture), KV_OK);
   assert_false(temporary_has(&fixture->parent, "data/STARTING"));
}

static void generations_get_numbers_above_all_that_exist(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   assert_int_equal(create_generation(fixture, 1), 2);
   assert_int_equal(create_generation(fixture, 1), 3);
   assert_int_equal(create_generation(fixture, 41), 42);
   char path[TEMPORARY_PATH_SIZE], told[KV_GENERATION_PATH_SIZE];
   temporary_path(&fixture->parent, "data/gen-000042", path);
   kv_data_directory_generation_path(fixture->directory, 42, told);
   assert_string_equal(told, path);
   assert_true(temporary_has(&fixture->parent, "data/gen-000042"));
   assert_int_equal(mkdir(temporary_path(&fixture->parent, "data/gen-1000000", path), 0700), 0);
   assert_int_equal(mkdir(temporary_path(&fixture->parent, "data/gen-9000000x", path), 0700), 0);
   assert_int_equal(mkdir(temporary_path(&fixture->parent, "data/gen-09000000", path), 0700), 0);
   assert_int_equal(create_generation(fixture, 1), 1000001);
}

static void a_generation_is_removed_with_all_in_it(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   create_generation(fixture, 1);
   char path[TEMPORARY_PATH_SIZE], target[TEMPORARY_PATH_SIZE];
   mkdir(temporary_path(&fixture->parent, "data/gen-000002/aof", path), 0700);
   temporary_write(&fixture->parent, "data/gen-000002/aof/segment", "x", 1);
   mkdir(temporary_path(&fixture->parent, "outside", path), 0700);
   temporary_write(&fixture->parent, "outside/file", "x", 1);
   assert_int_equal(symlink(temporary_path(&fixture->parent, "outside", target),
                            temporary_path(&fixture->parent, "data/gen-000002/link", path)),
                    0);
   assert_int_equal(kv_data_directory_remove_generation(fixture->directory, 2, &fixture->status),
                    KV_OK);
   assert_false(temporary_has(&fixture->parent, "data/gen-000002"));
   assert_true(temporary_has(&fixture->parent, "data/gen-000001/file"));
   assert_true(temporary_has(&fixture->parent, "outside/file"));
   assert_int_equal(kv_data_directory_remove_generation(fixture->directory, 2, &fixture->status),
                    KV_OK); /* it does not exist, which is what was asked for */
}

static void only_the_active_generation_is_not_stale(void **state)
{
   struct fixture *fixture = *state;
   begin_store(fixture);
   create_generation(fixture, 1);
   create_generation(fixture, 1);
   temporary_write(&fixture->parent, "data/gen-000003/file", "x", 1);
   temporary_write(&fixture->parent, "data/notes", "x", 1);
   const struct kv_active active = {.plugin = "hybrid", .generation = 1};
   assert_int_equal(kv_data_directory_remove_stale(fixture->directory, &active, &fixture->status),
                    KV_OK);
   assert_true(temporary_has(&fixture->parent, "data/gen-000001/file"));
   assert_false(temporary_has(&fixture->parent, "data/gen-000002"));
   assert_false(temporary_has(&fixture->parent, "data/gen-000003"));
   assert_true(temporary_has(&fixture->parent, "data/notes"));
}

/* The committer may be writing VERSIONS, and a worker a restore, when a switch removes the files of
 * the old mode. */
static void temporary_files_are_removed_at_a_start_alone(void **state)
{
   struct fixture *fixture = *state;
   static const char *const names[] = {"data/ACTIVE.tmp", "data/VERSIONS.tmp", "data/restore.tmp"};
   begin_store(fixture);
   create_generation(fixture, 1);
   for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      temporary_write(&fixture->parent, names[i], "x", 1);
   const struct kv_active active = {.plugin = "hybrid", .generation = 1};
   assert_int_equal(kv_data_directory_remove_stale(fixture->directory, &active, &fixture->status),
                    KV_OK);
   assert_false(temporary_has(&fixture->parent, "data/gen-000002"));
   for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      assert_true(temporary_has(&fixture->parent, names[i]));
   assert_int_equal(kv_data_directory_clean(fixture->directory, &active, &fixture->status), KV_OK);
   for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      assert_false(temporary_has(&fixture->parent, names[i]));
   assert_true(temporary_has(&fixture->parent, "data/gen-000001/file"));
}

static void an_unnamed_file_can_be_written_and_read_and_is_not_in_the_directory(void **state)
{
   struct fixture *fixture = *state;
   char text[4] = "";
   int fd;
   begin_store(fixture);
   assert_int_equal(kv_data_directory_create_unnamed(fixture->directory, &fd, &fixture->status),
                    KV_OK);
   struct stat info;
   assert_int_equal(fstat(fd, &info), 0);
   assert_int_equal(info.st_nlink, 0);
   assert_int_equal(info.st_mode & 0777, 0600);
   assert_int_equal(write(fd, "abc", 3), 3);
   assert_int_equal(pread(fd, text, 3, 0), 3);
   assert_string_equal(text, "abc");
   assert_false(temporary_has(&fixture->parent, "data/restore.tmp"));
   close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
   const struct CMUnitTest tests[] = {
       TEST(everything_is_private_whatever_the_umask),
       TEST(a_second_server_is_refused_and_learns_who_holds_the_directory),
       TEST(readers_share_the_directory_and_keep_servers_out),
       TEST(reading_makes_nothing),
       TEST(a_lock_ends_with_its_process),
       TEST(a_lock_is_waited_for_whose_holder_is_ending),
       TEST(a_directory_that_everybody_may_write_is_refused),
       TEST(a_directory_of_another_user_is_refused),
       TEST(no_link_is_followed),
       TEST(a_lock_with_another_name_is_not_emptied),
       TEST(a_generation_that_is_a_link_is_refused_and_never_emptied),
       TEST(a_pipe_in_place_of_a_file_holds_nothing_up),
       TEST(what_was_moved_away_is_not_the_data_directory_any_more),
       TEST(a_path_that_cannot_be_a_directory_is_refused),
       TEST(a_fresh_directory_has_no_record),
       TEST(what_was_recorded_is_read_again),
       TEST(every_store_has_an_id_of_its_own),
       TEST(a_record_replaces_the_one_before_as_a_whole),
       TEST(a_record_that_cannot_be_written_leaves_the_old_one),
       TEST(any_flipped_bit_of_the_record_is_refused),
       TEST(any_cut_or_longer_record_is_refused),
       TEST(a_record_of_a_newer_format_is_refused),
       TEST(a_missing_record_over_data_is_refused),
       TEST(a_record_of_a_missing_generation_is_refused),
       TEST(an_unfinished_first_start_can_be_tried_again),
       TEST(an_empty_generation_is_no_data),
       TEST(a_directory_with_a_number_that_no_generation_reaches_is_none),
       TEST(the_mark_of_the_first_start_goes_with_the_first_record),
       TEST(generations_get_numbers_above_all_that_exist),
       TEST(a_generation_is_removed_with_all_in_it),
       TEST(only_the_active_generation_is_not_stale),
       TEST(temporary_files_are_removed_at_a_start_alone),
       TEST(an_unnamed_file_can_be_written_and_read_and_is_not_in_the_directory),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
