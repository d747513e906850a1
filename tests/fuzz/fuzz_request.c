/*
 * Requests for every method, through the handlers of the real services over a real store, commit
 * pipeline, control thread and the plug-in `none`; only the wire is a stand-in. Each call has one
 * reply, a refused one has changed nothing, and an accepted one did what a model of an ordered map
 * says.
 *
 * Input: calls, each a byte that chooses the method, the request's size (2), the request.
 */
#include "tests/fuzz/request_check.h"

#include "core/service/health.h"
#include "core/service/reflection.h"
#include "core/support/log.h"
#include "tests/fuzz/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define METHODS_MAX (KV_SERVICE_METHODS_MAX + KV_HEALTH_METHODS + KV_REFLECTION_METHODS)
#define CALLS_MAX 24

static struct kv_rpc_method methods[METHODS_MAX];
static size_t method_count;
static struct kv_store *store;

/* The plug-in goes into a directory of its own, which passes the server's checks of owner and mode
 * and holds no other plug-in. */
static const char *copy_plugin(char path[FUZZ_PATH_SIZE])
{
   static uint8_t bytes[16 << 20];
   FILE *file = fopen(FUZZ_PLUGIN, "rb");
   REQUIRE(file);
   size_t size = fread(bytes, 1, sizeof bytes, file);
   REQUIRE(size > 0 && size < sizeof bytes);
   fclose(file);
   fuzz_empty_directory("plugins");
   fuzz_write_file("plugins/none.so", bytes, size);
   return fuzz_path("plugins", path);
}

static struct kv_watchers *start_watchers(struct kv_status *status)
{
   struct kv_history *history = kv_history_create(KV_HISTORY_SIZE_MIN, 2);
   REQUIRE(history);
   struct kv_watchers *watchers = kv_watchers_create(history, 1, status);
   REQUIRE(watchers);
   return watchers;
}

static struct kv_control *start_control(struct kv_commit *commit, struct kv_watchers *watchers,
                                        struct kv_data_directory *directory,
                                        struct kv_status *status)
{
   char plugins[FUZZ_PATH_SIZE];
   struct kv_plugin_library *library = kv_plugin_library_create(copy_plugin(plugins), status);
   REQUIRE(library);
   const struct kv_control_config config = {.directory = directory,
                                            .library = library,
                                            .store = store,
                                            .commit = commit,
                                            .watchers = watchers};
   struct kv_control *control = kv_control_create(&config, status);
   REQUIRE(control);
   const struct kv_control_request choice = {.plugin = "none"};
   enum kv_code code = kv_control_start(control, &choice, status);
   if (code != KV_OK)
      fprintf(stderr, "%s\n", status->text);
   REQUIRE(code == KV_OK);
   return control;
}

/* Lives as long as the process; every input begins with an empty store. */
static void start_server(void)
{
   struct kv_status status = {0};
   struct kv_data_directory *directory;
   char data[FUZZ_PATH_SIZE];
   kv_log_set_level(KV_LOG_ERROR);
   store = kv_store_create();
   REQUIRE(store);
   const struct kv_commit_options options = {.workers = 1, .memory_max = CHECK_MEMORY_MAX};
   struct kv_commit *commit = kv_commit_create(store, &options, &status);
   REQUIRE(commit);
   REQUIRE(kv_data_directory_open(fuzz_path("data", data), &directory, &status) == KV_OK);
   static struct kv_observers observers;
   REQUIRE(kv_observers_init(&observers, 0, 1, &status) == KV_OK);
   struct kv_watchers *watchers = start_watchers(&status);
   const struct kv_service_config config = {
       .store = store,
       .commit = commit,
       .control = start_control(commit, watchers, directory, &status),
       .watchers = watchers,
       .workers = 1,
       .value_size_max = CHECK_VALUE_MAX,
       .message_size_max = CHECK_MESSAGE_MAX,
       .memory_max = CHECK_MEMORY_MAX,
       .request_window_ms = 60000,
       .store_id = kv_data_directory_store_id(directory),
       .directory = directory,
       .sender_timeout_ms = 1000,
       .observers = &observers,
   };
   struct kv_service *service = kv_service_create(&config, &status);
   struct kv_health *health = kv_health_create(&status);
   struct kv_reflection *reflection = kv_reflection_create(NULL, &status);
   REQUIRE(service && health && reflection);
   kv_service_set_loaded(service);
   fake_rpc_set_turn_end(kv_service_turn_end, service);
   method_count = kv_service_methods(service, methods);
   method_count += kv_health_methods(health, methods + method_count);
   method_count += kv_reflection_methods(reflection, methods + method_count);
   check_order(methods, method_count);
}

/* libFuzzer's hook, and that of replay.c. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
   (void)argc;
   (void)argv;
   start_server();
   return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct fuzz_input input = {data, size};
   check_empty_store(methods, store);
   for (size_t i = 0; i < CALLS_MAX && input.size > 0; i++) {
      const struct kv_rpc_method *method = &methods[fuzz_take(&input, 1) % method_count];
      kvs_bytes request = fuzz_take_bytes(&input, (size_t)fuzz_take(&input, 2));
      /* A copy of its exact size, so that a read beyond the end is found. */
      uint8_t *copy = malloc(request.size > 0 ? request.size : 1);
      REQUIRE(copy);
      if (request.size > 0)
         memcpy(copy, request.data, request.size);
      check_call(methods, method, store, kv_slice(copy, request.size));
      free(copy);
   }
   return 0;
}
