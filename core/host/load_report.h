/*
 * What a start has read and found, as the plug-in reported it and the host counted it: for the log,
 * for GetStatus, and for calls that are refused while the data is still loading.
 *
 * While it loads, one line of progress is logged every few seconds.
 *
 * Threads: the one that loads fills it in; kv_load_report_percent from any thread at any time;
 * everything else once the load is over.
 */
#ifndef KV_LOAD_REPORT_H
#define KV_LOAD_REPORT_H

#include "kvstore/plugin.h"

#include <stddef.h>
#include <stdint.h>

/* A report keeps this many files, the last ones, and this many of each other kind. */
#define KV_LOAD_ITEMS_MAX 256

/* As kvs_load_note, with texts that are fit to show. */
struct kv_load_item {
   char *file;
   char *text; /* "" when there is none */
   uint64_t bytes, offset, records, sequence;
};

struct kv_load_items {
   const struct kv_load_item *items;
   size_t count;   /* kept */
   uint64_t total; /* reported */
};

/* The state that was reached. */
struct kv_load_result {
   uint64_t sequence, keys, bytes;
   /* Of the same data at an earlier start, and from this one on: changes with sequences between the
    * three may have been made, and lost. */
   uint64_t known, first;
   uint64_t duration_ms;
   uint64_t records; /* handed over by the plug-in */
};

struct kv_load_report;

/* Returns NULL when memory runs out. */
struct kv_load_report *kv_load_report_create(void);
void kv_load_report_destroy(struct kv_load_report *report);

/* The time counts from here instead of from the creation. */
void kv_load_report_begin(struct kv_load_report *report);
/* For the host's callbacks. A note is lost when memory runs out. */
void kv_load_report_note(struct kv_load_report *report, const kvs_load_note *note);
void kv_load_report_count(struct kv_load_report *report, uint64_t records);
/* The load is over; `result` comes without records and time. */
void kv_load_report_finish(struct kv_load_report *report, const struct kv_load_result *result);

/* 0 to 100; -1 when the plug-in does not report it. */
int kv_load_report_percent(const struct kv_load_report *report);
/* `kind`: KVS_LOAD_FILE, KVS_LOAD_TORN or KVS_LOAD_PASSED_OVER. */
struct kv_load_items kv_load_report_items(const struct kv_load_report *report, uint32_t kind);
struct kv_load_result kv_load_report_result(const struct kv_load_report *report);

/* Logs all of it in one line. */
void kv_load_report_log(const struct kv_load_report *report, const char *mode, uint64_t generation);

#endif
