/* Runs the lines of standard input, to its end or to `exit`. One thread. */
#ifndef CLIENT_PIPE_H
#define CLIENT_PIPE_H

#include "client/session.h"

/* Goes on after a line that fails, unless no server can be reached. Prints all answers before it
 * waits for input. Returns the exit code of the first line that failed. */
int pipe_run(struct session *session);

#endif
