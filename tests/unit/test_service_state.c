/* What every method does before the data is loaded, while writes are refused, and when its account
 * has no memory for it. */
#include "core/store/store.h"
#include "core/support/arena.h"
#include "tests/support/service_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* ---- A request for each method ---- */

#define LARGE ((size_t)100 * 1024) /* is sent in place */

static char large_value[LARGE];

static Kvstore__SetRequest set = KVSTORE__SET_REQUEST__INIT;
static Kvstore__GetRequest get = KVSTORE__GET_REQUEST__INIT;
static Kvstore__DelRequest del = KVSTORE__DEL_REQUEST__INIT;
static Kvstore__KeysRequest keys = KVSTORE__KEYS_REQUEST__INIT;
static Kvstore__ConfigRequest config = KVSTORE__CONFIG_REQUEST__INIT;
static Kvstore__V1__MapEntry option = KVSTORE__V1__MAP_ENTRY__INIT, *options[] = {&option};
static Kvstore__V1__ConfigureRequest configure = KVSTORE__V1__CONFIGURE_REQUEST__INIT;
static Kvstore__V1__ConfigureRequest validate = KVSTORE__V1__CONFIGURE_REQUEST__INIT;
static Kvstore__V1__ConfigureRequest shadow = KVSTORE__V1__CONFIGURE_REQUEST__INIT;
static Kvstore__V1__ListPluginsRequest list_plugins = KVSTORE__V1__LIST_PLUGINS_REQUEST__INIT;
static Kvstore__V1__SetRequest put = KVSTORE__V1__SET_REQUEST__INIT;
static Kvstore__V1__GetRequest look = KVSTORE__V1__GET_REQUEST__INIT;
static Kvstore__V1__Operation setting = KVSTORE__V1__OPERATION__INIT, *writes[] = {&setting};
static Kvstore__V1__Operation getting = KVSTORE__V1__OPERATION__INIT,
                              *gets[] = {&getting, &getting};
static Kvstore__V1__BatchRequest write_batch = KVSTORE__V1__BATCH_REQUEST__INIT;
static Kvstore__V1__BatchRequest read_batch = KVSTORE__V1__BATCH_REQUEST__INIT;
static Kvstore__V1__ScanRequest scan = KVSTORE__V1__SCAN_REQUEST__INIT;
static Kvstore__V1__SaveRequest save = KVSTORE__V1__SAVE_REQUEST__INIT;
static Kvstore__V1__GetStatusRequest status = KVSTORE__V1__GET_STATUS_REQUEST__INIT;

static const struct {
   const char *method;
   const ProtobufCMessage *request;
   bool writes;
} calls[] = {
    {"Set", &set.base, true},
    {"Get", &get.base, false},
    {"Del", &del.base, true},
    {"Keys", &keys.base, false},
    {KEYVALUE("Batch"), &write_batch.base, true},
    {KEYVALUE("Batch"), &read_batch.base, false},
    {KEYVALUE("Scan"), &scan.base, false},
    {"ListPlugins", &list_plugins.base, false},
    {"GetStatus", &status.base, false},
    {"Save", &save.base, false},
    {"Configure", &validate.base, false},
    {"Configure", &shadow.base, false},
    {"Configure", &configure.base, false},
    {"Config", &config.base, false},
};
#define CALLS (sizeof calls / sizeof *calls)

static void make_requests(void)
{
   set.key = get.key = del.key = service_text("k");
   set.value = (ProtobufCBinaryData){sizeof large_value, (uint8_t *)large_value};
   config.storage_mode = KVSTORE__STORAGE_MODE__AOF;
   config.aof_max_size = 1 << 20;
   option.key = service_text("max_snapshots");
   option.value = service_text("7");
   configure.plugin = service_text("snapshot");
   configure.n_options = 1;
   configure.options = options;
   validate = configure;
   validate.validate_only = true;
   shadow = configure;
   shadow.shadow = true;
   shadow.shadow_time_case = KVSTORE__V1__CONFIGURE_REQUEST__SHADOW_TIME_SHADOW_SECONDS;
   put.key = look.key = set.key;
   put.value = set.value;
   setting.kind_case = KVSTORE__V1__OPERATION__KIND_SET;
   setting.set = &put;
   getting.kind_case = KVSTORE__V1__OPERATION__KIND_GET;
   getting.get = &look;
   write_batch.n_operations = 1;
   write_batch.operations = writes;
   read_batch.n_operations = 2;
   read_batch.operations = gets;
}

/* ---- Before the data is loaded ---- */

static void every_method_is_unavailable_until_the_data_is_loaded(void **state)
{
   (void)state;
   const struct service_setup setup = {.not_loaded = true};
   struct service_fixture *fixture = service_fixture_create(&setup);
   for (size_t i = 0; i < CALLS; i++)
      service_refused(fixture, calls[i].method, calls[i].request, KV_UNAVAILABLE,
                      "still loading its data", "try again", NULL);
   service_fixture_destroy(fixture);
}

/* ---- While writes are refused ---- */

/* Without its directory the server cannot help itself with a fresh generation. */
static void move_data(const struct service_fixture *fixture, const char *from, const char *to)
{
   char old_path[TEMPORARY_PATH_SIZE], new_path[TEMPORARY_PATH_SIZE];
   assert_int_equal(rename(temporary_path(&fixture->folder, from, old_path),
                           temporary_path(&fixture->folder, to, new_path)),
                    0);
}

static void only_writes_are_refused_while_the_plugin_has_failed(void **state)
{
   (void)state;
   static const struct kv_mode_option faults[] = {{"write", "io"}, {"healthy_writes", "1"}};
   const struct service_setup setup = {.mode = "faulty", .options = faults, .option_count = 2};
   struct service_fixture *fixture = service_fixture_create(&setup);
   service_set(fixture, "k", "v");
   move_data(fixture, "data", "away");
   for (size_t round = 0; round < 2; round++) {
      for (size_t i = 0; i < CALLS; i++) {
         struct fake_answer answer;
         if (calls[i].writes) {
            service_refused(fixture, calls[i].method, calls[i].request, KV_UNAVAILABLE,
                            "told to fail", NULL);
         } else if (strncmp(calls[i].method, "Conf", 4) && strcmp(calls[i].method, "Save")) {
            service_run(fixture, calls[i].method, calls[i].request, NULL, &answer);
            assert_int_equal(answer.code, KV_OK);
            fake_answer_deinit(&answer);
         }
      }
   }
   service_assert_value(fixture, "k", "v");
   Kvstore__V1__GetStatusResponse *shown = service_status(fixture);
   assert_true(shown->read_only);
   assert_non_null(memmem(shown->last_error.data, shown->last_error.len, "told to fail", 12));
   assert_non_null(memmem(shown->last_error.data, shown->last_error.len, "Save or Configure", 17));
   kvstore__v1__get_status_response__free_unpacked(shown, NULL);

   move_data(fixture, "away", "data");
   service_configure(fixture, "snapshot", NULL, NULL);
   service_set(fixture, "k", "w");
   shown = service_status(fixture);
   assert_false(shown->read_only);
   kvstore__v1__get_status_response__free_unpacked(shown, NULL);
   service_fixture_destroy(fixture);
}

/* ---- Without memory ---- */

static struct fake_account *account; /* of the call being tested */

void *__real_kv_arena_alloc(struct kv_arena *arena, size_t size);
void *__wrap_kv_arena_alloc(struct kv_arena *arena, size_t size);
void *__wrap_kv_arena_alloc(struct kv_arena *arena, size_t size)
{
   return fake_account_grant(account) ? __real_kv_arena_alloc(arena, size) : NULL;
}

void *__real_kv_arena_copy(struct kv_arena *arena, const void *data, size_t size);
void *__wrap_kv_arena_copy(struct kv_arena *arena, const void *data, size_t size);
void *__wrap_kv_arena_copy(struct kv_arena *arena, const void *data, size_t size)
{
   return fake_account_grant(account) ? __real_kv_arena_copy(arena, data, size) : NULL;
}

struct shown {
   uint64_t sequence, generation;
};

static void note_generation(void *context, const struct kv_control_state *state)
{
   ((struct shown *)context)->generation = state->generation;
}

static struct shown show(const struct service_fixture *fixture)
{
   struct shown shown;
   struct kv_store_view *view = kv_store_view_create(fixture->store);
   assert_non_null(view);
   shown.sequence = kv_version_sequence(kv_store_view_version(view));
   kv_store_view_destroy(view);
   kv_control_inspect(fixture->control, note_generation, &shown);
   return shown;
}

/* Runs the call with memory for so many requests; returns its code. */
static enum kv_code run_with(const struct service_fixture *fixture, size_t i, size_t grants)
{
   struct fake_account limited = {.grants = grants};
   const struct fake_client client = {.account = &limited};
   struct fake_answer answer;
   const struct shown before = show(fixture);
   account = &limited;
   service_run(fixture, calls[i].method, calls[i].request, &client, &answer);
   account = NULL;
   const struct shown after = show(fixture);
   if (answer.code != KV_OK) {
      assert_string_equal(answer.text, "out of memory");
      assert_false(limited.carried_out);
      assert_int_equal(after.sequence, before.sequence);
      assert_int_equal(after.generation, before.generation);
   }
   enum kv_code code = answer.code;
   fake_answer_deinit(&answer);
   return code;
}

static void a_call_without_memory_is_refused_wherever_it_runs_out_and_changes_nothing(void **state)
{
   (void)state;
   const struct service_setup setup = {.mode = "snapshot"};
   struct service_fixture *fixture = service_fixture_create(&setup);
   service_set(fixture, "k", "v");
   protobuf_c_message_free_unpacked(
       service_reply(fixture, "Set", &set.base, &google__protobuf__empty__descriptor), NULL);
   for (size_t i = 0; i < CALLS; i++) {
      size_t grants = 0;
      enum kv_code code;
      while ((code = run_with(fixture, i, grants)) != KV_OK) {
         assert_int_equal(code, KV_RESOURCE_EXHAUSTED);
         grants++;
      }
      assert_in_range(grants, 1, 10000);
      if (calls[i].request == &del.base) /* those that follow need it */
         protobuf_c_message_free_unpacked(
             service_reply(fixture, "Set", &set.base, &google__protobuf__empty__descriptor), NULL);
   }
   service_fixture_destroy(fixture);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(every_method_is_unavailable_until_the_data_is_loaded),
       cmocka_unit_test(only_writes_are_refused_while_the_plugin_has_failed),
       cmocka_unit_test(a_call_without_memory_is_refused_wherever_it_runs_out_and_changes_nothing),
   };
   make_requests();
   return cmocka_run_group_tests(tests, NULL, NULL);
}
