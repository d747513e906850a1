/*
 * The code of a plug-in, mapped from a private copy.
 *
 * The bytes of an opened file are copied into memory and sealed there, and the dynamic linker maps
 * that copy: overwriting the file of a loaded plug-in changes nothing, where a mapping of the file
 * itself would end the process by SIGBUS; and what runs is what the descriptor led to when it was
 * checked. The linker reaches the copy through /proc. Where there is no /proc, or the system denies
 * such memory, the file itself is mapped and the log says so.
 *
 * Debuggers and /proc/PID/maps show the copy as /memfd:NAME.so, and the linker's name for it is
 * /proc/PID/fd/N, which leads to it as long as the process lives.
 *
 * Threads: the control thread.
 */
#ifndef KV_PLUGIN_CODE_H
#define KV_PLUGIN_CODE_H

#include "core/host/trusted_path.h"
#include "core/support/status.h"

#include <stdint.h>

/* What a plug-in's file may have. */
#define KV_PLUGIN_FILE_SIZE_MAX ((uint64_t)1 << 30)

struct kv_plugin_bytes {
   int copy; /* -1: only the file itself can be mapped */
   uint64_t digest;
};

struct kv_plugin_code {
   void *handle;
   int copy;
   char *name; /* by which the linker knows it */
};

/* Reads the file. Equal digests mean equal bytes. */
enum kv_code kv_plugin_bytes_read(const char *name, const struct kv_trusted_file *file,
                                  struct kv_plugin_bytes *bytes, struct kv_status *status);
void kv_plugin_bytes_drop(struct kv_plugin_bytes *bytes);

/* Maps it, resolving every symbol. Takes over `bytes`. The texts name no path. */
enum kv_code kv_plugin_code_map(const char *name, const struct kv_trusted_file *file,
                                struct kv_plugin_bytes *bytes, struct kv_plugin_code *code,
                                struct kv_status *status);
/* A library can refuse to be unmapped; then its copy stays too. */
void kv_plugin_code_unmap(struct kv_plugin_code *code);

#endif
