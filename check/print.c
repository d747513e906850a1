#include "check/print.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static uint64_t number(const json_t *object, const char *name)
{
   return (uint64_t)json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
   const char *value = json_string_value(json_object_get(object, name));
   return value ? value : "";
}

/* ---- Files --------------------------------------------------------------------------------- */

static void print_file(FILE *out, const json_t *file)
{
   const char *kind = text(file, "kind");
   fprintf(out, "  %s: %s, ", text(file, "file"), text(file, "state"));
   if (strcmp(kind, "snapshot") == 0)
      fprintf(out, "snapshot of %" PRIu64 " records at sequence %" PRIu64 ", ",
              number(file, "records"), number(file, "sequence"));
   else if (strcmp(kind, "segment") == 0 && number(file, "records") > 0)
      fprintf(out,
              "segment of %" PRIu64 " records, sequences %" PRIu64 " to %" PRIu64
              ", checksum %s at offset %" PRIu64 ", ",
              number(file, "records"), number(file, "first_sequence"), number(file, "sequence"),
              text(file, "chain"), number(file, "end"));
   else if (strcmp(kind, "segment") == 0)
      fputs("segment without records, ", out);
   else
      fprintf(out, "%s, ",
              strcmp(kind, "torn") == 0 ? "an unfinished write that was set aside" : kind);
   fprintf(out, "%" PRIu64 " bytes\n", number(file, "bytes"));
   if (json_object_get(file, "finding"))
      fprintf(out, "    %s\n", text(file, "finding"));
}

static void print_generation(FILE *out, const json_t *generation)
{
   fprintf(out, "generation %" PRIu64 "%s\n", number(generation, "generation"),
           json_is_true(json_object_get(generation, "active")) ? ", active" : ", not active");
   const json_t *files = json_object_get(generation, "files"), *file;
   size_t index;
   json_array_foreach(files, index, file) print_file(out, file);
   if (json_array_size(files) == 0)
      fputs("  no files\n", out);
}

static void print_record(FILE *out, const json_t *report)
{
   fprintf(out, "data directory %s\n", text(report, "directory"));
   if (!json_object_get(report, "plugin"))
      return;
   fprintf(out, "store %s, mode %s", text(report, "store"), text(report, "plugin"));
   const char *name;
   json_t *value;
   json_object_foreach(json_object_get(report, "options"), name, value)
       fprintf(out, " %s=%s", name, json_string_value(value));
   fprintf(out, ", generation %" PRIu64 "\n", number(report, "generation"));
}

/* ---- The start ----------------------------------------------------------------------------- */

static void print_state(FILE *out, const json_t *object)
{
   fprintf(out, "  sequence %" PRIu64 ", %" PRIu64 " keys, %" PRIu64 " bytes, digest %s\n",
           number(object, "sequence"), number(object, "keys"), number(object, "bytes"),
           text(object, "digest"));
}

static void print_torn(FILE *out, const json_t *object, const char *fate)
{
   const json_t *item;
   size_t index;
   json_array_foreach(json_object_get(object, "torn"), index, item) fprintf(
       out, "  torn: %s at offset %" PRIu64 ", %" PRIu64 " bytes of an unfinished write %s\n",
       text(item, "file"), number(item, "offset"), number(item, "bytes"), fate);
}

static void print_passed_over(FILE *out, const json_t *start)
{
   const json_t *item;
   size_t index;
   json_array_foreach(json_object_get(start, "passed_over"), index, item)
       fprintf(out, "  passed over: %s: %s\n", text(item, "file"), text(item, "reason"));
}

static void print_start(FILE *out, const json_t *report)
{
   const json_t *start = json_object_get(report, "start");
   if (strcmp(text(report, "verdict"), "unknown") == 0) {
      bool encrypted = json_is_true(json_object_get(start, "encrypted"));
      fprintf(out, "the files of plug-in %s are listed; this program cannot look inside\n",
              encrypted ? text(json_object_get(report, "options"), "inner")
                        : text(report, "plugin"));
   } else if (json_is_true(json_object_get(start, "refused"))) {
      fprintf(out, "a start would be refused:\n  %s\n", text(start, "message"));
   } else if (!json_object_get(report, "plugin")) {
      fputs("a start would begin an empty store\n", out);
   } else {
      fputs("a start would reach:\n", out);
      print_state(out, start);
      if (json_is_true(json_object_get(start, "encrypted")))
         fputs(
             "  encrypted: bytes and digest are of what is on disk, and whether it opens with the "
             "key was not checked\n",
             out);
      print_torn(out, start, "would be cut off and set aside");
      print_passed_over(out, start);
   }
}

/* ---- The copy ------------------------------------------------------------------------------ */

static void print_given_up(FILE *out, const json_t *recovered)
{
   const json_t *item;
   size_t index;
   json_array_foreach(json_object_get(recovered, "given_up"), index, item) fprintf(
       out, "  given up: %s from offset %" PRIu64 " on, %" PRIu64 " bytes: %s\n",
       text(item, "file"), number(item, "offset"), number(item, "bytes"), text(item, "reason"));
   print_torn(out, recovered, "left out");
   if (json_is_integer(json_object_get(recovered, "lost_known_to_sequence")))
      fprintf(out, "  lost: what came after sequence %" PRIu64 ", at least up to %" PRIu64 "\n",
              number(recovered, "lost_after_sequence"),
              number(recovered, "lost_known_to_sequence"));
   else if (json_array_size(json_object_get(recovered, "given_up")) > 0)
      fputs("  lost: nothing that is known; what the damage hides cannot be determined\n", out);
   else
      fputs("  lost: nothing\n", out);
}

static void print_recovered(FILE *out, const json_t *report)
{
   const json_t *recovered = json_object_get(report, "recovered");
   if (!recovered)
      return;
   fprintf(out, "a repaired copy, mode %s, was written to %s:\n", text(recovered, "plugin"),
           text(recovered, "directory"));
   print_state(out, recovered);
   print_given_up(out, recovered);
}

void print_report(FILE *out, const json_t *report)
{
   print_record(out, report);
   const json_t *generation;
   size_t index;
   json_array_foreach(json_object_get(report, "generations"), index, generation)
       print_generation(out, generation);
   print_start(out, report);
   print_recovered(out, report);
   fprintf(out, "verdict: %s\n", text(report, "verdict"));
}
