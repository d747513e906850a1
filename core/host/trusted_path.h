/*
 * Opening what only root or the server's user can change.
 *
 * Whoever can replace a plug-in's file controls the server: the code runs with all its rights. So
 * the file, its directory, and every directory and link on the way there from the root must belong
 * to root or to the server's user, and others may not write them. A directory on the way may be
 * open to others where its sticky bit keeps them from replacing what is not theirs (/tmp), and to
 * its group where that is the owner's alone, as a umask of 002 makes it. Every step is taken
 * from a descriptor that has been checked, so that what is opened in the end is what was checked,
 * whatever happens to the path meanwhile.
 *
 * Threads: any.
 */
#ifndef KV_TRUSTED_PATH_H
#define KV_TRUSTED_PATH_H

#include "core/support/status.h"

#include <limits.h>

struct kv_trusted_file {
   int fd;              /* open for reading, a regular file */
   char path[PATH_MAX]; /* without links; for messages */
};

/* Opens the file `name` of `directory`, an absolute path. A link may lead to another file of the
 * same directory. KV_NOT_FOUND, without a status, when there is no such file. */
enum kv_code kv_trusted_file_open(const char *directory, const char *name,
                                  struct kv_trusted_file *file, struct kv_status *status);
void kv_trusted_file_close(struct kv_trusted_file *file);

#endif
