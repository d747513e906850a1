/*
 * What each signal does to the server. The table in signals.c is the whole truth, and that of
 * docs/stopping.md is the same one, which a test compares: every signal that a terminal, a service
 * manager, a timer or a resource limit sends stops the server in order or does nothing. What is not
 * in the table does what the system has it do: SIGKILL, SIGSTOP and SIGTSTP, those whose default is
 * nothing, and the faults of the program itself (SIGSEGV and its like).
 */
#ifndef KV_SIGNALS_H
#define KV_SIGNALS_H

#include <signal.h>

/* Ignores what is to be ignored, blocks what stops, and puts that into *stopping, to be taken with
 * sigwait. Before any other thread starts: all inherit the mask. */
void kv_signals_prepare(sigset_t *stopping);

/* "SIGTERM". */
const char *kv_signal_name(int number);

#endif
