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
#ifndef FORMAT_RESERVE_H
#define FORMAT_RESERVE_H

#include "plugins/format/folder.h"

#include <stdbool.h>
#include <stdint.h>

struct format_reserve {
   int fd;        /* -1: none is kept */
   uint64_t size; /* allocated, from the file's beginning */
   bool unsupported;
};

void format_reserve_init(struct format_reserve *reserve);
/* Gives all back. */
void format_reserve_drop(struct format_reserve *reserve);

/* Sees to it that `least` bytes at least are kept on the file system of `folder`, and `wanted`
 * where more has to be allocated anyway; gives back what is far beyond that. KVS_OK, KVS_NO_SPACE
 * or KVS_IO; on failure what was kept still is. */
int format_reserve_keep(struct format_reserve *reserve, const struct format_folder *folder,
                        uint64_t least, uint64_t wanted, kvs_error *error);

/* Gives `size` bytes of it to the empty file open as `fd`, beyond its end, and the rest back. Where
 * that fails, the file has no room of its own. */
void format_reserve_hand_over(struct format_reserve *reserve, int fd, uint64_t size);

#endif
