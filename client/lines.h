/*
 * A file descriptor's bytes as lines, without reading more than there is: the caller can ask for
 * what has arrived, and do something else before it waits.
 *
 * One thread. A line lasts until the next call.
 */
#ifndef CLIENT_LINES_H
#define CLIENT_LINES_H

#include "core/support/slice.h"

#include <stdbool.h>

enum lines_state {
   LINES_LINE,     /* one without its newline; also what stands at the end without one */
   LINES_NONE_YET, /* none is complete, and more may come; never if told to wait */
   LINES_END,
   LINES_FAILED, /* errno says why */
};

struct lines;

/* NULL where memory is out. The descriptor stays the caller's. */
struct lines *lines_create(int file);
void lines_destroy(struct lines *lines);

enum lines_state lines_next(struct lines *lines, bool wait, struct kv_slice *line);

#endif
