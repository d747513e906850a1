/*
 * How far a transfer is, in a line on standard error that is written again and again; nothing where
 * that is no terminal.
 *
 * One thread.
 */
#ifndef CLIENT_PROGRESS_H
#define CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
   bool shown;
   uint64_t began_ms, shown_ms; /* monotonic */
};

void progress_begin(struct progress *progress);
/* `most`: the text "at most " before the total, where that is an estimate, else "". `total` 0: it
 * is not known. */
void progress_show(struct progress *progress, uint64_t bytes, uint64_t total, const char *most);
/* Takes the line away. */
void progress_end(const struct progress *progress);
/* Puts a text in its place. */
void progress_say(struct progress *progress, const char *text);

#endif
