/*
 * All that can be said of a data directory: its record, its generations with their files, and the
 * state that a start would reach. docs/kvstore-check.md describes the fields of the report.
 *
 * Threads: one.
 */
#ifndef CHECK_SURVEY_H
#define CHECK_SURVEY_H

#include "check/place.h"
#include "core/datadir/data_directory.h"

#include <jansson.h>

enum verdict {
   VERDICT_SOUND,
   VERDICT_DAMAGED, /* a start would refuse, or some file is damaged */
   VERDICT_UNKNOWN, /* the plug-in's files cannot be looked into */
};

struct survey {
   json_t *report;
   enum verdict verdict;
   bool recorded;           /* there is a record that can be used: */
   struct kv_active active; /* its content */
   struct place place;      /* of its generation's data */
   uint8_t store_id[16];
};

/* Changes nothing. KV_OK with a survey whatever is found; another code when this program could not
 * do its work. After either, survey_deinit. */
enum kv_code survey_make(struct kv_data_directory *directory, struct survey *survey,
                         struct kv_status *status);
void survey_deinit(struct survey *survey);

/* What a load has left out: adds to the array `list` an object for each item told as `kind`. */
struct start;
void survey_add_items(const struct start *start, uint32_t kind, json_t *list);
void survey_add_state(const struct start *start, json_t *object);

#endif
