/*
 * A page in Prometheus' text format, put together family by family in memory.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * Promises
 *  - Each family has its HELP and TYPE, once, before its samples.
 *  - Label values are escaped; whole numbers below 2^53 are written exactly.
 *  - When memory runs out the page is given up as a whole, never cut.
 *
 * Threads: one at a time.
 */
#ifndef KV_METRICS_EXPOSITION_H
#define KV_METRICS_EXPOSITION_H

#include "core/support/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed by its owner, who frees `text`. */
struct kv_exposition {
   char *text; /* NULL after a failure */
   size_t size, capacity;
   bool failed;
   const char *family; /* the one that is being written; the caller's text */
};

struct kv_label {
   const char *name, *value; /* name NULL: no label */
};

/* Labels of a sample. */
#define KV_LABELS_MAX 2
struct kv_labels {
   struct kv_label items[KV_LABELS_MAX];
};
#define KV_NO_LABELS ((struct kv_labels){0})
#define KV_LABEL(name, value) ((struct kv_labels){{{(name), (value)}}})

/* `type`: "counter", "gauge" or "histogram". */
void kv_exposition_family(struct kv_exposition *page, const char *name, const char *type,
                          const char *help);
/* A sample of the family. */
void kv_exposition_sample(struct kv_exposition *page, const struct kv_labels *labels, double value);

/* What a histogram's counts are of. */
struct kv_exposition_scale {
   struct kv_histogram_shape shape;
   size_t first, step,
       last;    /* bucket `first` and each `step` behind it ends a bucket of the page */
   double unit; /* what 1 is, in the unit of the family */
};

/* The samples of a histogram of the family. A count in a bucket is of a value less one, so that a
 * bucket ends at the value behind it. `labels` has at most one. */
void kv_exposition_histogram(struct kv_exposition *page, const struct kv_labels *labels,
                             const struct kv_exposition_scale *scale, const uint64_t *counts,
                             double sum);

/* A family with one sample. */
void kv_exposition_gauge(struct kv_exposition *page, const char *name, const char *help,
                         double value);
void kv_exposition_counter(struct kv_exposition *page, const char *name, const char *help,
                           double value);

#endif
