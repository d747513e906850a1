/*
 * The end of the process: takes the signals that stop the server, and makes sure that the process
 * ends, whatever hangs.
 *
 * A thread of its own waits for the first such signal. From then on the present step of main, and
 * each one after it, may take the time that main allows it; progress begins that time anew. When
 * a step has used up its time, the thread logs what hangs, and ends the process with
 * KV_STOP_EXIT_CODE at once: for acknowledged writes that equals a kill -9.
 *
 * Threads: kv_stop_wanted and kv_stop_progress from any; the others on that of main.
 */
#ifndef KV_STOP_H
#define KV_STOP_H

#include "core/support/status.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define KV_STOP_EXIT_CODE 3

struct kv_stop;

/* `signals` are blocked in all threads. With `reloads` a SIGHUP does not stop the server, but has
 * main read its files again. NULL with `status`. */
struct kv_stop *kv_stop_create(const sigset_t *signals, bool reloads, struct kv_status *status);
void kv_stop_destroy(struct kv_stop *stop);

/* Has `report` log what was left undone when the process is ended in the middle of a step; it runs
 * on the thread of kv_stop. NULL: nothing is reported, and no report is running any more. */
void kv_stop_report_with(struct kv_stop *stop, void (*report)(void *context), void *context);

/* main begins a step that may take `allowed_ms` once the server is to stop. The text must outlive
 * it. */
void kv_stop_step(struct kv_stop *stop, const char *step, int64_t allowed_ms);
/* The step makes progress. */
void kv_stop_progress(struct kv_stop *stop);

/* Whether a signal has come. */
bool kv_stop_wanted(struct kv_stop *stop);
enum kv_stop_event {
   KV_STOP_WANTED,
   KV_STOP_RELOAD, /* a SIGHUP has come since the last one that was reported */
   KV_STOP_NOTHING,
};
/* Waits for one of them, at most so long. */
enum kv_stop_event kv_stop_await(struct kv_stop *stop, int64_t most_ms);

#endif
