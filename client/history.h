/*
 * The file of the prompt's history. Each line is appended when it is entered, under a lock, so that
 * none is lost however the program ends, and several prompts can share the file. A file that is not
 * a history is never written to.
 *
 * The format is libedit's, which reads the file. One thread. Prints nothing.
 */
#ifndef CLIENT_HISTORY_H
#define CLIENT_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

struct history_file;

struct history_problem {
   char text[512];
};

/* Opens the file named by KVSTORE_HISTORY (empty: none), else one in the user's state directory,
 * else in the home directory; creates it, for its owner alone. A long one is cut down to the newest
 * `lines_max` lines. NULL when no history is kept: with an empty text because none is wanted, else
 * with the reason. */
struct history_file *history_open(size_t lines_max, struct history_problem *problem);
void history_close(struct history_file *file);

const char *history_path(const struct history_file *file);

/* Appends a line that ends in a newline. Returns false when that fails. */
bool history_append(struct history_file *file, const char *line);

#endif
