#include "check/survey.h"

#include "check/files.h"
#include "check/shown.h"
#include "check/start.h"
#include "core/support/uuid.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_text(json_t *object, const char *name, const char *text)
{
   json_object_set_new(object, name, shown_text(text));
}

static void set_number(json_t *object, const char *name, uint64_t number)
{
   json_object_set_new(object, name, json_integer((json_int_t)number));
}

void survey_deinit(struct survey *survey)
{
   json_decref(survey->report);
   kv_active_deinit(&survey->active);
}

/* ---- The start ----------------------------------------------------------------------------- */

void survey_add_items(const struct start *start, uint32_t kind, json_t *list)
{
   const struct kv_load_items items = kv_load_report_items(start->report, kind);
   for (size_t i = 0; i < items.count; i++) {
      json_t *object = json_object();
      char file[PATH_MAX];
      snprintf(file, sizeof file, "%s%s%s", start->place->folder,
               start->place->encrypted ? "/" : "", items.items[i].file);
      set_text(object, "file", file);
      set_number(object, "offset", items.items[i].offset);
      set_number(object, "bytes", items.items[i].bytes);
      set_number(object, "sequence", items.items[i].sequence);
      if (items.items[i].text[0] != '\0')
         set_text(object, "reason", items.items[i].text);
      json_array_append_new(list, object);
   }
}

void survey_add_state(const struct start *start, json_t *object)
{
   set_number(object, "sequence", start->sequence);
   set_number(object, "keys", start->keys);
   set_number(object, "bytes", start->bytes);
   set_text(object, "digest", start->digest);
}

static void describe_start(const struct start *start, json_t *object)
{
   json_object_set_new(object, "refused", json_boolean(start->refused));
   if (start->refused) {
      set_text(object, "message", start->refusal.text);
      return;
   }
   survey_add_state(start, object);
   json_t *torn = json_array(), *passed_over = json_array();
   survey_add_items(start, KVS_LOAD_TORN, torn);
   survey_add_items(start, KVS_LOAD_PASSED_OVER, passed_over);
   json_object_set_new(object, "torn", torn);
   json_object_set_new(object, "passed_over", passed_over);
}

static enum kv_code survey_start(const struct kv_data_directory *directory, struct survey *survey,
                                 struct kv_status *status)
{
   json_t *object = json_object();
   json_object_set_new(survey->report, "start", object);
   if (survey->place.encrypted)
      json_object_set_new(object, "encrypted", json_true());
   if (survey->place.kept == KEPT_UNKNOWN) {
      survey->verdict = VERDICT_UNKNOWN;
      return KV_OK;
   }
   char path[KV_GENERATION_PATH_SIZE];
   kv_data_directory_generation_path(directory, survey->active.generation, path);
   struct start start;
   enum kv_code code = start_load(path, &survey->place, survey->store_id, false, &start, status);
   if (code == KV_OK) {
      describe_start(&start, object);
      if (start.refused)
         survey->verdict = VERDICT_DAMAGED;
   }
   start_deinit(&start);
   return code;
}

/* Where there is no usable record: `fault` says why, or is NULL in a directory without data. */
static void survey_no_start(struct survey *survey, const struct kv_status *fault)
{
   json_t *object = json_object();
   json_object_set_new(survey->report, "start", object);
   json_object_set_new(object, "refused", json_boolean(fault != NULL));
   if (!fault)
      return;
   set_text(object, "message", fault->text);
   survey->verdict = VERDICT_DAMAGED;
}

/* ---- The record and the generations -------------------------------------------------------- */

static void describe_record(struct survey *survey)
{
   char uuid[KV_UUID_TEXT_SIZE];
   kv_uuid_format(survey->store_id, uuid);
   set_text(survey->report, "store", uuid);
   if (!survey->recorded)
      return;
   json_t *options = json_object();
   for (size_t i = 0; i < survey->active.option_count; i++)
      set_text(options, survey->active.options[i].name, survey->active.options[i].value);
   set_text(survey->report, "plugin", survey->active.plugin);
   json_object_set_new(survey->report, "options", options);
   set_number(survey->report, "generation", survey->active.generation);
}

/* Without a record the files themselves say whose they are. */
static void find_store_id(const struct kv_data_directory *directory,
                          const struct kv_generations *found, struct survey *survey)
{
   char path[KV_GENERATION_PATH_SIZE];
   for (size_t i = found->count; i > 0; i--) {
      kv_data_directory_generation_path(directory, found->numbers[i - 1], path);
      if (files_store_id(path, survey->store_id))
         return;
   }
}

static enum kv_code survey_generation(const struct kv_data_directory *directory, uint64_t number,
                                      struct survey *survey, json_t *list, struct kv_status *status)
{
   json_t *object = json_object(), *files = json_array();
   bool active = survey->recorded && number == survey->active.generation;
   set_number(object, "generation", number);
   json_object_set_new(object, "active", json_boolean(active));
   json_object_set_new(object, "files", files);
   json_array_append_new(list, object);
   char path[KV_GENERATION_PATH_SIZE];
   unsigned damaged = 0;
   bool look_inside = !active || survey->place.kept != KEPT_UNKNOWN;
   kv_data_directory_generation_path(directory, number, path);
   enum kv_code code = files_check(path, survey->store_id, look_inside, files, &damaged, status);
   /* Nobody will read what a switch has left over. */
   if (damaged > 0 && (active || !survey->recorded))
      survey->verdict = VERDICT_DAMAGED;
   return code;
}

static enum kv_code survey_generations(const struct kv_data_directory *directory,
                                       struct survey *survey, struct kv_status *status)
{
   struct kv_generations found;
   json_t *list = json_array();
   json_object_set_new(survey->report, "generations", list);
   enum kv_code code = kv_data_directory_find_generations(directory, &found, status);
   if (code == KV_OK && !survey->recorded)
      find_store_id(directory, &found, survey);
   if (code == KV_OK)
      describe_record(survey);
   for (size_t i = 0; code == KV_OK && i < found.count; i++)
      code = survey_generation(directory, found.numbers[i], survey, list, status);
   free(found.numbers);
   return code;
}

enum kv_code survey_make(struct kv_data_directory *directory, struct survey *survey,
                         struct kv_status *status)
{
   *survey = (struct survey){.report = json_object()};
   set_text(survey->report, "program", "kvstore-check " KVSTORE_VERSION);
   set_text(survey->report, "directory", kv_data_directory_path(directory));
   struct kv_status fault;
   bool found;
   enum kv_code read = kv_data_directory_inspect_active(directory, &survey->active, &found, &fault);
   if (read != KV_OK && read != KV_DATA_LOSS) {
      *status = fault;
      return read;
   }
   survey->recorded = read == KV_OK && found;
   if (survey->recorded)
      place_find(&survey->active, &survey->place);
   memcpy(survey->store_id, kv_data_directory_store_id(directory), sizeof survey->store_id);
   enum kv_code code = survey_generations(directory, survey, status);
   if (code == KV_OK && survey->recorded)
      code = survey_start(directory, survey, status);
   else if (code == KV_OK)
      survey_no_start(survey, read == KV_OK ? NULL : &fault);
   static const char *const words[] = {"sound", "damaged", "unknown"};
   set_text(survey->report, "verdict", words[survey->verdict]);
   return code;
}
