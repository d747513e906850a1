/*
 * What a start would do, found by loading a generation as the server would.
 *
 * Threads: one.
 */
#ifndef CHECK_START_H
#define CHECK_START_H

#include "check/place.h"
#include "core/host/load_report.h"
#include "core/store/store.h"
#include "core/support/digest.h"
#include "core/support/status.h"

enum start_outcome {
   START_UNKNOWN, /* only the plug-in itself can say */
   START_FRESH,   /* there is no data: a start would begin a store */
   START_REFUSED,
   START_REACHES, /* the state below */
};

struct start {
   enum start_outcome outcome;
   struct kv_status refusal; /* what the server would say */
   uint64_t sequence, keys, bytes;
   char digest[KV_DIGEST_TEXT_SIZE];
   char versions[KV_DIGEST_TEXT_SIZE]; /* a digest of theirs, to compare two states */
   struct kv_load_report *report; /* what would be cut off and passed over; NULL before a load */
};

/* Loads the generation in `directory`, which keeps its data in `place`, of a known kind, into
 * `store`, which is empty and stays so when the load is refused. A refusal is a result; the code is
 * another than KV_OK when this program could not do its work. After either, start_deinit. */
enum kv_code start_load(const char *directory, const struct place *place,
                        const uint8_t store_id[16], bool prefix, struct kv_store *store,
                        struct start *start, struct kv_status *status);
/* The same into a store that is not kept. */
enum kv_code start_try(const char *directory, const struct place *place, const uint8_t store_id[16],
                       struct start *start, struct kv_status *status);
/* Fills in what a load that reached the state of `store` would: a start of its own, without a
 * report. `sealed`: its keys are encrypted, so that none can be told to be the server's own. False
 * when memory runs out. */
bool start_describe(struct kv_store *store, bool sealed, struct start *start);
void start_deinit(struct start *start);

/* What the load has reported: KVS_LOAD_TORN or KVS_LOAD_PASSED_OVER. */
struct kv_load_items start_items(const struct start *start, uint32_t kind);

#endif
