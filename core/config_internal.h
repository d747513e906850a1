/*
 * The settings and how a value is applied to one, for config.c (where values come from) and
 * config_settings.c (what there is to set).
 *
 * Used by main before any thread exists.
 */
#ifndef KV_CONFIG_INTERNAL_H
#define KV_CONFIG_INTERNAL_H

#include "core/config.h"

/* Where a value came from; a later one wins. */
enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

struct reading {
   struct kv_config *config;
   enum source source;
   enum source listen_source, option_source; /* who gave the lists as they stand */
   unsigned *lines; /* of the file, where each setting stands; 0: nowhere yet */
   struct kv_status *status;
};

struct setting {
   const char *name;
   const char *argument; /* for --help; NULL: a flag without argument */
   const char *fallback; /* the default, NULL: none */
   const char *help;
   enum kv_code (*apply)(struct reading *reading, const struct setting *setting, char *value);
   size_t offset; /* of the member that apply fills in */
   uint64_t minimum, maximum;
   bool repeatable;
};

#define KV_CONFIG_SETTINGS_MAX 64

/* Whether it can be set in the environment and in the file, too. */
bool kv_setting_has_value(const struct setting *setting);

/* In the order of --help. */
extern const struct setting kv_config_settings[];
extern const size_t kv_config_setting_count;

#endif
