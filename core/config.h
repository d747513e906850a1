/*
 * The server's configuration: flags, environment and file brought together into one checked struct.
 *
 * Every setting is a flag (--data-dir), an environment variable (KVSTORE_DATA_DIR) and a line of
 * the configuration file (data-dir = ..., see config_file.h). A flag wins over the environment, the
 * environment over the file, the file over the default. A repeatable setting (listen, option) is
 * taken whole from the strongest source that names it; in the environment its parts are separated
 * by commas, and "\," stands for a comma within one, "\\" for a backslash.
 *
 * Used by main before any thread exists.
 */
#ifndef KV_CONFIG_H
#define KV_CONFIG_H

#include "core/host/settings.h"
#include "core/net/admission.h"
#include "core/net/tls.h"
#include "core/support/log.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define KV_CONFIG_LISTEN_MAX 16
#define KV_CONFIG_OPTION_MAX 64
/* What a request needs beside a value: the key and the encoding around both. */
#define KV_CONFIG_MESSAGE_OVERHEAD ((uint64_t)128 * 1024)

struct kv_config {
   const char *listen[KV_CONFIG_LISTEN_MAX];
   size_t listen_count;
   mode_t socket_mode;
   bool insecure;
   const char *data_dir;
   const char *user;       /* whom to become; NULL: nobody else */
   const char *plugin_dir; /* one or more, separated by ':'; NULL: the installed one */
   const char *mode;       /* NULL: not given */
   struct kv_mode_option options[KV_CONFIG_OPTION_MAX]; /* of the mode */
   size_t option_count;
   uint64_t max_value_size;   /* bytes */
   uint64_t max_message_size; /* bytes, of one request */
   uint64_t max_memory;       /* bytes of keys and values; 0 = no limit */
   uint64_t max_wire_memory;  /* bytes that calls may hold */
   uint64_t watch_history;    /* bytes of changes held for watches */
   bool max_memory_given, max_wire_memory_given, watch_history_given;
   uint64_t key_cost; /* what each key counts in max_memory beside its own bytes */
   /* Of the whole process, see memory.h; 0 and NULL: none. */
   uint64_t memory_limit;
   const char *memory_limit_file;
   uint64_t reader_timeout;   /* seconds that a reply may stand still */
   struct kv_tls_options tls; /* without a certificate: no TLS */
   bool tls_client_auth;      /* was given */
   const char *http_listen;   /* of the HTTP server; NULL: there is none */
   bool http_listen_given;    /* it is not the default */
   const char *wire;          /* the engine, see kv_rpc_options */
   uint64_t workers;          /* threads that serve the wire */
   uint64_t shutdown_grace_ms;
   uint64_t shutdown_stall_ms;
   const char *users;                      /* NULL: everybody may call */
   const char *backup_dir;                 /* NULL: the server makes no backups */
   uint64_t backup_interval;               /* seconds */
   uint64_t backup_keep, backup_keep_days; /* 0: no such limit */
   uint64_t backup_rate;                   /* bytes a second; 0: no limit */
   uint64_t hook_budget;                   /* seconds, of one write to the plug-in; 0: none */
   uint64_t request_id_window;             /* seconds that a request with an id is remembered */
   uint64_t slow_ms;                       /* calls that take as long are kept; 0: none */
   enum kv_log_level log_level;
   enum kv_log_format log_format;
   bool check_only, show_help, show_version;

   char **owned; /* all text that the struct points to */
   size_t owned_count;
};

/* Reads everything and checks it. INVALID_ARGUMENT names the setting, where it was given, the value
 * and what is allowed. kv_config_deinit must be called in either case. */
enum kv_code kv_config_read(struct kv_config *config, int argc, char **argv,
                            struct kv_status *status);
void kv_config_deinit(struct kv_config *config);

struct kv_admission kv_config_admission(const struct kv_config *config);
void kv_config_print_help(FILE *out);

#endif
