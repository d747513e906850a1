/*
 * Writes all data of a store into a fresh generation, so that the plug-in named starts on it.
 *
 * Threads: one.
 */
#ifndef CHECK_WRITING_H
#define CHECK_WRITING_H

#include "check/reading.h"

/* Its checkpoint, at once after the load of the empty directory, is what is written. `name` must
 * outlive the plug-in. Not for KEPT_UNKNOWN. */
kvs_plugin writing_plugin(enum kept kept, const char *name);

#endif
