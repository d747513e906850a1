/*
 * Killing the plug-in: a worker process drives an instance and records in shared memory how far it
 * got. The case kills it, or lets it end itself in the middle of a write, and examines what is
 * left.
 *
 * Threads: the case's main thread. One worker at a time.
 */
#ifndef SDK_CHECK_CRASH_H
#define SDK_CHECK_CRASH_H

#include "sdk/check/check.h"

#include <stdint.h>
#include <sys/types.h>

/* Written by the worker, read also after its death. */
struct crash_progress {
   _Atomic uint64_t attempted;  /* highest sequence given to on_write */
   _Atomic uint64_t acked;      /* highest for which it returned KVS_OK */
   _Atomic uint64_t checkpoint; /* highest for which a checkpoint tick returned KVS_OK */
   _Atomic uint32_t opened;     /* it has opened and loaded */
   _Atomic uint32_t finished;   /* it came to its end without being killed */
};

struct crash {
   const struct check_subject *subject;
   struct crash_progress *progress;
   int progress_fd;
   pid_t worker;
   bool resumed; /* an instance has been in use over the directory */
   char directory[CHECK_PATH_SIZE];
};

void crash_begin(struct crash *crash, const struct check_subject *subject);
/* A fresh directory. */
void crash_make_directory(struct crash *crash, const char *name);
/* Starts `worker`, a name that crash_work knows, over crash->directory. */
void crash_start(struct crash *crash, const char *worker, uint64_t number);
/* Kills it with SIGKILL. Fails the case when it has already ended, unless with success or by that
 * signal. */
void crash_kill(struct crash *crash);
/* Waits until the worker ends by itself. */
void crash_wait(struct crash *crash);

/* The cases. */
void crash_case_kill(const struct check_subject *subject);
void crash_case_joined(const struct check_subject *subject);

/* In the worker. */
void crash_work(const char *worker, struct check_subject *subject, const char *argument)
    __attribute__((noreturn));

#endif
