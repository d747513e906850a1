/*
 * What a case of the conformance kit is, and how it reports its outcome.
 *
 * Each case runs in a process of its own, in an empty workspace, and ends at the first broken
 * promise. So a case is a straight list of what must hold, and cleans nothing up. It passes by
 * returning.
 *
 * Threads: any may fail the case.
 */
#ifndef SDK_CHECK_H
#define SDK_CHECK_H

#include "core/host/plugin_library.h"
#include "core/host/settings.h"
#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECK_PATH_SIZE 4096

/* The plug-in under test. */
struct check_subject {
   char directory[CHECK_PATH_SIZE], file[CHECK_PATH_SIZE];
   char name[256];
   const kvs_plugin *plugin;          /* NULL for a case that examines the file alone */
   struct kv_plugin_library *library; /* the directory, where it may find others to stack on */
   struct kv_mode_option options[KV_OPTION_COUNT_MAX];
   size_t option_count;
   char workspace[CHECK_PATH_SIZE]; /* empty, private, removed afterwards */
   uint64_t seed;
   unsigned rounds; /* of the cases that kill */
};

/* check_case.needs */
#define CHECK_NEEDS_KEPT 1u   /* not for KVS_VOLATILE */
#define CHECK_NEEDS_FAULTS 2u /* the fault library must be loaded */
#define CHECK_NEEDS_FILE 4u   /* the file alone: nothing is loaded */

struct check_case {
   const char *name;
   const char *promise; /* one line: what holds when it passes */
   void (*run)(const struct check_subject *subject);
   uint32_t needs;
   unsigned seconds; /* time limit */
};

extern const struct check_case check_cases[];
extern const size_t check_case_count;

const struct check_case *check_find(const char *name);

/* For the case. Fail and skip end the process; a step says what is going on, should it crash. */
void check_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void check_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void check_step(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Is appended to each step from now on. */
void check_context(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* When the kit itself lacks memory or a system call: no fault of the plug-in. */
void check_broken(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* In the process of a case: runs it and exits. Lines with the outcome go to `result_fd`. */
void check_run(const struct check_case *chosen, struct check_subject *subject, int result_fd)
    __attribute__((noreturn));

/* In a process that a case started: loads the plug-in and works until it is killed. */
void check_work(const char *worker, struct check_subject *subject, const char *argument,
                int result_fd) __attribute__((noreturn));

#endif
