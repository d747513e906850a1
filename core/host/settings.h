/*
 * Options as the user wrote them, checked against what a plug-in declares.
 *
 * Threads: any, each object by one thread at a time.
 */
#ifndef KV_SETTINGS_H
#define KV_SETTINGS_H

#include "core/support/status.h"
#include "kvstore/plugin.h"

#include <stddef.h>

/* One "name = value" as given; borrowed. */
struct kv_option {
   const char *name, *value;
};

/* A full set: one setting for each option of a plug-in, in declaration order, defaults filled in.
 */
struct kv_settings;

/* INVALID_ARGUMENT for an unknown name (the text lists the valid ones with bounds), a name given
 * twice, or a value that breaks its bounds (the text names option, bound and value). */
enum kv_code kv_settings_create(const kvs_plugin *plugin, const struct kv_option *options,
                                size_t count, struct kv_settings **settings,
                                struct kv_status *status);
void kv_settings_destroy(struct kv_settings *settings);
const kvs_setting *kv_settings_array(const struct kv_settings *settings);
size_t kv_settings_count(const struct kv_settings *settings);

#endif
