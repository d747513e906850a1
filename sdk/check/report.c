#include "sdk/check/report.h"

#include "core/support/json.h"

#include <inttypes.h>
#include <string.h>

static const char *const words[] = {
    [RUN_OK] = "ok", [RUN_FAILED] = "FAIL", [RUN_SKIPPED] = "skip", [RUN_BROKEN] = "BROKEN"};

void report_list(FILE *file)
{
   for (size_t i = 0; i < check_case_count; i++)
      fprintf(file, "%-20s %s\n", check_cases[i].name, check_cases[i].promise);
}

static void print_indented(FILE *file, const char *text)
{
   while (*text) {
      size_t size = strcspn(text, "\n");
      fprintf(file, "       | %.*s\n", (int)size, text);
      text += size + (text[size] == '\n');
   }
}

void report_case(FILE *file, const struct check_subject *subject, const struct report *report)
{
   const struct run_result *result = &report->result;
   fprintf(file, "%-6s %-20s %s\n", words[result->verdict], report->chosen->name,
           report->chosen->promise);
   if (result->verdict == RUN_OK)
      return;
   fprintf(file, "       %s\n", result->text);
   if (result->verdict == RUN_SKIPPED)
      return;
   print_indented(file, result->output);
   fprintf(file, "       again: kvstore-plugin-check --case %s --seed %" PRIu64,
           report->chosen->name, subject->seed);
   for (size_t i = 0; i < subject->option_count; i++)
      fprintf(file, " --option '%s=%s'", subject->options[i].name, subject->options[i].value);
   fprintf(file, " %s\n", subject->file);
}

static size_t count_of(const struct report *reports, size_t count, enum run_verdict verdict)
{
   size_t found = 0;
   for (size_t i = 0; i < count; i++)
      found += reports[i].chosen && reports[i].result.verdict == verdict;
   return found;
}

int report_exit_code(const struct report *reports, size_t count)
{
   size_t bad = count_of(reports, count, RUN_FAILED) + count_of(reports, count, RUN_BROKEN);
   return bad > 0 ? 1 : 0;
}

void report_summary(FILE *file, const struct report *reports, size_t count)
{
   fprintf(file, "%zu passed, %zu failed, %zu skipped\n", count_of(reports, count, RUN_OK),
           count_of(reports, count, RUN_FAILED) + count_of(reports, count, RUN_BROKEN),
           count_of(reports, count, RUN_SKIPPED));
}

static void print_field(FILE *file, const char *name, const char *value)
{
   fprintf(file, "\"%s\": ", name);
   kv_json_print_string(file, value);
}

void report_json(FILE *file, const struct check_subject *subject, const struct report *reports,
                 size_t count)
{
   static const char *const results[] = {[RUN_OK] = "ok",
                                         [RUN_FAILED] = "failed",
                                         [RUN_SKIPPED] = "skipped",
                                         [RUN_BROKEN] = "broken"};
   const char *separator = "";
   fputs("{", file);
   print_field(file, "file", subject->file);
   fprintf(file,
           ", \"seed\": %" PRIu64
           ", \"passed\": %zu, \"failed\": %zu, \"skipped\": %zu, \"cases\": [",
           subject->seed, count_of(reports, count, RUN_OK),
           count_of(reports, count, RUN_FAILED) + count_of(reports, count, RUN_BROKEN),
           count_of(reports, count, RUN_SKIPPED));
   for (size_t i = 0; i < count; i++) {
      if (!reports[i].chosen)
         continue;
      fprintf(file, "%s\n  {", separator);
      separator = ",";
      print_field(file, "name", reports[i].chosen->name);
      fputs(", ", file);
      print_field(file, "promise", reports[i].chosen->promise);
      fputs(", ", file);
      print_field(file, "result", results[reports[i].result.verdict]);
      fputs(", ", file);
      print_field(file, "text", reports[i].result.text);
      fprintf(file, ", \"seconds\": %.3f}", reports[i].result.seconds);
   }
   fputs("\n]}\n", file);
}
