/*
 * Writes a copy of a store that a server starts on: the longest prefix of its history without
 * damage or gap. The original is only read.
 *
 * Threads: one.
 */
#ifndef CHECK_RECOVER_H
#define CHECK_RECOVER_H

#include "check/survey.h"

/* Writes the copy to `output`, which must not exist, and adds the object "recovered" to the
 * survey's report. The copy gets its name when it is complete, durable and was read back. */
enum kv_code recover_prefix(const struct kv_data_directory *directory, const struct survey *survey,
                            const char *output, struct kv_status *status);

#endif
