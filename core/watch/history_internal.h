/*
 * What the writer of the history and its readers share: history.c and history_reader.c.
 *
 * Threads: what is atomic, any; of a segment all but that is constant once there is a newer one,
 * except for what only the writer looks at.
 */
#ifndef KV_HISTORY_INTERNAL_H
#define KV_HISTORY_INTERNAL_H

#include "core/support/cache_line.h"
#include "core/watch/history.h"

#include <stdatomic.h>

/* Segments held at a time. A power of two. */
#define KV_HISTORY_SLOTS 512u

#define KV_HISTORY_NO_PIN UINT64_MAX

struct kv_history_segment {
   uint64_t number;
   uint64_t before;                           /* it has changes above this sequence */
   uint64_t added_before;                     /* bytes of all changes of those before it */
   enum kv_change_kind cut;                   /* what is between the one before and it; or 0 */
   _Atomic(struct kv_history_segment *) next; /* the newer one */
   struct kv_history_segment *next_dropped;
   size_t capacity;
   size_t used;           /* the writer's, until there is a newer one */
   size_t kept, previous; /* bytes of values, and of previous ones, whose entries it keeps */
   size_t kept_count, previous_count;
   _Alignas(KV_CHANGE_ALIGNMENT) uint8_t data[];
};

struct kv_history_pin {
   _Alignas(KV_CACHE_LINE) _Atomic uint64_t number; /* of the oldest segment needed, or NO_PIN */
};

struct kv_history {
   /* Published by the writer. */
   _Alignas(KV_CACHE_LINE) _Atomic uint64_t end;
   _Atomic uint64_t added; /* bytes of all changes, ever */
   _Atomic uint64_t last;
   _Atomic uint64_t lowest;          /* version */
   _Atomic uint64_t replaced;        /* sequence; stored before `lowest` */
   _Atomic uint64_t lowest_segment;  /* its number; those below it are dropped */
   _Atomic uint64_t lowest_previous; /* the same; those below it have no previous values any more */
   _Atomic size_t bytes;
   _Atomic(struct kv_history_segment *) slots[KV_HISTORY_SLOTS];

   /* The writer's. */
   _Alignas(KV_CACHE_LINE) struct kv_history_segment *newest;
   struct kv_history_segment *oldest;
   struct kv_history_segment *with_previous; /* the oldest that has its previous values */
   struct kv_history_segment *unreleased;    /* the oldest whose previous values are still there */
   struct kv_history_segment *dropped;       /* some reader may still have them pinned */
   struct kv_history_segment *spare;         /* of the usual size, or NULL */
   uint64_t last_added;                      /* sequence */
   uint64_t added_so_far;                    /* bytes */
   enum kv_change_kind cut;                  /* what the next segment begins with; or 0 */
   size_t size_max, segment_size;
   size_t held, previous; /* bytes; those of previous values are part of what is held */
   size_t given_up;       /* bytes that are not held, but not free yet */

   /* Of the batch being added. */
   bool has_batch;
   uint64_t batch_segment; /* the number of that in which it begins */
   size_t batch_previous;  /* bytes */

   unsigned readers;
   struct kv_history_pin pins[];
};

/* A position: the number of a segment, and an offset in it. */
#define KV_HISTORY_OFFSET_BITS 32

static inline uint64_t kv_history_place(const struct kv_history_segment *segment, size_t offset)
{
   return segment->number << KV_HISTORY_OFFSET_BITS | offset;
}

#endif
