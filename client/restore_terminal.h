/*
 * Gives the terminal back as it was found when a signal ends or stops the program. For modes that
 * are set for longer than libedit reads a line, which takes care of itself.
 *
 * Called once, by the main thread. A handler has no argument to carry state, so this module alone
 * keeps some of its own.
 */
#ifndef CLIENT_RESTORE_TERMINAL_H
#define CLIENT_RESTORE_TERMINAL_H

#include <stdbool.h>

/* From here on; standard input is the terminal. False with errno where it is none. */
bool restore_terminal_on_signals(void);

#endif
