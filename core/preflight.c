#include "core/preflight.h"

#include "core/access/access.h"
#include "core/backup/folder.h"
#include "core/control/control.h"
#include "core/datadir/data_directory.h"
#include "core/host/instance.h"
#include "core/host/plugin_library.h"
#include "core/net/acceptor.h"
#include "core/net/tls.h"
#include "core/support/log.h"
#include "core/support/remove_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- The plug-in ---- */

/* `store_id` is NULL for a new store. */
static enum kv_code open_in(struct kv_plugin_library *library,
                            const struct kv_control_request *mode, const uint8_t *store_id,
                            const char *directory, struct kv_status *status)
{
   struct kv_instance_config config = {.library = library, .directory = directory};
   struct kv_instance *instance;
   if (store_id)
      memcpy(config.store_id, store_id, sizeof config.store_id);
   enum kv_code code = kv_plugin_library_find(library, mode->plugin, &config.plugin, status);
   if (code == KV_OK)
      code = kv_settings_create(config.plugin, mode->options, mode->option_count, &config.settings,
                                status);
   if (code == KV_OK)
      code = kv_instance_open(&config, &instance, status);
   if (code == KV_OK)
      kv_instance_close(instance);
   return code;
}

/* Only the plug-in itself knows what it refuses, such as a key that cannot be read. */
static enum kv_code check_plugin(struct kv_plugin_library *library,
                                 const struct kv_control_request *mode, const uint8_t *store_id,
                                 struct kv_status *status)
{
   const char *parent = getenv("TMPDIR");
   char *path;
   if (asprintf(&path, "%s/kvstore-check-XXXXXX", parent ? parent : "/tmp") < 0)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
   enum kv_code code = KV_OK;
   if (!mkdtemp(path)) {
      code =
          kv_fail_errno(status, errno, "cannot make a directory to try the plug-in in (%s)", path);
   } else {
      code = open_in(library, mode, store_id, path, status);
      if (!kv_remove_tree(path))
         kv_log(KV_LOG_WARNING, "cannot remove %s", path);
   }
   free(path);
   return code;
}

/* ---- The store ---- */

static enum kv_code check_recorded(struct kv_plugin_library *library,
                                   const struct kv_control_request *choice,
                                   const struct kv_data_directory *directory,
                                   const struct kv_active *recorded, struct kv_status *status)
{
   enum kv_code code = kv_control_check_choice(library, choice, recorded, status);
   if (code != KV_OK)
      return code;
   const struct kv_control_request mode = {recorded->plugin, recorded->options,
                                           recorded->option_count};
   return check_plugin(library, &mode, kv_data_directory_store_id(directory), status);
}

static enum kv_code check_store(const struct kv_config *config, struct kv_plugin_library *library,
                                struct kv_status *status)
{
   struct kv_control_request choice = {config->mode, config->options, config->option_count};
   struct kv_data_directory *directory;
   struct kv_active recorded = {0};
   bool found = false;
   enum kv_code code = kv_data_directory_try(config->data_dir, &directory, status);
   if (code == KV_OK && directory)
      code = kv_data_directory_inspect_active(directory, &recorded, &found, status);
   if (code == KV_OK && found) {
      code = check_recorded(library, &choice, directory, &recorded, status);
      kv_active_deinit(&recorded);
   } else if (code == KV_OK) {
      if (!choice.plugin)
         choice.plugin = KV_CONTROL_DEFAULT_MODE;
      code = check_plugin(library, &choice, NULL, status);
   }
   if (directory)
      kv_data_directory_close(directory);
   return code;
}

/* ---- The addresses ---- */

static enum kv_code check_http_address(const struct kv_config *config, struct kv_status *status)
{
   const struct kv_acceptor_handler nobody = {0};
   const struct kv_admission admission = {.socket_mode = config->socket_mode, .metrics_only = true};
   if (!config->http_listen || !config->http_listen_given)
      return KV_OK; /* a start goes on without it */
   struct kv_acceptor *acceptor = kv_acceptor_create(&nobody, &admission, status);
   if (!acceptor)
      return status->code;
   enum kv_code code = kv_acceptor_listen(acceptor, config->http_listen, NULL, status);
   kv_acceptor_destroy(acceptor);
   return code;
}

static enum kv_code check_addresses(const struct kv_config *config, struct kv_status *status)
{
   const struct kv_acceptor_handler nobody = {0};
   const struct kv_admission admission = kv_config_admission(config);
   struct kv_acceptor *acceptor = kv_acceptor_create(&nobody, &admission, status);
   if (!acceptor)
      return status->code;
   enum kv_code code = KV_OK;
   for (size_t i = 0; code == KV_OK && i < config->listen_count; i++)
      code = kv_acceptor_listen(acceptor, config->listen[i], NULL, status);
   if (code == KV_OK)
      code = check_http_address(config, status);
   kv_acceptor_destroy(acceptor);
   return code;
}

static enum kv_code check_backups(const struct kv_config *config, struct kv_status *status)
{
   struct kv_backup_folder *folder;
   if (!config->backup_dir)
      return KV_OK;
   enum kv_code code = kv_backup_folder_open(config->backup_dir, &folder, status);
   if (code == KV_OK)
      kv_backup_folder_close(folder);
   return code;
}

static enum kv_code check_tls(const struct kv_config *config, struct kv_status *status)
{
   if (!config->tls.certificate)
      return KV_OK;
   struct kv_tls *tls = kv_tls_create(&config->tls, status);
   if (!tls)
      return status->code;
   kv_tls_destroy(tls);
   return KV_OK;
}

static enum kv_code check_users(const struct kv_config *config, struct kv_status *status)
{
   if (!config->users)
      return KV_OK;
   struct kv_access *access = kv_access_create(config->users, status);
   if (!access)
      return status->code;
   kv_access_destroy(access);
   return KV_OK;
}

enum kv_code kv_preflight(const struct kv_config *config, struct kv_status *status)
{
   struct kv_plugin_library *library = kv_plugin_library_create(config->plugin_dir, status);
   if (!library)
      return status->code;
   enum kv_code code = check_store(config, library, status);
   kv_plugin_library_destroy(library);
   if (code == KV_OK)
      code = check_backups(config, status);
   if (code == KV_OK)
      code = check_tls(config, status);
   if (code == KV_OK)
      code = check_users(config, status);
   return code == KV_OK ? check_addresses(config, status) : code;
}
