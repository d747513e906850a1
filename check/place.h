/*
 * Where a generation keeps its data, and in which form: in its own directory, or, under the plug-in
 * encrypt, in that of the inner plug-in. Encrypted records are records like others: what holds for
 * the files of a plug-in holds for them, and none of it needs the key.
 *
 * Threads: one.
 */
#ifndef CHECK_PLACE_H
#define CHECK_PLACE_H

#include "core/datadir/data_directory.h"

#include <stdbool.h>

/* What a plug-in keeps. */
enum kept {
   KEPT_UNKNOWN, /* a third party's plug-in: nobody else can look inside */
   KEPT_NOTHING,
   KEPT_SNAPSHOTS,
   KEPT_JOURNAL, /* a log, and the snapshots that keep it short */
};

struct place {
   enum kept kept;
   bool encrypted;
   char plugin[65]; /* who keeps the data: the inner plug-in under encrypt */
   char name[128];  /* the same, as messages of the server have it */
   const char
       *to_files; /* what paths below the generation's directory begin with: "inner/" or "" */
};

void place_find(const struct kv_active *active, struct place *place);
/* The directory of the data in the generation's. */
void place_path(const struct place *place, const char *generation,
                char path[KV_GENERATION_PATH_SIZE]);

#endif
