/* What the kit prints: a line a case and a summary, or JSON. Threads: the main one. */
#ifndef SDK_CHECK_REPORT_H
#define SDK_CHECK_REPORT_H

#include "sdk/check/runner.h"

#include <stdio.h>

struct report {
   const struct check_case *chosen; /* NULL: this one was not run */
   struct run_result result;
};

void report_list(FILE *file);
/* One line, and more when it failed. */
void report_case(FILE *file, const struct check_subject *subject, const struct report *report);
void report_summary(FILE *file, const struct report *reports, size_t count);
/* {"file": ..., "seed": ..., "passed": n, "failed": n, "skipped": n, "cases": [{"name",
 * "promise", "result", "text", "seconds"}, ...]} */
void report_json(FILE *file, const struct check_subject *subject, const struct report *reports,
                 size_t count);
/* 0 when none failed. */
int report_exit_code(const struct report *reports, size_t count);

#endif
