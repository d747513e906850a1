/*
 * A directory that is opened once, and whose files are reached by name from there. No link is
 * followed; only regular files are opened, and none blocks as a pipe would; a file is created anew,
 * never written over. The path serves messages, and to check whether a restart would still find the
 * directory.
 *
 * Every function returns a KVS_* code and fills in `error` on failure. Where access is denied, the
 * text names owner, mode and remedy.
 *
 * Threads: any; a folder changes only when it is opened and closed.
 */
#ifndef STORAGE_FOLDER_H
#define STORAGE_FOLDER_H

#include "kvstore/plugin.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* With any name behind it, a path still fits into PATH_MAX. */
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
/* Opens `name`, which may have several parts, in host->directory for reading. folder->fd is -1 when
 * it is missing. */
int storage_folder_find(const kvs_host *host, const char *name, struct storage_folder *folder,
                        kvs_error *error);
/* Opens `name` in host->directory. A missing one is made, with mode 0700 whatever the umask, unless
 * an instance has been in use there before: then KVS_CORRUPT. KVS_INVALID when it belongs to
 * neither root nor this process. */
int storage_folder_make(const kvs_host *host, const char *name, struct storage_folder *folder,
                        kvs_error *error);
/* Closes it; one without a descriptor is fine. */
void storage_folder_close(struct storage_folder *folder);

/* "PATH/NAME", for messages. */
void storage_folder_path(const struct storage_folder *folder, const char *name,
                         char path[PATH_MAX]);

/* Whether an instance has been in use over the host's directory before. */
bool storage_resumed(const kvs_host *host);

/* KVS_IO when the path no longer leads to this directory: a restart would not find what is written
 * here. */
int storage_folder_check(const struct storage_folder *folder, kvs_error *error);
/* KVS_IO when `name` is not the file that is open as `fd`, or, with -1, when it does not exist. */
int storage_folder_check_file(const struct storage_folder *folder, const char *name, int fd,
                              kvs_error *error);

/* Calls `visit` for each name in the directory but "." and "..", until it returns another code than
 * KVS_OK, which is then returned. `visit` may remove what it is given. A folder without a
 * descriptor has no names. */
typedef int storage_visit(void *context, const char *name, kvs_error *error);
int storage_folder_each(const struct storage_folder *folder, storage_visit *visit, void *context,
                        kvs_error *error);
bool storage_folder_has(const struct storage_folder *folder, const char *name);
/* The size of the file `name`; 0 when it is unknown. */
uint64_t storage_folder_size_of(const struct storage_folder *folder, const char *name);

/* Opens an existing file, and gives its size unless `size` is NULL. KVS_CORRUPT for what is no
 * regular file. */
int storage_open(const struct storage_folder *folder, const char *name, int flags, int *fd,
                 uint64_t *size, kvs_error *error);
/* Creates a file for reading and writing, with mode 0600 whatever the umask. A file of that name is
 * removed first. */
int storage_create(const struct storage_folder *folder, const char *name, int *fd,
                   kvs_error *error);
/* Creates a file with this content and makes that durable; *fd stays open. After a failure there is
 * no such file. */
int storage_create_with(const struct storage_folder *folder, const char *name, void *data,
                        size_t size, int *fd, kvs_error *error);
/* A missing file counts as removed. */
int storage_remove(const struct storage_folder *folder, const char *name, kvs_error *error);
/* Makes names created, renamed or removed in it durable. */
int storage_sync_directory(const struct storage_folder *folder, kvs_error *error);
/* Renames `from` to `to`, both within the folder, and makes that durable. */
int storage_rename_durably(const struct storage_folder *folder, const char *from, const char *to,
                           kvs_error *error);

#endif
