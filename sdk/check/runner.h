/*
 * Runs cases, each in a process of its own with a time limit, and collects what they say.
 *
 * Threads: the main one.
 */
#ifndef SDK_CHECK_RUNNER_H
#define SDK_CHECK_RUNNER_H

#include "sdk/check/check.h"

enum run_verdict { RUN_OK, RUN_FAILED, RUN_SKIPPED, RUN_BROKEN };

struct run_result {
   enum run_verdict verdict;
   char text[2048];   /* why, unless OK */
   char output[4096]; /* the end of what the process printed */
   double seconds;
};

struct run_config {
   const struct check_subject *subject; /* without a workspace */
   const char *fault_library;           /* NULL: there is none */
   unsigned seconds;                    /* instead of the cases' own time limits; 0: theirs */
   bool keep;                           /* leave the workspaces of cases that failed */
};

void run_case(const struct run_config *config, const struct check_case *chosen,
              struct run_result *result);

#endif
