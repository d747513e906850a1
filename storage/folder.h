/*
 * A directory that is opened once, and everything in it reached by name from there: no link is
 * followed, only regular files are opened and none of them waits for another end, and nothing is
 * written to that was there before and is not the caller's. The path is for messages, and to tell
 * whether a restart would still find the directory.
 *
 * Every function returns a KVS_* code and fills in `error` on failure. What may not be opened is
 * reported with its owner, its mode and what to do.
 *
 * Threads: any; a folder changes only when it is opened and closed.
 */
#ifndef STORAGE_FOLDER_H
#define STORAGE_FOLDER_H

#include "kvstore/plugin.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* Leaves room for any name in PATH_MAX. */
#define STORAGE_FOLDER_PATH_SIZE (PATH_MAX - NAME_MAX - 1)

struct storage_folder {
   int fd; /* -1: there is none */
   char path[STORAGE_FOLDER_PATH_SIZE];
};

/* Opens the directory at `path`, which exists. */
int storage_folder_open(const char *path, struct storage_folder *folder, kvs_error *error);
/* Opens the directory `name` in another one. */
int storage_folder_enter(const struct storage_folder *parent, const char *name,
                         struct storage_folder *folder, kvs_error *error);
/* Opens `name`, which may have several parts, in host->directory to be read. Where it is missing,
 * folder->fd is -1. */
int storage_folder_find(const kvs_host *host, const char *name, struct storage_folder *folder,
                        kvs_error *error);
/* Opens `name` in host->directory, made with mode 0700 whatever the umask where it is missing:
 * KVS_CORRUPT when an instance has been in use there before. KVS_INVALID when it belongs to neither
 * root nor this process. */
int storage_folder_make(const kvs_host *host, const char *name, struct storage_folder *folder,
                        kvs_error *error);
/* Closes it; one without a descriptor is fine. */
void storage_folder_close(struct storage_folder *folder);

/* "PATH/NAME", for messages. */
void storage_folder_path(const struct storage_folder *folder, const char *name,
                         char path[PATH_MAX]);

/* Whether an instance has been in use over the host's directory before. */
bool storage_resumed(const kvs_host *host);

/* KVS_IO when the path leads to another directory by now, or nowhere: what is written here would
 * not be found again. */
int storage_folder_check(const struct storage_folder *folder, kvs_error *error);
/* KVS_IO when `name` is not the file that is open as `fd`, or, with -1, is not there. */
int storage_folder_check_file(const struct storage_folder *folder, const char *name, int fd,
                              kvs_error *error);

/* Calls `visit` for each name in the directory but "." and "..", until it returns another code than
 * KVS_OK, which is then returned. `visit` may remove what it is given. A folder without a
 * descriptor has no names. */
typedef int storage_visit(void *context, const char *name, kvs_error *error);
int storage_folder_each(const struct storage_folder *folder, storage_visit *visit, void *context,
                        kvs_error *error);
bool storage_folder_has(const struct storage_folder *folder, const char *name);
/* The size of the file `name`; 0 when it cannot be told. */
uint64_t storage_folder_size_of(const struct storage_folder *folder, const char *name);

/* Opens a file that is there. KVS_CORRUPT for what is no regular file. */
int storage_open(const struct storage_folder *folder, const char *name, int flags, int *fd,
                 kvs_error *error);
/* Creates a file to be read and written, with mode 0600 whatever the umask. What bears the name is
 * removed first. */
int storage_create(const struct storage_folder *folder, const char *name, int *fd,
                   kvs_error *error);
/* What is not there is removed. */
int storage_remove(const struct storage_folder *folder, const char *name, kvs_error *error);
/* Makes names created, renamed or removed in it durable. */
int storage_sync_directory(const struct storage_folder *folder, kvs_error *error);
/* Renames `from` to `to`, both within the folder, and makes that durable. */
int storage_rename_durably(const struct storage_folder *folder, const char *from, const char *to,
                           kvs_error *error);

#endif
