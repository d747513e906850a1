/*
 * The prompt: a line with history, and completion of command names with TAB. ^C drops the line, ^D
 * on an empty one is the end of input.
 *
 * One thread. The history is kept in a file (client/history.h); when that is impossible, the editor
 * says so on standard error and works without.
 */
#ifndef CLIENT_EDITOR_H
#define CLIENT_EDITOR_H

#include <stdbool.h>
#include <stddef.h>

struct editor;

/* NULL when the terminal cannot be used or memory runs out. */
struct editor *editor_create(const char *prompt);
void editor_destroy(struct editor *editor);

/* The next line without its newline, valid until the next call; NULL at the end of input. */
const char *editor_read(struct editor *editor, size_t *size);
/* The same for the answer to a question of a command, with a place in the history only if it is to
 * be remembered; NULL also where ^C declines to answer. */
const char *editor_ask(struct editor *editor, const char *question, bool remembered, size_t *size);

#endif
