#include "check/report.h"
#include "check/shown.h"
#include "core/support/uuid.h"

#include <inttypes.h>

static const char *plural(uint64_t count)
{
   return count == 1 ? "" : "s";
}

/* ---- Files --------------------------------------------------------------------------------- */

static void print_kind(FILE *out, const struct checked_file *file)
{
   static const char *const others[] = {[FILE_UNKNOWN] = "unknown",
                                        [FILE_TORN] = "an unfinished write that was kept",
                                        [FILE_LEFTOVER] = "leftover of an unfinished file",
                                        [FILE_KEY_CHECK] = "key check"};
   if (file->kind == FILE_SNAPSHOT)
      shown_print(out, "snapshot of %" PRIu64 " record%s at sequence %" PRIu64, file->records,
                  plural(file->records), file->sequence);
   else if (file->kind != FILE_SEGMENT)
      shown_print(out, "%s", others[file->kind]);
   else if (file->records == 0)
      shown_print(out, "segment without records");
   else
      shown_print(out,
                  "segment of %" PRIu64 " record%s, sequences %" PRIu64 " to %" PRIu64
                  ", checksum %08" PRIx32 " at offset %" PRIu64,
                  file->records, plural(file->records), file->first_sequence, file->sequence,
                  file->chain, file->end);
}

static void print_file(FILE *out, const struct checked_file *file, bool spare)
{
   shown_print(out, "  %s: %s, ", file->path, files_state_name(file->state));
   print_kind(out, file);
   fprintf(out, ", %" PRIu64 " byte%s\n", file->bytes, plural(file->bytes));
   if (file->finding)
      shown_line(out, "    %s", file->finding);
   if (file->state == STATE_DAMAGED && spare)
      fputs("    a start does not need this file\n", out);
}

static void print_generation(FILE *out, const struct surveyed_generation *generation,
                             const struct survey *survey)
{
   bool leftover = survey->recorded && !generation->active;
   bool spare =
       leftover || survey->start.outcome == START_REACHES || survey->start.outcome == START_FRESH;
   fprintf(out, "generation %" PRIu64 ", %sactive\n", generation->number,
           generation->active ? "" : "not ");
   for (size_t i = 0; i < generation->files.count; i++)
      print_file(out, &generation->files.items[i], spare);
   if (generation->files.count == 0)
      fputs("  no files\n", out);
}

static void print_record(FILE *out, const struct survey *survey)
{
   shown_line(out, "data directory %s", survey->directory);
   if (!survey->recorded)
      return;
   const struct kv_active *active = &survey->active;
   char uuid[KV_UUID_TEXT_SIZE];
   kv_uuid_format(survey->store.id, uuid);
   shown_print(out, "store %s, mode %s", uuid, active->plugin);
   for (size_t i = 0; i < active->option_count; i++)
      shown_print(out, " %s=%s", active->options[i].name, active->options[i].value);
   fprintf(out, ", generation %" PRIu64 "\n", active->generation);
}

/* ---- The start ----------------------------------------------------------------------------- */

static void print_state(FILE *out, const struct start *start)
{
   fprintf(out, "  sequence %" PRIu64 ", %" PRIu64 " key%s, %" PRIu64 " byte%s, digest %s\n",
           start->sequence, start->keys, plural(start->keys), start->bytes, plural(start->bytes),
           start->digest);
}

static void print_torn(FILE *out, const struct start *start, const struct place *place,
                       const char *fate)
{
   const struct kv_load_items torn = start_items(start, KVS_LOAD_TORN);
   for (size_t i = 0; i < torn.count; i++) {
      const struct kv_load_item *item = &torn.items[i];
      shown_line(out,
                 "  torn: %s%s at offset %" PRIu64 ", %" PRIu64 " byte%s of an unfinished write %s",
                 place->to_files, item->file, item->offset, item->bytes, plural(item->bytes), fate);
   }
}

static void print_reached(FILE *out, const struct start *start, const struct place *place)
{
   fputs("a start would reach:\n", out);
   print_state(out, start);
   if (place->encrypted)
      fputs("  encrypted: bytes and digest are of what is on disk, and whether it opens with the "
            "key was not checked\n",
            out);
   print_torn(out, start, place, "would be cut off and kept");
   const struct kv_load_items passed_over = start_items(start, KVS_LOAD_PASSED_OVER);
   for (size_t i = 0; i < passed_over.count; i++) {
      const struct kv_load_item *item = &passed_over.items[i];
      shown_line(out, "  passed over: %s%s: %s", place->to_files, item->file, item->text);
   }
}

static void print_start(FILE *out, const struct survey *survey)
{
   switch (survey->start.outcome) {
   case START_UNKNOWN:
      shown_line(out, "the files of plug-in %s are listed; this program cannot look inside",
                 survey->place.plugin);
      break;
   case START_FRESH:
      fputs("there is no data; a start would begin a fresh store\n", out);
      break;
   case START_REFUSED:
      fputs("a start would be refused:\n", out);
      shown_line(out, "  %s", survey->start.refusal.text);
      break;
   case START_REACHES:
      print_reached(out, &survey->start, &survey->place);
      break;
   }
}

/* ---- The copy ------------------------------------------------------------------------------ */

static void print_recovery(FILE *out, const struct recovery *recovery, const char *output)
{
   const struct start *start = &recovery->start;
   const struct kv_load_items given_up = start_items(start, KVS_LOAD_PASSED_OVER);
   shown_line(out, "a repaired copy, mode %s, was written to %s:", recovery->active.plugin, output);
   print_state(out, start);
   for (size_t i = 0; i < given_up.count; i++) {
      const struct kv_load_item *item = &given_up.items[i];
      uint64_t bytes = recovery->given_up_bytes[i];
      shown_line(out, "  given up: %s%s from offset %" PRIu64 " on, %" PRIu64 " byte%s: %s",
                 recovery->place.to_files, item->file, item->offset, bytes, plural(bytes),
                 item->text);
   }
   print_torn(out, start, &recovery->place, "left out");
   if (recovery->known_sequence > start->sequence)
      fprintf(out, "  lost: what came after sequence %" PRIu64 ", at least up to %" PRIu64 "\n",
              start->sequence, recovery->known_sequence);
   else if (given_up.count > 0)
      fputs("  lost: nothing that is known; what the damage hides cannot be determined\n", out);
   else
      fputs("  lost: nothing\n", out);
}

void report_text(FILE *out, const struct survey *survey, const struct recovery *recovery,
                 const char *output)
{
   bool serves = survey->start.outcome == START_REACHES;
   print_record(out, survey);
   for (size_t i = 0; i < survey->count; i++)
      print_generation(out, &survey->generations[i], survey);
   print_start(out, survey);
   if (recovery)
      print_recovery(out, recovery, output);
   fprintf(out, "verdict: %s%s\n", survey_verdict_name(survey->verdict),
           serves && survey->verdict == VERDICT_DAMAGED ? ", but a start would serve all data"
                                                        : "");
}
