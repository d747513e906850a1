/*
 * The state that a start would reach, found by loading a generation as the server would.
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

#include <stdbool.h>
#include <stdint.h>

struct start {
   struct kv_store *store; /* the data reached, empty when it is refused; the caller destroys */
   struct kv_load_report *report;
   bool refused;
   struct kv_status refusal; /* what the server would say */
   uint64_t sequence, keys, bytes;
   char digest[KV_DIGEST_TEXT_SIZE];
   const struct place *place; /* that it was read from */
};

/* Loads the generation in `directory`, which keeps its data in `place`, of a known kind. A refusal
 * is a result; the code is another than KV_OK when this program could not do its work. After
 * either, start_deinit. */
enum kv_code start_load(const char *directory, const struct place *place,
                        const uint8_t store_id[16], bool prefix, struct start *start,
                        struct kv_status *status);
void start_deinit(struct start *start);

#endif
