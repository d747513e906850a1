/*
 * Which lines of the log are left out because there were too many like them. A line counts twice:
 * with those of the same text, where words with digits in them are all the same, and with those of
 * the same origin, whatever their text. Each has a supply that is used up by a burst and comes back
 * with time, so that whoever can cause a line, and choose its text, cannot fill a disk with it.
 *
 * What is left out is counted, and kv_log_limit_report reports it.
 *
 * Threads: one at a time; the caller locks.
 */
#ifndef KV_LOG_LIMIT_H
#define KV_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lines of one text: enough for whatever is done by hand, or by a test. */
#define KV_LOG_TEXT_BURST 20
#define KV_LOG_TEXT_INTERVAL_MS 1000
/* Lines of one origin. */
#define KV_LOG_ORIGIN_BURST 100
#define KV_LOG_ORIGIN_INTERVAL_MS 100
/* A report of what was left out comes after this time at the earliest. */
#define KV_LOG_REPORT_INTERVAL_MS 5000

#define KV_LOG_LIMITS 64 /* texts and origins that are remembered; beyond, the oldest is not */
#define KV_LOG_SAMPLE_SIZE 160

struct kv_log_allowance {
   uint64_t key; /* 0: unused */
   uint64_t used_ms;
   uint64_t credit_ms; /* each line takes an interval of it */
   uint64_t first_left_out_ms;
   uint64_t left_out;
   char sample[KV_LOG_SAMPLE_SIZE]; /* of what was left out: the first one */
};

/* All zeroes at first. */
struct kv_log_limit {
   struct kv_log_allowance allowances[KV_LOG_LIMITS];
   uint64_t forgotten; /* left out, and its sample has made way for another */
};

/* Whether the line may be written; else it has been counted. `origin` is not 0. */
bool kv_log_limit_admit(struct kv_log_limit *limit, uint64_t origin, const char *text,
                        uint64_t now_ms);

/* Whether anything waits to be reported. */
bool kv_log_limit_pending(const struct kv_log_limit *limit);

/* Fills in a message about lines that were left out, if one is due by now, or, with `all`, if
 * there is any. Call it until it returns false. */
bool kv_log_limit_report(struct kv_log_limit *limit, uint64_t now_ms, bool all, char *message,
                         size_t size);

#endif
