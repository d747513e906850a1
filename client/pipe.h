/* Runs the lines of standard input, to its end or to `exit`. One thread. */
#ifndef CLIENT_PIPE_H
#define CLIENT_PIPE_H

#include "client/session.h"

/* Goes on after a failing line; only where no server can be reached the rest would fail alike. All
 * answers are printed before it waits for input. The exit code of the first line that failed. */
int pipe_run(struct session *session);

#endif
