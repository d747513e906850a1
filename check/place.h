/*
 * Where a generation keeps its data, and in which form: in its own folder, or, under the plug-in
 * encrypt, in that of the inner plug-in. Encrypted records are records like others: what holds for
 * the files of a plug-in holds for them, and none of it needs the key.
 *
 * Threads: one.
 */
#ifndef CHECK_PLACE_H
#define CHECK_PLACE_H

#include "check/reading.h"
#include "core/datadir/data_directory.h"

#include <stdbool.h>

struct place {
   enum kept kept;
   bool encrypted;
   char name[128];     /* of who keeps it, as messages of the server have it */
   const char *folder; /* of the data, below the generation's: "" when it is that itself */
};

void place_find(const struct kv_active *active, struct place *place);
/* The directory of the data in the generation's. */
void place_path(const struct place *place, const char *generation,
                char path[KV_GENERATION_PATH_SIZE]);

#endif
