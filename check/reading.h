/*
 * What stands in for the recorded plug-in: loads a generation as the plug-in would, with the same
 * code, and changes nothing on disk.
 *
 * Threads: one.
 */
#ifndef CHECK_READING_H
#define CHECK_READING_H

#include "kvstore/plugin.h"

#include <stdbool.h>

/* What a plug-in keeps. */
enum kept {
   KEPT_UNKNOWN, /* a third party's plug-in: nobody else can look inside */
   KEPT_NOTHING,
   KEPT_SNAPSHOTS,
   KEPT_JOURNAL, /* a log, and the snapshots that keep it short */
};

/* By the name of the plug-in. */
enum kept kept_by(const char *plugin);

/* `name` goes into messages and must outlive the plug-in. `prefix`: go as far as the history is
 * whole; what is given up is told as KVS_LOAD_PASSED_OVER, with the highest sequence that is known
 * to be lost. Not for KEPT_UNKNOWN. */
kvs_plugin reading_plugin(enum kept kept, const char *name, bool prefix);

#endif
