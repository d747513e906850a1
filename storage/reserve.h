/*
 * Room on the disk that is kept for one file, so that it can be written when the disk has become
 * full meanwhile. The next snapshot has such room: it is what frees a full disk.
 *
 * The room is a file without a name, allocated and never written: whatever ends the process gives
 * it back. It is handed over by freeing it here and allocating it there, one call after the other;
 * another process can come between, but has to hit that moment. Where the file system has no such
 * files, or cannot allocate ahead, nothing is kept and nothing fails.
 *
 * Threads: one at a time.
 */
#ifndef STORAGE_RESERVE_H
#define STORAGE_RESERVE_H

#include "storage/folder.h"

#include <stdbool.h>
#include <stdint.h>

struct storage_reserve {
   int fd;        /* -1: none is kept */
   uint64_t size; /* allocated, from the file's beginning */
   bool unsupported;
};

void storage_reserve_init(struct storage_reserve *reserve);
/* Gives all back. */
void storage_reserve_drop(struct storage_reserve *reserve);

/* Sees to it that `least` bytes at least are kept on the file system of `folder`, and `wanted`
 * where more has to be allocated anyway; gives back what is far beyond that. KVS_OK, KVS_NO_SPACE
 * or KVS_IO; on failure what was kept still is. */
int storage_reserve_keep(struct storage_reserve *reserve, const struct storage_folder *folder,
                         uint64_t least, uint64_t wanted, kvs_error *error);

/* Gives `size` bytes of it to the empty file open as `fd`, beyond its end, and the rest back. Where
 * that fails, the file has no room of its own. */
void storage_reserve_hand_over(struct storage_reserve *reserve, int fd, uint64_t size);

#endif
