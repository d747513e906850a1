/*
 * The files of one generation, each looked at for itself, also those that a start would not read.
 *
 * Threads: one.
 */
#ifndef CHECK_FILES_H
#define CHECK_FILES_H

#include "core/support/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Adds an object for each file below `directory` to the array `files`: file, kind ("snapshot",
 * "segment", "torn", "left-over", "key check", "unknown"), bytes, state ("sound", "torn",
 * "damaged", "not checked"), and where it applies records, marks, first_sequence, sequence, end,
 * data_end, chain, finding. `look_inside` is false for a plug-in whose formats are not known.
 * *damaged counts. */
enum kv_code files_check(const char *directory, const uint8_t store_id[16], bool look_inside,
                         json_t *files, unsigned *damaged, struct kv_status *status);

/* The path of a file below the folder of the plug-in that wrote it: that of a generation, or of the
 * inner plug-in in it. */
const char *files_place(const char *file);

/* Finds the UUID that the files below `directory` bear, of the first that has one. */
bool files_store_id(const char *directory, uint8_t store_id[16]);

#endif
