#include "core/memory.h"

#include "tests/support/temporary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MIB ((uint64_t)1 << 20)
/* What version 1 says where there is no limit. */
#define UNLIMITED_1 "9223372036854771712\n"

/* A root with the files of /proc and /sys that a test puts there. */
struct fixture {
   struct temporary root;
   struct kv_memory_limit limit;
   struct kv_config config;
};

static int set_up(void **state)
{
   static struct fixture fixture;
   memset(&fixture, 0, sizeof fixture);
   temporary_create(&fixture.root);
   *state = &fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   temporary_remove(&fixture->root);
   return 0;
}

/* Writes a file, and makes the directories above it. */
static void put(struct fixture *fixture, const char *name, const char *text)
{
   char path[TEMPORARY_PATH_SIZE];
   temporary_path(&fixture->root, name, path);
   for (char *slash = path + strlen(fixture->root.path) + 1; (slash = strchr(slash, '/'));
        slash++) {
      *slash = '\0';
      (void)mkdir(path, 0700);
      *slash = '/';
   }
   temporary_write(&fixture->root, name, text, strlen(text));
}

static void put_process(struct fixture *fixture, const char *groups, const char *mounts)
{
   put(fixture, "proc/self/cgroup", groups);
   put(fixture, "proc/self/mountinfo", mounts);
}

static void assert_limit(struct fixture *fixture, uint64_t bytes, const char *file)
{
   kv_memory_limit_find(fixture->root.path, &fixture->limit);
   assert_int_equal(fixture->limit.bytes, bytes);
   assert_string_equal(fixture->limit.file, file);
}

#define MOUNTS_2                                                                                   \
   "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"                                                         \
   "31 22 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNTS_1                                                                                   \
   "31 22 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"                                    \
   "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"                                   \
   "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"                             \
   "34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

/* ---- The limit ---- */

static void the_limit_of_the_own_group_counts(void **state)
{
   struct fixture *fixture = *state;
   put_process(fixture, "0::/system.slice/kvstore.service\n", MOUNTS_2);
   put(fixture, "sys/fs/cgroup/system.slice/kvstore.service/memory.max", "268435456\n");
   put(fixture, "sys/fs/cgroup/system.slice/kvstore.service/memory.high", "max\n");
   put(fixture, "sys/fs/cgroup/system.slice/memory.max", "max\n");
   assert_limit(fixture, 256 * MIB, "/sys/fs/cgroup/system.slice/kvstore.service/memory.max");
}

static void the_smallest_limit_of_the_groups_above_counts(void **state)
{
   struct fixture *fixture = *state;
   put_process(fixture, "0::/a/b/c\n", MOUNTS_2);
   put(fixture, "sys/fs/cgroup/a/b/c/memory.max", "300000000\n");
   put(fixture, "sys/fs/cgroup/a/memory.max", "100000000\n");
   put(fixture, "sys/fs/cgroup/a/b/memory.max", "200000000\n");
   put(fixture, "sys/fs/cgroup/beside/memory.max", "1000\n");
   assert_limit(fixture, 100000000, "/sys/fs/cgroup/a/memory.max");
   put(fixture, "sys/fs/cgroup/memory.max", "90000000\n");
   assert_limit(fixture, 90000000, "/sys/fs/cgroup/memory.max");
}

static void a_limit_beyond_which_the_system_slows_the_process_counts_too(void **state)
{
   struct fixture *fixture = *state;
   put_process(fixture, "0::/\n", MOUNTS_2);
   put(fixture, "sys/fs/cgroup/memory.max", "300000000\n");
   put(fixture, "sys/fs/cgroup/memory.high", "200000000\n");
   assert_limit(fixture, 200000000, "/sys/fs/cgroup/memory.high");
}

static void version_1_is_understood_with_the_groups_above(void **state)
{
   struct fixture *fixture = *state;
   put_process(fixture, "9:name=systemd:/\n8:cpu,memory:/a/b\n0::/elsewhere\n", MOUNTS_1);
   put(fixture, "sys/fs/cgroup/memory/memory.limit_in_bytes", UNLIMITED_1);
   put(fixture, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "134217728\n");
   put(fixture, "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", UNLIMITED_1);
   assert_limit(fixture, 128 * MIB, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes");
}

/* As Docker mounts it: the container's own group, by the name that it has for the system. */
static void a_container_that_sees_its_own_group_alone_finds_its_limit(void **state)
{
   struct fixture *fixture = *state;
   put_process(fixture, "8:memory:/docker/0123\n",
               "33 31 0:30 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
   put(fixture, "sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
   assert_limit(fixture, 128 * MIB, "/sys/fs/cgroup/memory/memory.limit_in_bytes");
   put_process(fixture, "0::/../other\n", MOUNTS_2); /* a group beside those that it sees */
   put(fixture, "sys/fs/cgroup/memory.max", "1000000\n");
   assert_limit(fixture, 1000000, "/sys/fs/cgroup/memory.max");
}

static void a_mount_point_with_blanks_is_found(void **state)
{
   struct fixture *fixture = *state;
   put_process(fixture, "0::/a b\n", "31 22 0:28 / /my\\040groups rw - cgroup2 none rw\n");
   put(fixture, "my groups/a b/memory.max", "1000000\n");
   assert_limit(fixture, 1000000, "/my groups/a b/memory.max");
}

static void there_is_no_limit_where_nothing_says_so(void **state)
{
   struct fixture *fixture = *state;
   assert_limit(fixture, 0, "");
   put_process(fixture, "nonsense\n8:memory\n0::/a\n",
               "nonsense - \n - cgroup2\n1 - cgroup2 x y\n");
   assert_limit(fixture, 0, "");
   put_process(fixture, "8:memory:/a\n0::/a\n", MOUNTS_1 MOUNTS_2);
   put(fixture, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", UNLIMITED_1);
   put(fixture, "sys/fs/cgroup/unified/a/memory.max", "max\n");
   put(fixture, "sys/fs/cgroup/unified/memory.max", "a lot\n");
   assert_limit(fixture, 0, "");
}

/* ---- What comes of it ---- */

static void share(struct fixture *fixture, uint64_t limit)
{
   fixture->limit = (struct kv_memory_limit){.bytes = limit, .file = "/f"};
   fixture->config.max_message_size = 80 * MIB;
   if (!fixture->config.max_wire_memory_given)
      fixture->config.max_wire_memory = 512 * MIB;
   if (!fixture->config.watch_history_given)
      fixture->config.watch_history = 64 * MIB;
   kv_memory_share(&fixture->limit, &fixture->config);
}

static void without_a_limit_the_defaults_stay(void **state)
{
   struct fixture *fixture = *state;
   share(fixture, 0);
   assert_int_equal(fixture->config.max_memory, 0);
   assert_int_equal(fixture->config.key_cost, 0);
   assert_int_equal(fixture->config.max_wire_memory, 512 * MIB);
   assert_null(fixture->config.memory_limit_file);
}

static void data_and_calls_get_their_shares_of_the_limit(void **state)
{
   static const struct {
      uint64_t limit, data, wire, history;
   } cases[] = {{16384, 7904, 512, 64}, /* MiB */
                {1024, 352, 256, 64},   {256, 80, 80, 16}, {100, 12, 80, 6},
                {40, 5, 80, 2},         {8, 1, 80, 1}};
   struct fixture *fixture = *state;
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      share(fixture, cases[i].limit * MIB);
      assert_int_equal(fixture->config.max_memory / MIB, cases[i].data);
      assert_int_equal(fixture->config.max_wire_memory / MIB, cases[i].wire);
      assert_int_equal(fixture->config.watch_history / MIB, cases[i].history);
      assert_int_equal(fixture->config.key_cost, 48);
      assert_string_equal(fixture->config.memory_limit_file, "/f");
   }
}

static void settings_that_were_given_stay(void **state)
{
   struct fixture *fixture = *state;
   fixture->config.max_memory_given = true; /* as 0: no limit, whatever the system says */
   share(fixture, 256 * MIB);
   assert_int_equal(fixture->config.max_memory, 0);
   assert_int_equal(fixture->config.key_cost, 0);
   assert_int_equal(fixture->config.max_wire_memory, 80 * MIB);
   fixture->config.max_memory_given = false;
   fixture->config.max_wire_memory_given = true;
   fixture->config.max_wire_memory = 156 * MIB;
   share(fixture, 256 * MIB);
   assert_int_equal(fixture->config.max_memory, 42 * MIB);
   assert_int_equal(fixture->config.max_wire_memory, 156 * MIB);
   fixture->config.watch_history_given = true;
   fixture->config.watch_history = 40 * MIB;
   share(fixture, 256 * MIB);
   assert_int_equal(fixture->config.max_memory, 32 * MIB);
   assert_int_equal(fixture->config.watch_history, 40 * MIB);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(the_limit_of_the_own_group_counts),
       CASE(the_smallest_limit_of_the_groups_above_counts),
       CASE(a_limit_beyond_which_the_system_slows_the_process_counts_too),
       CASE(version_1_is_understood_with_the_groups_above),
       CASE(a_container_that_sees_its_own_group_alone_finds_its_limit),
       CASE(a_mount_point_with_blanks_is_found),
       CASE(there_is_no_limit_where_nothing_says_so),
       CASE(without_a_limit_the_defaults_stay),
       CASE(data_and_calls_get_their_shares_of_the_limit),
       CASE(settings_that_were_given_stay),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
