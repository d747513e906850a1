/*
 * All that can be said of a data directory: its record, its generations with their files, and what
 * a start would do.
 *
 * Threads: one.
 */
#ifndef CHECK_SURVEY_H
#define CHECK_SURVEY_H

#include "check/files.h"
#include "check/start.h"
#include "core/datadir/data_directory.h"

enum verdict {
   VERDICT_SOUND,
   VERDICT_EMPTY,   /* no data, and none is missing: a start would begin a store */
   VERDICT_DAMAGED, /* a start would be refused, or some file is damaged */
   VERDICT_UNKNOWN, /* the plug-in's files cannot be looked into */
};

struct surveyed_generation {
   uint64_t number;
   bool active;
   struct checked_files files;
};

struct survey {
   const char *directory;   /* the path; that of the data directory, which must stay open */
   bool recorded;           /* there is a record that can be used: */
   struct kv_active active; /* its content */
   struct place place;      /* of its generation's data */
   struct checked_store store;
   struct surveyed_generation *generations; /* ascending */
   size_t count;
   struct start start;
   enum verdict verdict;
};

/* Changes nothing. KV_OK with a survey whatever is found; another code when this program could not
 * do its work. After either, survey_deinit. */
enum kv_code survey_make(struct kv_data_directory *directory, struct survey *survey,
                         struct kv_status *status);
void survey_deinit(struct survey *survey);

/* In one word. */
const char *survey_verdict_name(enum verdict verdict);

#endif
