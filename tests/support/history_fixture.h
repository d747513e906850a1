/*
 * What the tests of the history of changes share. A check that fails ends the test.
 */
#ifndef TESTS_HISTORY_FIXTURE_H
#define TESTS_HISTORY_FIXTURE_H

#include "core/watch/history.h"

#define HISTORY_READERS 2u
#define HISTORY_FILL_BATCH 50

/* *state: a history of KV_HISTORY_SIZE_MIN bytes. */
int history_set_up(void **state);
int history_tear_down(void **state);

kvs_record history_set_record(uint64_t sequence, const char *key, const void *value, size_t size);
void history_add_set(struct kv_history *history, uint64_t sequence, const char *key,
                     const char *value);
/* Adds sets of 1,000 bytes up to a sequence, as one batch that is not published yet. */
void history_fill_batch(struct kv_history *history, uint64_t from, uint64_t to);
/* The same, and publishes them, in batches that are not large. */
void history_fill(struct kv_history *history, uint64_t from, uint64_t to);

/* Of reader 0. */
struct kv_history_cursor history_open_at(struct kv_history *history, uint64_t sequence);
/* Reads on; returns how many changes there are, which follow each other without a gap. */
unsigned history_count_to_the_end(struct kv_history_cursor *cursor);

#endif
