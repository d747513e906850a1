#include "check/report.h"
#include "check/shown.h"
#include "core/support/uuid.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>

/* Whatever builds a value returns NULL when memory runs out, and takes NULL for that. */

typedef json_int_t number;

/* Adds the members of `more`, and frees it. */
static json_t *with(json_t *object, json_t *more)
{
   bool good = object && more && json_object_update(object, more) == 0;
   json_decref(more);
   if (good)
      return object;
   json_decref(object);
   return NULL;
}

static json_t *append(json_t *array, json_t *value)
{
   if (json_array_append_new(array, value) == 0)
      return array;
   json_decref(array);
   return NULL;
}

/* ---- Files --------------------------------------------------------------------------------- */

static json_t *pack_segment(const struct checked_file *file)
{
   char chain[16];
   snprintf(chain, sizeof chain, "%08" PRIx32, file->chain);
   return json_pack("{s:I, s:I, s:I, s:I, s:s}", "marks", (number)file->marks, "first_sequence",
                    (number)file->first_sequence, "end", (number)file->end, "data_end",
                    (number)file->data_end, "chain", chain);
}

static json_t *pack_file(const struct checked_file *file)
{
   static const char *const kinds[] = {
       [FILE_UNKNOWN] = "unknown", [FILE_SNAPSHOT] = "snapshot", [FILE_SEGMENT] = "segment",
       [FILE_TORN] = "torn",       [FILE_LEFTOVER] = "leftover", [FILE_KEY_CHECK] = "key check"};
   json_t *object =
       json_pack("{s:o, s:s, s:I, s:s}", "file", shown_text(file->path), "kind", kinds[file->kind],
                 "bytes", (number)file->bytes, "state", files_state_name(file->state));
   if (file->kind == FILE_SNAPSHOT || file->kind == FILE_SEGMENT)
      object = with(object, json_pack("{s:I, s:I}", "records", (number)file->records, "sequence",
                                      (number)file->sequence));
   if (file->kind == FILE_SEGMENT)
      object = with(object, pack_segment(file));
   if (file->finding)
      object = with(object, json_pack("{s:o}", "finding", shown_text(file->finding)));
   return object;
}

static json_t *pack_generations(const struct survey *survey)
{
   json_t *array = json_array();
   for (size_t i = 0; i < survey->count; i++) {
      const struct surveyed_generation *generation = &survey->generations[i];
      json_t *files = json_array();
      for (size_t j = 0; j < generation->files.count; j++)
         files = append(files, pack_file(&generation->files.items[j]));
      array = append(array, json_pack("{s:I, s:b, s:o}", "generation", (number)generation->number,
                                      "active", generation->active, "files", files));
   }
   return array;
}

/* ---- States -------------------------------------------------------------------------------- */

/* `bytes`: for each item instead of what the load reported; NULL: as reported. */
static json_t *pack_items(const struct start *start, const struct place *place, uint32_t kind,
                          const uint64_t *bytes)
{
   const struct kv_load_items items = start_items(start, kind);
   json_t *array = json_array();
   for (size_t i = 0; i < items.count; i++) {
      const struct kv_load_item *item = &items.items[i];
      char path[PATH_MAX];
      snprintf(path, sizeof path, "%s%s", place->to_files, item->file);
      json_t *object = json_pack(
          "{s:o, s:I, s:I, s:I}", "file", shown_text(path), "offset", (number)item->offset, "bytes",
          (number)(bytes ? bytes[i] : item->bytes), "sequence", (number)item->sequence);
      if (item->text[0] != '\0')
         object = with(object, json_pack("{s:o}", "reason", shown_text(item->text)));
      array = append(array, object);
   }
   return array;
}

static json_t *pack_state(const struct start *start, const struct place *place)
{
   return json_pack("{s:I, s:I, s:I, s:s, s:o}", "sequence", (number)start->sequence, "keys",
                    (number)start->keys, "bytes", (number)start->bytes, "digest", start->digest,
                    "torn", pack_items(start, place, KVS_LOAD_TORN, NULL));
}

static json_t *pack_start(const struct survey *survey)
{
   const struct start *start = &survey->start;
   json_t *object = survey->place.encrypted ? json_pack("{s:b}", "encrypted", 1) : json_object();
   if (start->outcome == START_UNKNOWN)
      return object;
   object = with(object, json_pack("{s:b}", "refused", start->outcome == START_REFUSED));
   if (start->outcome == START_REFUSED)
      object = with(object, json_pack("{s:o}", "message", shown_text(start->refusal.text)));
   if (start->outcome != START_REACHES)
      return object;
   object = with(object, pack_state(start, &survey->place));
   return with(object, json_pack("{s:o}", "passed_over",
                                 pack_items(start, &survey->place, KVS_LOAD_PASSED_OVER, NULL)));
}

static json_t *pack_recovered(const struct recovery *recovery, const char *output)
{
   const struct start *start = &recovery->start;
   bool lost = recovery->known_sequence > start->sequence;
   json_t *object = with(pack_state(start, &recovery->place),
                         json_pack("{s:o, s:o}", "directory", shown_text(output), "plugin",
                                   shown_text(recovery->active.plugin)));
   object = with(object, json_pack("{s:o}", "given_up",
                                   pack_items(start, &recovery->place, KVS_LOAD_PASSED_OVER,
                                              recovery->given_up_bytes)));
   return with(object,
               lost ? json_pack("{s:I, s:I}", "lost_after_sequence", (number)start->sequence,
                                "lost_known_to_sequence", (number)recovery->known_sequence)
                    : json_pack("{s:n, s:n}", "lost_after_sequence", "lost_known_to_sequence"));
}

/* ---- The whole ----------------------------------------------------------------------------- */

static json_t *pack_record(const struct kv_active *active)
{
   json_t *options = json_object();
   for (size_t i = 0; i < active->option_count; i++)
      options = with(options, json_pack("{s:o}", active->options[i].name,
                                        shown_text(active->options[i].value)));
   return json_pack("{s:o, s:o, s:I}", "plugin", shown_text(active->plugin), "options", options,
                    "generation", (number)active->generation);
}

bool report_json(FILE *out, const struct survey *survey, const struct recovery *recovery,
                 const char *output)
{
   char uuid[KV_UUID_TEXT_SIZE];
   kv_uuid_format(survey->store.id, uuid);
   json_t *report = json_pack("{s:s, s:o, s:s}", "program", "kvstore-check " KVSTORE_VERSION,
                              "directory", shown_text(survey->directory), "store", uuid);
   if (survey->recorded)
      report = with(report, pack_record(&survey->active));
   report =
       with(report, json_pack("{s:o, s:o, s:s}", "generations", pack_generations(survey), "start",
                              pack_start(survey), "verdict", survey_verdict_name(survey->verdict)));
   if (recovery)
      report = with(report, json_pack("{s:o}", "recovered", pack_recovered(recovery, output)));
   bool good = report && json_dumpf(report, out, JSON_INDENT(1)) == 0;
   json_decref(report);
   if (good)
      fputc('\n', out);
   return good;
}
