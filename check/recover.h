/*
 * Writes a copy of a store that a server starts on: the longest prefix of its history without
 * damage or gap. The original is only read.
 *
 * Threads: one.
 */
#ifndef CHECK_RECOVER_H
#define CHECK_RECOVER_H

#include "check/survey.h"

struct recovery {
   struct kv_active active; /* the survey's, or a guess */
   struct place place;
   struct start start;       /* the state in the copy; passed over: what was given up */
   uint64_t *given_up_bytes; /* of each item that was passed over */
   uint64_t known_sequence;  /* the highest that any file is known to reach */
};

/* Writes the copy to `output`, which must not exist. The copy gets its name when it is complete,
 * durable and was read back. After any code, recover_deinit. */
enum kv_code recover_prefix(const struct kv_data_directory *directory, const struct survey *survey,
                            const char *output, struct recovery *recovery,
                            struct kv_status *status);
/* Writes all of `store`, which holds the state of the sequence that its version has, as
 * recover_prefix does; `recovery` says in which mode and generation. */
enum kv_code recover_write(struct recovery *recovery, struct kv_store *store,
                           const uint8_t store_id[16], const char *output,
                           struct kv_status *status);
void recover_deinit(const struct survey *survey, struct recovery *recovery);

#endif
