/*
 * Finding and checking plug-ins: from a plain name to a descriptor that has been verified.
 *
 * A plug-in is `<name>.so` in one of the directories fixed at start. A name is lower-case letters,
 * digits, '-' and '_', never a path. Refused with a text that says what and why: unknown name
 * (lists the known ones), a file that others could replace (trusted_path.h), a link that leaves the
 * directory, no symbol, wrong ABI version (names both), missing hook, inconsistent options, a
 * descriptor whose name is not the file's.
 *
 * What runs is a private copy of the bytes that were checked (plugin_code.h). It stays mapped until
 * the process ends: its threads or thread-local data may outlive an instance, and unmapping code
 * under them crashes.
 *
 * Texts of a status may go to a client and name no path; the log has the path.
 *
 * Threads: all functions on the control thread, but for kv_plugin_library_create before it runs.
 */
#ifndef KV_PLUGIN_LIBRARY_H
#define KV_PLUGIN_LIBRARY_H

#include "core/support/status.h"
#include "kvstore/plugin.h"

#define KV_PLUGIN_NAME_SIZE_MAX 64

struct kv_plugin_library;

/* `directories`: absolute paths, or relative to the present working directory, separated by ':'.
 * One that does not exist is left out, with a warning in the log. Returns NULL with `status` when
 * none exists. */
struct kv_plugin_library *kv_plugin_library_create(const char *directories,
                                                   struct kv_status *status);
void kv_plugin_library_destroy(struct kv_plugin_library *library);

/* The checked descriptor, valid until the process ends. The first directory that has the file
 * counts. A plug-in that was accepted once stays as it is, even when its file is replaced. */
enum kv_code kv_plugin_library_find(struct kv_plugin_library *library, const char *name,
                                    const kvs_plugin **plugin, struct kv_status *status);

/* Calls `visit` for each plug-in file found, in order of name; `plugin` is NULL and `error` set for
 * one that cannot be loaded. */
void kv_plugin_library_list(struct kv_plugin_library *library,
                            void (*visit)(void *context, const char *name, const kvs_plugin *plugin,
                                          const char *error),
                            void *context);

#endif
