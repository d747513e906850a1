/*
 * The files of one generation, each looked at for itself, also those that a start would not read.
 *
 * Threads: one.
 */
#ifndef CHECK_FILES_H
#define CHECK_FILES_H

#include "core/support/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which of the plug-in's directories a file is in, also under the inner plug-in's. */
enum file_area { AREA_OTHER, AREA_LOG, AREA_SNAPSHOTS };

enum file_kind {
   FILE_UNKNOWN,
   FILE_SNAPSHOT,
   FILE_SEGMENT,
   FILE_TORN,      /* an unfinished write that a start has cut off */
   FILE_LEFTOVER,  /* of an unfinished creation */
   FILE_KEY_CHECK, /* whether it opens with the key is for the plug-in to say */
};

enum file_state { STATE_NOT_CHECKED, STATE_SOUND, STATE_TORN, STATE_DAMAGED };

struct checked_file {
   char *path; /* below the generation's directory */
   enum file_area area;
   enum file_kind kind;
   enum file_state state;
   bool inner; /* of the inner plug-in of encrypt */
   uint64_t bytes;
   char *finding; /* NULL: nothing to say */
   /* Of snapshots and segments: */
   uint64_t records, sequence;
   /* Of segments: */
   uint64_t marks, first_sequence;
   uint64_t end;      /* of the last valid record */
   uint64_t data_end; /* of all that is not reserved space */
   uint32_t chain;    /* checksum up to `end` */
};

struct checked_files {
   struct checked_file *items; /* in the order of their paths */
   size_t count, damaged;
};

/* Whose files they are. */
struct checked_store {
   bool known; /* recorded, or found in a file */
   uint8_t id[16];
};

/* `look_inside` is false for a plug-in whose formats are not known. A store that is not known
 * becomes that of the first file that bears a UUID. `files` is empty before; after any code,
 * files_deinit. */
enum kv_code files_check(const char *directory, bool look_inside, struct checked_store *store,
                         struct checked_files *files, struct kv_status *status);
void files_deinit(struct checked_files *files);

const char *files_state_name(enum file_state state);

/* The area of a file by its path below the generation's directory. */
enum file_area files_area(const char *path);

#endif
