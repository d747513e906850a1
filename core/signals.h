/*
 * What each signal does to the server. The table in signals.c decides, and a test compares it with
 * that of docs/stopping.md: every signal that a terminal, a service manager, a timer or a resource
 * limit sends stops the server in order or does nothing. All others do what the system makes them
 * do: SIGKILL, SIGSTOP and SIGTSTP, those whose default is nothing, and the faults of the program
 * itself (SIGSEGV and its like).
 */
#ifndef KV_SIGNALS_H
#define KV_SIGNALS_H

#include <signal.h>

/* Ignores what is to be ignored, and blocks the signals that stop the server: *stopping, to be
 * taken with sigwait. Must run before any other thread starts, as all inherit the mask. */
void kv_signals_prepare(sigset_t *stopping);

/* "SIGTERM". */
const char *kv_signal_name(int number);

#endif
