/*
 * Reads a file descriptor by lines. The caller can take what has arrived without waiting, and do
 * something else before it waits.
 *
 * One thread. A line is valid until the next call.
 */
#ifndef CLIENT_LINES_H
#define CLIENT_LINES_H

#include "core/support/slice.h"

#include <stdbool.h>
#include <stddef.h>

enum lines_state {
   LINES_LINE,     /* without its newline, which the last one may lack */
   LINES_NONE_YET, /* none is complete yet; never with `wait` */
   LINES_END,
   LINES_FAILED, /* errno says why */
};

struct lines;

/* NULL when memory runs out. The descriptor stays the caller's. */
struct lines *lines_create(int file);
void lines_destroy(struct lines *lines);

/* How many lines were returned. */
size_t lines_count(const struct lines *lines);

enum lines_state lines_next(struct lines *lines, bool wait, struct kv_slice *line);

#endif
