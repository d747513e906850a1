#include "check/survey.h"

#include <stdlib.h>
#include <string.h>

void survey_deinit(struct survey *survey)
{
   for (size_t i = 0; i < survey->count; i++)
      files_deinit(&survey->generations[i].files);
   free(survey->generations);
   start_deinit(&survey->start);
   kv_active_deinit(&survey->active);
}

/* Newest first: without a record, it decides which store the files belong to. */
static enum kv_code survey_generations(const struct kv_data_directory *directory,
                                       struct survey *survey, struct kv_status *status)
{
   struct kv_generations found;
   enum kv_code code = kv_data_directory_find_generations(directory, &found, status);
   if (code == KV_OK && found.count > 0) {
      survey->generations = calloc(found.count, sizeof *survey->generations);
      if (!survey->generations)
         code = kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a list of generations");
      else
         survey->count = found.count;
   }
   for (size_t i = survey->count; code == KV_OK && i-- > 0;) {
      struct surveyed_generation *generation = &survey->generations[i];
      char path[KV_GENERATION_PATH_SIZE];
      generation->number = found.numbers[i];
      generation->active = survey->recorded && generation->number == survey->active.generation;
      bool look_inside = !generation->active || survey->place.kept != KEPT_UNKNOWN;
      kv_data_directory_generation_path(directory, generation->number, path);
      code = files_check(path, look_inside, &survey->store, &generation->files, status);
   }
   free(found.numbers);
   return code;
}

static enum kv_code survey_start(const struct kv_data_directory *directory, struct survey *survey,
                                 struct kv_status *status)
{
   if (survey->place.kept == KEPT_UNKNOWN)
      return KV_OK; /* START_UNKNOWN */
   char path[KV_GENERATION_PATH_SIZE];
   kv_data_directory_generation_path(directory, survey->active.generation, path);
   return start_try(path, &survey->place, survey->store.id, &survey->start, status);
}

static enum verdict judge(const struct survey *survey)
{
   size_t damaged = 0;
   /* Nobody reads the leftovers of a switch or of an unfinished first start. */
   for (size_t i = 0; i < survey->count; i++)
      if (survey->generations[i].active)
         damaged += survey->generations[i].files.damaged;
   switch (survey->start.outcome) {
   case START_UNKNOWN:
      return VERDICT_UNKNOWN;
   case START_FRESH:
      return VERDICT_EMPTY;
   case START_REFUSED:
      return VERDICT_DAMAGED;
   default:
      return damaged > 0 ? VERDICT_DAMAGED : VERDICT_SOUND;
   }
}

const char *survey_verdict_name(enum verdict verdict)
{
   static const char *const names[] = {[VERDICT_SOUND] = "sound",
                                       [VERDICT_EMPTY] = "empty",
                                       [VERDICT_DAMAGED] = "damaged",
                                       [VERDICT_UNKNOWN] = "unknown"};
   return names[verdict];
}

enum kv_code survey_make(struct kv_data_directory *directory, struct survey *survey,
                         struct kv_status *status)
{
   *survey = (struct survey){.directory = kv_data_directory_path(directory)};
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
   survey->store.known = survey->recorded;
   memcpy(survey->store.id, kv_data_directory_store_id(directory), sizeof survey->store.id);
   enum kv_code code = survey_generations(directory, survey, status);
   if (survey->recorded && code == KV_OK)
      code = survey_start(directory, survey, status);
   else if (!survey->recorded)
      survey->start = (struct start){.outcome = read == KV_OK ? START_FRESH : START_REFUSED};
   if (!survey->recorded && read != KV_OK)
      survey->start.refusal = fault;
   survey->verdict = judge(survey);
   return code;
}
