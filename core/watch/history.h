/*
 * The latest changes of the store, in order: what a watch sends, and what one that comes back goes
 * on with.
 *
 * Promises
 *  - It holds every change above a version, the lowest one held, and takes no more memory than it
 *    was given, but for the changes of one batch, and what readers have pinned.
 *  - Who adds to it never waits: neither for a reader nor for a lock. What is added is seen when it
 *    is published, all of a batch at once, and is held at least until the next batch is added,
 *    however large it is: a prompt reader has the time in between.
 *  - What the changes of a batch have replaced takes at most a quarter of the memory: above that it
 *    is not known. Large values that were replaced take no more than that in all: the oldest ones
 *    give way, before their changes do. So a few calls that delete a lot neither keep it in memory
 *    nor push all else out.
 *  - A reader pins the place that it reads from; what lies there and behind it stays until it
 *    unpins, although it may not be held any more. A reader is nothing but a pin: where nobody
 *    reads, nothing is kept for anybody.
 *
 * Structure: segments, a list with the oldest first. The writer fills the newest one, and drops the
 * oldest when the limit is reached. Values of KV_ENTRY_KEEP_MIN bytes or more are not copied: their
 * entries are kept. So are large previous values, in entries of their own if need be. A position is
 * the number of a segment and an offset in it, so it is known for good whether what it names is
 * held. A pin is a hazard pointer (Michael, "Hazard pointers: safe memory reclamation for lock-free
 * objects", 2004) for a segment and all those behind it.
 *
 * Threads: begin, add, publish and the other functions of the writer: one at a time, as for the
 * committer. Of a reader: its own. All else: any.
 */
#ifndef KV_HISTORY_H
#define KV_HISTORY_H

#include "core/watch/change.h"
#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_history;
struct kv_history_segment;

#define KV_HISTORY_SIZE_MIN ((size_t)1024 * 1024)

/* What a change has replaced, as who adds it knows it. */
struct kv_history_previous {
   bool existed;
   struct kv_slice value;
   const struct kv_entry *entry; /* has the value, and may be kept where that is large; or NULL */
   uint64_t version;
   int64_t expires_at;
};

/* Of at most `size` bytes, at least KV_HISTORY_SIZE_MIN, with readers 0 to `readers` - 1. It holds
 * what comes after sequence 0. NULL when memory runs out. */
struct kv_history *kv_history_create(size_t size, unsigned readers);
/* When no reader has a pin. */
void kv_history_destroy(struct kv_history *history);

/* ---- The writer ---- */

/* Drops all: what is added from now on are all changes above `sequence`. */
void kv_history_begin(struct kv_history *history, uint64_t sequence);
/* Adds a change, whose sequence is above that of the one before. `entry` has the value, or is NULL;
 * it is kept where the value is large. `previous` NULL: it is not known. Where memory runs out the
 * changes up to this one are not held any more. What is added until it is published is a batch. */
void kv_history_add(struct kv_history *history, const kvs_record *record,
                    const struct kv_entry *entry, const struct kv_history_previous *previous);
/* The state has reached that sequence without a change, if it had not. */
void kv_history_reach(struct kv_history *history, uint64_t sequence);
/* Other data took the place of all, as of that sequence: nothing up to there is held any more. */
void kv_history_replace(struct kv_history *history, uint64_t sequence);
/* Has readers see what was added. */
void kv_history_publish(struct kv_history *history);

/* ---- Any thread ---- */

/* Where the next change will be. */
uint64_t kv_history_end(const struct kv_history *history);
/* The sequence of the last change that was published. */
uint64_t kv_history_last(const struct kv_history *history);
/* The lowest version of which all changes from there on are held. */
uint64_t kv_history_lowest(const struct kv_history *history);
/* The sequence as of which other data took the place of all for the last time; 0: it never did. It
 * is known to whoever has seen that what was before is not held any more. */
uint64_t kv_history_replaced(const struct kv_history *history);
/* What it takes in memory, with what is only pinned. */
size_t kv_history_bytes(const struct kv_history *history);

/* ---- A reader ---- */

/* Where the changes from `sequence` on begin. False when they are not all held, or when it is
 * within a gap: whoever has seen the change before has seen what a crash has lost. */
bool kv_history_find(struct kv_history *history, unsigned reader, uint64_t sequence,
                     uint64_t *position);

/* A walk through changes; embedded by its user. */
struct kv_history_cursor {
   struct kv_history *history;
   const struct kv_history_segment *segment;
   unsigned reader;
   size_t offset;            /* in the segment, of the next change */
   uint64_t end;             /* what is published after the walk began is not part of it */
   uint64_t lowest_previous; /* segments below may not have what changes replaced */
};

/* Pins `position`, which the history has given, and begins there. False when it is not held any
 * more: then nothing is pinned. One walk of a reader at a time. */
bool kv_history_open(struct kv_history *history, unsigned reader, uint64_t position,
                     struct kv_history_cursor *cursor);
/* False at the end. */
bool kv_history_next(struct kv_history_cursor *cursor, struct kv_change *change);
/* Has the walk go on to what has been published by now; false: nothing was. What lies before where
 * it is need not stay any more. */
bool kv_history_go_on(struct kv_history_cursor *cursor);
/* Whether the next change is still held, and not just pinned. */
bool kv_history_is_held(const struct kv_history_cursor *cursor);
/* Where the next change is, or will be. */
uint64_t kv_history_position(const struct kv_history_cursor *cursor);
/* How many bytes were added since the next change, with it, of how many may be held (`limit`). Of
 * values that are kept it is not known where in a segment they are, so the figure lies between two,
 * which are the same where a segment begins or ends. `most` may be more by what closes one. */
struct kv_history_lag {
   size_t least, most, limit;
};
struct kv_history_lag kv_history_lag(const struct kv_history_cursor *cursor);
/* Whether who reads on from there is about to lose its place: it is far behind, and further than it
 * has been since then. One large change, or those of a large batch, put any reader far behind, and
 * one that catches up does not lag less each time. *least_lag is the reader's own, to be given each
 * time that it reads on; SIZE_MAX at first, and where it was at the end. */
bool kv_history_falls_back(const struct kv_history_cursor *cursor, size_t *least_lag);
void kv_history_close(struct kv_history_cursor *cursor);

#endif
