/*
 * The grammar of the configuration file. It is UTF-8 text; each line is by itself:
 *
 *   # comment                     from '#' or ';' at the start of a line, or after a blank, to the
 *   name = value   # comment      end of the line; lines may be indented and of any length
 *   name = "value"                a value with blanks at its ends, or with " #" in it; in quotes
 *                                 \" stands for a quote and \\ for a backslash
 *
 * Nothing else is taken: there are no sections, no continued lines and no control characters. Lines
 * end with LF or CRLF; a byte order mark at the start is skipped.
 *
 * Threads: any.
 */
#ifndef KV_CONFIG_FILE_H
#define KV_CONFIG_FILE_H

#include "core/support/status.h"

/* What a file may have. */
#define KV_CONFIG_FILE_SIZE_MAX ((size_t)1024 * 1024)

struct kv_config_line {
   const char *name, *value; /* valid during the call that gets them */
   unsigned number;          /* from 1 */
};

/* Takes a setting; its text need not say where it stands. */
typedef enum kv_code kv_config_take(void *context, const struct kv_config_line *line,
                                    struct kv_status *status);

/* Gives each setting to `take`, in order, until one fails. INVALID_ARGUMENT for what is no line of
 * a configuration file, and what `take` returns for what it refuses: the text begins with file,
 * number and text of the line. */
enum kv_code kv_config_file_read(const char *path, kv_config_take *take, void *context,
                                 struct kv_status *status);

#endif
