/*
 * What the files behind data_directory.h share. All work on files goes by name from the held
 * descriptor of the directory and follows no link; paths are for messages and for plug-ins.
 */
#ifndef KV_DATA_DIRECTORY_INTERNAL_H
#define KV_DATA_DIRECTORY_INTERNAL_H

#include "core/datadir/active_text.h"
#include "core/datadir/data_directory.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/types.h>

#define KV_LOCK_NAME "LOCK"
#define KV_ACTIVE_NAME "ACTIVE"
/* Leftovers of a kill, where they are found at a start. */
#define KV_ACTIVE_TEMPORARY "ACTIVE.tmp"
#define KV_VERSIONS_TEMPORARY "VERSIONS.tmp"
#define KV_UNNAMED_TEMPORARY "restore.tmp" /* where the file system knows only files with a name */
#define KV_GENERATION_NAME_SIZE sizeof "gen-18446744073709551615"

/* What a file is recognized by; all 0: no file. */
struct kv_file_identity {
   dev_t device;
   ino_t inode;
};

/* The record as it was last read or written, to be restored if it vanishes. */
struct kv_active_record {
   char *text; /* NULL: none is known */
   size_t size;
   struct kv_file_identity file;
   struct timespec changed;
};

struct kv_data_directory {
   char *path;  /* real path */
   char *given; /* the path as the server was given it, as will be the next one */
   int fd, lock_fd;
   bool itself_locked; /* `fd` is locked: not all file systems can */
   struct kv_file_identity self, lock;
   struct kv_active_record record;
   uint64_t known_generation; /* whose directory `generation` is; 0: none */
   struct kv_file_identity generation;
   uint8_t store_id[KV_STORE_ID_SIZE];
   bool fresh; /* there has been no ACTIVE yet */
   bool active_in_doubt;
};

/* ---- data_directory_files.c ---- */

struct kv_file_identity kv_file_identity_of(const struct stat *info);
bool kv_file_identity_equal(struct kv_file_identity a, struct kv_file_identity b);

/* Makes names created, renamed or removed in the directory durable. */
enum kv_code kv_data_directory_sync(const struct kv_data_directory *directory,
                                    struct kv_status *status);
/* openat with O_CLOEXEC, repeated when it is interrupted; -1 with errno. */
int kv_data_directory_open_at(int directory_fd, const char *name, int flags);
/* Opens an existing regular file, without following a link or waiting for the other end of a pipe;
 * -1 with errno, EINVAL for anything but a regular file. */
int kv_data_directory_open_file(const struct kv_data_directory *directory, const char *name,
                                int flags);
/* Creates a file with mode 0600 whatever the umask, opened to read and write. An existing
 * file of the name is removed, never written to; with `keep` that is EEXIST. -1 with errno. */
int kv_data_directory_create_file(const struct kv_data_directory *directory, const char *name,
                                  bool keep);
/* Opens a file to read and write, created where it is missing; -1 with errno. */
int kv_data_directory_open_or_create(const struct kv_data_directory *directory, const char *name);
/* Reads to the end, at most `capacity` bytes; how many, or -1 with errno. */
ssize_t kv_data_directory_read_file(int fd, char *data, size_t capacity);
/* Returns false with errno. */
bool kv_data_directory_write_file(int fd, const char *data, size_t size);
/* Creates the file `name`, in place of one that is there, with that content, and syncs it. */
enum kv_code kv_data_directory_write_temporary(const struct kv_data_directory *directory,
                                               const char *name, const char *text, size_t size,
                                               struct kv_status *status);
/* Lists a directory that no link leads to; NULL with errno. */
DIR *kv_data_directory_list(int directory_fd, const char *name);
/* Fails with "cannot VERB PATH/NAME" and the reason in `error_number`; where access is denied, also
 * with the owner and the remedy. An empty name is the directory itself. */
enum kv_code kv_data_directory_fail(const struct kv_data_directory *directory, int error_number,
                                    const char *verb, const char *name, struct kv_status *status);

/* ---- data_directory_access.c ---- */

/* Refuses (PERMISSION_DENIED) a directory that others may change, or that this process may not. */
enum kv_code kv_data_directory_check_access(const struct kv_data_directory *directory,
                                            struct kv_status *status);

/* ---- data_directory_lock.c ---- */

/* Both fail with FAILED_PRECONDITION when somebody else holds the directory. */
enum kv_code kv_data_directory_lock(struct kv_data_directory *directory, struct kv_status *status);
enum kv_code kv_data_directory_share_lock(struct kv_data_directory *directory,
                                          struct kv_status *status);
/* Makes sure that the file LOCK of the directory is the one that this process holds. */
enum kv_code kv_data_directory_keep_lock(struct kv_data_directory *directory,
                                         struct kv_status *status);

/* ---- active.c ---- */

/* Makes the marker STARTING durable. */
enum kv_code kv_data_directory_mark_starting(const struct kv_data_directory *directory,
                                             struct kv_status *status);
/* Makes sure that ACTIVE is the record last read or written. */
enum kv_code kv_data_directory_keep_active(struct kv_data_directory *directory,
                                           struct kv_status *status);

/* ---- generation.c ---- */

void kv_generation_name(uint64_t generation, char name[KV_GENERATION_NAME_SIZE]);
/* Finds some entry of the generation directory `name`; "" when it is empty. */
enum kv_code kv_generation_find_entry(const struct kv_data_directory *directory, const char *name,
                                      char entry[NAME_MAX + 1], struct kv_status *status);

#endif
