/*
 * Disk space that is held for one file, so that it can be written when the disk is full. The next
 * snapshot has such space, because a snapshot is what frees a full disk.
 *
 * The space is a file without a name, allocated and never written: it is freed however the process
 * ends. Handing it over frees it here and allocates it there, one call after the other; another
 * process could take it between the two. Where the file system has no such files, or cannot
 * allocate ahead, nothing is held and nothing fails.
 *
 * Threads: one at a time.
 */
#ifndef STORAGE_RESERVE_H
#define STORAGE_RESERVE_H

#include "storage/folder.h"

#include <stdbool.h>
#include <stdint.h>

struct storage_reserve {
   int fd;        /* -1: none is held */
   uint64_t size; /* allocated, from the file's beginning */
   bool unsupported;
};

void storage_reserve_init(struct storage_reserve *reserve);
/* Frees all of it. */
void storage_reserve_drop(struct storage_reserve *reserve);

/* Holds at least `least` bytes on the file system of `folder`, and `wanted` when it has to allocate
 * anyway; frees what is far beyond that. KVS_OK, KVS_NO_SPACE or KVS_IO; on failure what was held
 * still is. */
int storage_reserve_keep(struct storage_reserve *reserve, const struct storage_folder *folder,
                         uint64_t least, uint64_t wanted, kvs_error *error);

/* Gives `size` bytes of it to the empty file open as `fd`, beyond its end, and frees the rest.
 * Where that fails, the file has no space of its own. */
void storage_reserve_hand_over(struct storage_reserve *reserve, int fd, uint64_t size);

#endif
