/*
 * Options as the user wrote them, checked against what a plug-in declares.
 *
 * Threads: any, each object by one thread at a time.
 */
#ifndef KV_SETTINGS_H
#define KV_SETTINGS_H

#include "core/support/mode_option.h"
#include "core/support/status.h"
#include "kvstore/plugin.h"

#include <stddef.h>

/* A full set: one setting for each option of a plug-in, in declaration order, defaults filled in.
 */
struct kv_settings;

/* Whether the options that a plug-in declares are usable: names, types and limits are consistent,
 * and each default passes its own check. FAILED_PRECONDITION naming the option. */
enum kv_code kv_settings_check_declaration(const kvs_plugin *plugin, struct kv_status *status);

/* INVALID_ARGUMENT for an unknown name (the text lists the valid ones with limits), a name given
 * twice, or a value outside its limits (the text names option, limit and value). `plugin` must
 * have passed kv_settings_check_declaration, and must outlive the settings. */
enum kv_code kv_settings_create(const kvs_plugin *plugin, const struct kv_mode_option *options,
                                size_t count, struct kv_settings **settings,
                                struct kv_status *status);
void kv_settings_destroy(struct kv_settings *settings);
const kvs_setting *kv_settings_array(const struct kv_settings *settings);
/* The same as options, for another instance of the plug-in and for the record. */
const struct kv_mode_option *kv_settings_options(const struct kv_settings *settings);
/* Of either. */
size_t kv_settings_count(const struct kv_settings *settings);

#endif
