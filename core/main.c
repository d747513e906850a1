/*
 * kvstore-server: creates the modules, lowest first, waits for a signal, and destroys them again.
 * Everything that lives as long as the server is owned by the one struct here.
 */
#include "core/access/access.h"
#include "core/backup/schedule.h"
#include "core/commit/commit.h"
#include "core/config.h"
#include "core/control/control.h"
#include "core/datadir/data_directory.h"
#include "core/host/plugin_library.h"
#include "core/memory.h"
#include "core/net/tls.h"
#include "core/notify.h"
#include "core/observe/observe.h"
#include "core/preflight.h"
#include "core/rpc/rpc.h"
#include "core/run_as.h"
#include "core/service/audit.h"
#include "core/service/guard.h"
#include "core/service/health.h"
#include "core/service/message.h"
#include "core/service/reflection.h"
#include "core/service/service.h"
#include "core/signals.h"
#include "core/stop.h"
#include "core/store/store.h"
#include "core/support/log.h"
#include "core/support/standard_files.h"
#include "core/telemetry/telemetry.h"
#include "core/watch/watchers.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2

#define METHODS_MAX (KV_SERVICE_METHODS_MAX + KV_HEALTH_METHODS + KV_REFLECTION_METHODS)

/* Read by jemalloc when the process starts. What a burst of large messages took goes back to the
 * system within a second or so, also when the server is idle then. Small blocks come from slabs of
 * eight pages: jemalloc keeps 128 bytes on each slab, and one page holds only 32 entries. */
extern const char *malloc_conf;
const char *malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,"
                          "slab_sizes:1-1024:8";

struct server {
   const struct kv_config *config;
   struct kv_stop *stop;
   struct kv_plugin_library *library;
   struct kv_data_directory *directory;
   struct kv_store *store;
   struct kv_commit *commit;
   struct kv_history *history;
   struct kv_watchers *watchers;
   struct kv_health *health;
   struct kv_observers observers;
   struct kv_control *control;
   struct kv_backup_schedule *backups; /* NULL: none are made */
   struct kv_access *access;           /* NULL: everybody may call */
   struct kv_guard *guard;             /* with `access` */
   struct kv_service *service;
   struct kv_reflection *reflection;
   struct kv_tls *tls;             /* NULL: none */
   struct kv_telemetry *telemetry; /* NULL: nothing is served over HTTP */
   struct kv_rpc *rpc;
   struct kv_notify *notify;     /* NULL until the data is loading */
   unsigned inherited;           /* sockets of the service manager, in place of --listen */
   const char *private_paths[3]; /* of the data directory, as given and without links; then NULL */
};

static void on_writable_changed(void *context, bool writable)
{
   struct server *server = context;
   kv_health_set(server->health, KV_HEALTH_STORE, writable);
}

static bool stop_wanted(void *context)
{
   struct server *server = context;
   return kv_stop_wanted(server->stop);
}

static void on_progress(void *context)
{
   struct server *server = context;
   kv_stop_progress(server->stop);
}

static int loaded_percent(void *context)
{
   struct server *server = context;
   return kv_load_report_percent(kv_control_load_report(server->control));
}

static void no_state(void *context, const struct kv_control_state *state)
{
   (void)context;
   (void)state;
}

/* Returns unless the control plane is locked for good. */
static void probe(void *context)
{
   struct server *server = context;
   kv_control_inspect(server->control, no_state, NULL);
}

/* ---- Up ---- */

/* Each worker reads the history for its streams, and the thread of the watchers for itself. */
static enum kv_code create_watchers(struct server *server, struct kv_status *status)
{
   const unsigned workers = (unsigned)server->config->workers;
   server->history = kv_history_create(server->config->watch_history, workers + 1);
   if (!server->history)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the history of changes");
   server->watchers = kv_watchers_create(server->history, workers, status);
   return server->watchers ? KV_OK : status->code;
}

static enum kv_code create_store(struct server *server, struct kv_status *status)
{
   const struct kv_config *config = server->config;
   server->store = kv_store_create();
   if (!server->store)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the store");
   const struct kv_commit_options options = {.workers = (unsigned)config->workers,
                                             .memory_max = config->max_memory,
                                             .key_cost = config->key_cost};
   server->commit = kv_commit_create(server->store, &options, status);
   if (!server->commit)
      return status->code;
   server->health = kv_health_create(status);
   if (!server->health || create_watchers(server, status) != KV_OK)
      return status->code;
   const struct kv_control_config control = {
       .directory = server->directory,
       .library = server->library,
       .store = server->store,
       .commit = server->commit,
       .watchers = server->watchers,
       .observer = {.context = server,
                    .writable_changed = on_writable_changed,
                    .stop_wanted = stop_wanted,
                    .progress = on_progress},
       .hook_budget_ms = config->hook_budget * 1000,
   };
   server->control = kv_control_create(&control, status);
   return server->control ? KV_OK : status->code;
}

static enum kv_code create_backups(struct server *server, struct kv_status *status)
{
   const struct kv_config *config = server->config;
   const struct kv_backup_schedule_config backups = {.directory = config->backup_dir,
                                                     .interval_s = config->backup_interval,
                                                     .keep = config->backup_keep,
                                                     .keep_days = config->backup_keep_days,
                                                     .rate = config->backup_rate};
   return config->backup_dir ? kv_backup_schedule_create(&backups, &server->backups, status)
                             : KV_OK;
}

static enum kv_code create_access(struct server *server, struct kv_status *status)
{
   if (!server->config->users)
      return KV_OK;
   server->access = kv_access_create(server->config->users, status);
   server->guard = server->access ? kv_guard_create(server->access, status) : NULL;
   return server->guard ? KV_OK : status->code;
}

static enum kv_code create_services(struct server *server, struct kv_status *status)
{
   const struct kv_config *config = server->config;
   const struct kv_service_config service = {
       .store = server->store,
       .commit = server->commit,
       .control = server->control,
       .watchers = server->watchers,
       .workers = (unsigned)config->workers,
       .value_size_max = config->max_value_size,
       .message_size_max = config->max_message_size,
       .memory_max = config->max_memory,
       .request_window_ms = (int64_t)config->request_id_window * 1000,
       .key_cost = config->key_cost,
       .memory_source = config->max_memory_given ? "max-memory" : config->memory_limit_file,
       .store_id = kv_data_directory_store_id(server->directory),
       .guard = server->guard,
       .directory = server->directory,
       .sender_timeout_ms = (int64_t)config->reader_timeout * 1000,
       .observers = &server->observers,
       .backups = server->backups,
       .private_paths = server->private_paths,
   };
   if (kv_observers_init(&server->observers, config->slow_ms, (unsigned)config->workers, status) !=
       KV_OK)
      return status->code;
   server->service = kv_service_create(&service, status);
   if (!server->service)
      return status->code;
   server->reflection = kv_reflection_create(server->guard, status);
   return server->reflection ? KV_OK : status->code;
}

static enum kv_code create_tls(struct server *server, struct kv_status *status)
{
   if (!server->config->tls.certificate)
      return KV_OK;
   server->tls = kv_tls_create(&server->config->tls, status);
   return server->tls ? KV_OK : status->code;
}

static void on_answered(void *context, const struct kv_rpc_answer *answer)
{
   struct server *server = context;
   kv_audit_answered(answer);
   kv_observers_answered(&server->observers, answer);
   if (server->telemetry)
      kv_telemetry_answered(server->telemetry, answer);
}

/* Whether each user of this machine can call the server: it asks for no token and no certificate,
 * and listens on more than Unix sockets, which have modes. */
static bool everybody_here_may_read(const struct server *server)
{
   const struct kv_config *config = server->config;
   if (server->access || config->tls.client_ca || server->inherited > 0)
      return false;
   for (size_t i = 0; i < config->listen_count; i++)
      if (strncmp(config->listen[i], "unix:", strlen("unix:")) != 0)
         return true;
   return false;
}

static enum kv_code create_telemetry(struct server *server, const struct kv_rpc_method *methods,
                                     size_t count, struct kv_status *status)
{
   const struct kv_config *config = server->config;
   const struct kv_telemetry_config telemetry = {
       .version = KVSTORE_VERSION,
       .wire = config->wire,
       .store = server->store,
       .commit = server->commit,
       .control = server->control,
       .watchers = server->watchers,
       .backups = server->backups,
       .tls = server->tls,
       .memory_max = config->max_memory,
       .workers = (unsigned)config->workers,
       .methods = methods,
       .method_count = count,
       .private_paths = server->private_paths,
       .hot = everybody_here_may_read(server) ? server->observers.hot : NULL,
       .admission = {.socket_mode = config->socket_mode, .metrics_only = true},
   };
   if (!config->http_listen)
      return KV_OK;
   server->telemetry = kv_telemetry_create(&telemetry, status);
   return server->telemetry ? KV_OK : status->code;
}

static enum kv_code create_rpc(struct server *server, struct kv_status *status)
{
   struct kv_rpc_method methods[METHODS_MAX] = {0};
   size_t count = kv_service_methods(server->service, methods);
   count += kv_health_methods(server->health, methods + count);
   count += kv_reflection_methods(server->reflection, methods + count);
   if (create_telemetry(server, methods, count, status) != KV_OK)
      return status->code;
   const struct kv_rpc_options options = {
       .admission = kv_config_admission(server->config),
       .wire = server->config->wire,
       .workers = (unsigned)server->config->workers,
       .receive_message_max = server->config->max_message_size,
       .memory_max = server->config->max_wire_memory,
       .reader_timeout_ms = (int64_t)server->config->reader_timeout * 1000,
       .turn_end = kv_service_turn_end,
       .followers_end = kv_service_end_watches,
       .context = server->service,
       .answered = on_answered,
       .observer = server,
       .describe = kv_message_describe,
       .private_paths = server->private_paths,
       .tls = server->tls,
   };
   server->rpc = kv_rpc_create(&options, methods, count, status);
   return server->rpc ? KV_OK : status->code;
}

static void log_address(const char *address, int port)
{
   if (strncmp(address, "unix:", strlen("unix:")) == 0)
      kv_log(KV_LOG_INFO, "listening on %s", address);
   else
      kv_log(KV_LOG_INFO, "listening on %.*s:%d", (int)(strrchr(address, ':') - address), address,
             port);
}

static enum kv_code listen_on_inherited(struct server *server, struct kv_status *status)
{
   for (unsigned i = 0; i < server->inherited; i++) {
      char name[32];
      int port;
      snprintf(name, sizeof name, "systemd:%u", i);
      if (kv_rpc_listen(server->rpc, name, &port, status) != KV_OK)
         return status->code;
   }
   if (kv_rpc_start(server->rpc, status) != KV_OK)
      return status->code;
   kv_log(KV_LOG_INFO, "listening on %u sockets of the service manager, in place of --listen",
          server->inherited);
   return KV_OK;
}

static enum kv_code listen_and_start(struct server *server, struct kv_status *status)
{
   int ports[KV_CONFIG_LISTEN_MAX];
   const struct kv_config *config = server->config;
   if (server->inherited > 0)
      return listen_on_inherited(server, status);
   for (size_t i = 0; i < config->listen_count; i++)
      if (kv_rpc_listen(server->rpc, config->listen[i], &ports[i], status) != KV_OK)
         return status->code;
   if (kv_rpc_start(server->rpc, status) != KV_OK)
      return status->code;
   for (size_t i = 0; i < config->listen_count; i++)
      log_address(config->listen[i], ports[i]);
   return KV_OK;
}

static void log_http_address(const char *address, int port)
{
   if (port == 0)
      kv_log(KV_LOG_INFO, "metrics are at /metrics on %s", address);
   else
      kv_log(KV_LOG_INFO, "metrics are at http://%.*s:%d/metrics",
             (int)(strrchr(address, ':') - address), address, port);
}

/* An address that nobody has asked for is no reason not to serve: several servers may run here. */
static enum kv_code serve_http(struct server *server, struct kv_status *status)
{
   const struct kv_config *config = server->config;
   int port = 0;
   if (!server->telemetry)
      return KV_OK;
   if (kv_telemetry_serve(server->telemetry, server->rpc, config->http_listen, &port, status) !=
       KV_OK) {
      if (config->http_listen_given)
         return status->code;
      kv_log(KV_LOG_WARNING, "no metrics are served: %s; give --http-listen an address, or none",
             status->text);
      return KV_OK;
   }
   log_http_address(config->http_listen, port);
   return KV_OK;
}

static enum kv_code load(struct server *server, struct kv_status *status)
{
   const struct kv_config *config = server->config;
   const struct kv_control_request choice = {config->mode, config->options, config->option_count};
   const struct kv_notify_owner owner = {server, loaded_percent, probe};
   server->notify = kv_notify_create(&owner, status);
   if (!server->notify)
      return status->code;
   if (kv_control_start(server->control, &choice, status) != KV_OK)
      return status->code;
   kv_service_set_loaded(server->service);
   if (server->telemetry)
      kv_telemetry_set_loaded(server->telemetry);
   kv_health_set(server->health, KV_HEALTH_SERVER, true);
   kv_health_set(server->health, KV_HEALTH_STORE, true);
   /* The very first write may have failed already, before the line above. */
   if (kv_commit_read_only(server->commit, NULL))
      kv_health_set(server->health, KV_HEALTH_STORE, false);
   kv_notify_ready(server->notify);
   kv_log_event(KV_LOG_INFO, "ready");
   struct kv_status failure; /* to serve without backups is better than not to serve */
   if (server->backups && kv_backup_schedule_start(server->backups, kv_service_open_backup,
                                                   server->service, &failure) != KV_OK)
      kv_log(KV_LOG_ERROR, "no backups are made: %s", failure.text);
   return KV_OK;
}

/* ---- While it serves ---- */

/* How often files are looked at that are read again when they have changed. */
#define LOOK_MS 15000

/* Serves until a signal comes that stops the server. Reading hangs where the files lie does not
 * keep it from ending: it is a step like those of the stop. */
static void await_stop(struct server *server)
{
   enum kv_stop_event event;
   kv_stop_step(server->stop, "reading certificates or users",
                (int64_t)server->config->shutdown_stall_ms);
   while ((event = kv_stop_await(server->stop, LOOK_MS)) != KV_STOP_WANTED) {
      if (event == KV_STOP_RELOAD)
         kv_notify_reloading();
      if (server->tls && event == KV_STOP_RELOAD)
         kv_tls_reload(server->tls);
      else if (server->tls)
         kv_tls_look(server->tls);
      if (server->access)
         kv_access_look(server->access, event == KV_STOP_RELOAD);
      if (event == KV_STOP_RELOAD)
         kv_notify_ready(server->notify);
   }
}

/* ---- Down ---- */

static void log_hook(void *context, const char *text)
{
   (void)context;
   kv_log(KV_LOG_ERROR, "%s", text);
}

static void log_kept(void *context, const struct kv_control_state *state)
{
   (void)context;
   if (!state->plugin)
      kv_log(KV_LOG_INFO, "nothing was written since the start");
   else if (state->plugin->promise == KVS_DURABLE)
      kv_log(KV_LOG_INFO, "mode %s keeps all that was acknowledged, as its options say",
             state->plugin->name);
   else
      kv_log(KV_LOG_WARNING,
             "mode %s keeps what it had in its last checkpoint (sequence %" PRIu64
             " since the start; 0 = none)",
             state->plugin->name, state->last_save_sequence);
}

/* What hangs, and what of the data is kept, when the process ends before it is done. */
static void report_hanging(void *context)
{
   struct server *server = context;
   kv_control_hooks(server->control, true, log_hook, NULL);
   kv_control_inspect(server->control, log_kept, NULL);
}

/* Finishes the calls in flight, then lets the plug-in take its last checkpoint. */
static enum kv_code drain(struct server *server, struct kv_status *status)
{
   int64_t grace_ms = (int64_t)server->config->shutdown_grace_ms;
   int64_t stall_ms = (int64_t)server->config->shutdown_stall_ms;
   kv_stop_step(server->stop, "finishing the calls in flight", grace_ms + stall_ms);
   kv_notify_stopping(server->notify);
   if (server->telemetry)
      kv_telemetry_set_stopping(server->telemetry);
   kv_health_drain(server->health);
   kv_service_drain(server->service);
   kv_control_wind_down(server->control); /* a backup may be waiting for it */
   if (server->backups)
      kv_backup_schedule_stop(server->backups);
   if (server->guard)
      kv_guard_release(server->guard);
   kv_rpc_stop(server->rpc, grace_ms);
   kv_stop_step(server->stop, "the last checkpoint", stall_ms);
   return kv_control_stop(server->control, status);
}

static void destroy(struct server *server)
{
   kv_stop_step(server->stop, "closing what is open", (int64_t)server->config->shutdown_stall_ms);
   if (server->notify)
      kv_notify_destroy(server->notify);
   if (server->telemetry)
      kv_telemetry_stop(server->telemetry);
   if (server->rpc)
      kv_rpc_destroy(server->rpc);
   if (server->telemetry)
      kv_telemetry_destroy(server->telemetry);
   if (server->tls)
      kv_tls_destroy(server->tls);
   if (server->reflection)
      kv_reflection_destroy(server->reflection);
   if (server->backups)
      kv_backup_schedule_stop(server->backups);
   if (server->service)
      kv_service_destroy(server->service);
   kv_observers_deinit(&server->observers);
   if (server->guard)
      kv_guard_destroy(server->guard);
   if (server->access)
      kv_access_destroy(server->access);
   if (server->backups)
      kv_backup_schedule_destroy(server->backups);
   if (server->commit)
      kv_commit_destroy(server->commit);
   /* A hook may hang in there, too; the report about it reads the control plane. */
   if (server->control)
      kv_control_close(server->control);
   kv_stop_report_with(server->stop, NULL, NULL);
   if (server->control)
      kv_control_destroy(server->control);
   if (server->watchers)
      kv_watchers_destroy(server->watchers);
   if (server->history)
      kv_history_destroy(server->history);
   if (server->health)
      kv_health_destroy(server->health);
   if (server->store)
      kv_store_destroy(server->store);
   if (server->directory)
      kv_data_directory_close(server->directory);
   if (server->library)
      kv_plugin_library_destroy(server->library);
}

/* ---- The program ---- */

static enum kv_code build(struct server *server, struct kv_status *status)
{
   server->library = kv_plugin_library_create(server->config->plugin_dir, status);
   if (!server->library)
      return status->code;
   const char *given = server->config->data_dir;
   enum kv_code code = kv_data_directory_open(given, &server->directory, status);
   if (code == KV_OK) {
      server->private_paths[0] = kv_data_directory_path(server->directory);
      server->private_paths[1] = given[0] == '/' ? given : NULL;
      code = create_store(server, status);
   }
   if (code == KV_OK)
      code = create_backups(server, status);
   if (code == KV_OK)
      code = create_access(server, status);
   if (code == KV_OK)
      code = create_services(server, status);
   if (code == KV_OK)
      code = create_tls(server, status);
   if (code == KV_OK)
      code = create_rpc(server, status);
   return code;
}

/* Loads, serves until a signal comes, and stops. */
static enum kv_code run_loaded(struct server *server, struct kv_status *status)
{
   kv_stop_step(server->stop, "loading the data", (int64_t)server->config->shutdown_stall_ms);
   kv_stop_report_with(server->stop, report_hanging, server);
   if (load(server, status) == KV_OK) {
      await_stop(server);
      return drain(server, status);
   }
   if (server->guard)
      kv_guard_release(server->guard);
   kv_rpc_stop(server->rpc, 0);
   if (status->code != KV_CANCELLED || !kv_stop_wanted(server->stop))
      return status->code;
   kv_log(KV_LOG_INFO, "stopped before the data was loaded: %s", status->text);
   return KV_OK;
}

static enum kv_code serve(const struct kv_config *config, const sigset_t *signals,
                          struct kv_status *status)
{
   /* A service has no terminal that could be closed. */
   const bool reloads = config->tls.certificate || config->users || kv_notify_is_managed();
   struct server server = {.config = config, .stop = kv_stop_create(signals, reloads, status)};
   if (!server.stop)
      return status->code;
   kv_stop_step(server.stop, "starting", (int64_t)config->shutdown_stall_ms);
   enum kv_code code = kv_notify_sockets(&server.inherited, status);
   if (code == KV_OK)
      code = build(&server, status);
   if (code == KV_OK) {
      kv_log(KV_LOG_INFO, "kvstore-server " KVSTORE_VERSION ", process %d, data in %s", getpid(),
             config->data_dir);
      kv_memory_log(config);
      if (geteuid() == 0)
         kv_log(KV_LOG_WARNING,
                "the server runs as root, which it does not need; start it with --user USER, or "
                "as another user");
      code = listen_and_start(&server, status);
      if (code == KV_OK)
         code = serve_http(&server, status);
   }
   if (code == KV_OK)
      code = run_loaded(&server, status);
   destroy(&server);
   kv_stop_destroy(server.stop);
   return code;
}

/* The directory of the plug-ins beside the program, so that a tree works that was moved, or
 * installed under another prefix than it was built for. The caller frees it; NULL when there is
 * none. */
static char *find_plugin_dir(void)
{
   char program[PATH_MAX], beside[2 * PATH_MAX];
   ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
   char *slash = size > 0 ? memrchr(program, '/', (size_t)size) : NULL;
   if (!slash || !KVSTORE_PLUGIN_DIR_FROM_PROGRAM[0])
      return NULL;
   *slash = '\0';
   snprintf(beside, sizeof beside, "%s/%s", program, KVSTORE_PLUGIN_DIR_FROM_PROGRAM);
   return realpath(beside, NULL);
}

/* A log that nobody reads delays nothing, not even the end of the process. */
#define LOG_PATIENCE_MS 1000

static int fail(const struct kv_status *status, int exit_code)
{
   kv_log(KV_LOG_ERROR, "%s", status->text);
   return exit_code;
}

static int run(const struct kv_config *config)
{
   if (config->show_help) {
      kv_config_print_help(stdout);
      return EXIT_SUCCESS;
   }
   if (config->show_version) {
      puts("kvstore-server " KVSTORE_VERSION);
      return EXIT_SUCCESS;
   }
   struct kv_status status;
   kv_log_set_level(config->log_level);
   kv_log_set_format(config->log_format);
   if (config->user && kv_run_as(config->user, &status) != KV_OK)
      return fail(&status, EXIT_USAGE);
   if (config->check_only) {
      if (kv_preflight(config, &status) != KV_OK)
         return fail(&status, EXIT_USAGE);
      puts("the configuration is valid");
      return EXIT_SUCCESS;
   }

   sigset_t signals;
   kv_signals_prepare(&signals);
   if (kv_log_start(&status) != KV_OK || serve(config, &signals, &status) != KV_OK)
      return fail(&status, EXIT_FAILURE);
   kv_log(KV_LOG_INFO, "stopped");
   return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
   if (!kv_standard_files_occupy())
      return EXIT_FAILURE;
   struct kv_config config;
   struct kv_memory_limit memory;
   struct kv_status status;
   int exit_code = EXIT_USAGE;
   char *installed = NULL;
   if (kv_config_read(&config, argc, argv, &status) == KV_OK) {
      if (!config.plugin_dir)
         config.plugin_dir = installed = find_plugin_dir();
      if (!config.plugin_dir)
         config.plugin_dir = KVSTORE_PLUGIN_DIR;
      kv_memory_limit_find("", &memory);
      kv_memory_share(&memory, &config);
      exit_code = run(&config);
      kv_log_stop(LOG_PATIENCE_MS);
   } else {
      fprintf(stderr, "kvstore-server: %s\nTry: kvstore-server --help\n", status.text);
   }
   kv_config_deinit(&config);
   free(installed);
   return exit_code;
}
