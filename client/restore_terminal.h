/*
 * Restores the terminal's modes when a signal ends or stops the program: for modes that stay beyond
 * the reading of a line, which libedit takes care of itself.
 *
 * Called once, by the main thread. A signal handler has no context argument, so this module keeps
 * static state.
 */
#ifndef CLIENT_RESTORE_TERMINAL_H
#define CLIENT_RESTORE_TERMINAL_H

#include <stdbool.h>

/* From now on, to the modes of now. Returns false with errno when standard input is no terminal. */
bool restore_terminal_on_signals(void);

#endif
