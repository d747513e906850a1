/*
 * Whether a file has changed since it was read: another file in its place, another size, time,
 * owner or mode.
 *
 * Take the stamp before the file is read: what changes meanwhile then shows the next time.
 *
 * Threads: any.
 */
#ifndef KV_FILE_STAMP_H
#define KV_FILE_STAMP_H

#include <stdbool.h>
#include <sys/stat.h>

struct kv_file_stamp {
   struct stat info; /* zeroed: there was none */
};

/* Of the file as it is; `path` may be NULL: none. */
struct kv_file_stamp kv_file_stamp_take(const char *path);
bool kv_file_stamp_is_same(const struct kv_file_stamp *a, const struct kv_file_stamp *b);

#endif
