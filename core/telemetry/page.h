/*
 * The page "/" for people: tables of the figures, which work without scripts, and plots of them by
 * a script. The page has all that it needs; its policy forbids whatever else.
 *
 * core/telemetry/page/ has its parts, which cmake/embed.cmake puts into the program.
 *
 * Threads: as snapshot.h.
 */
#ifndef KV_TELEMETRY_PAGE_H
#define KV_TELEMETRY_PAGE_H

#include "core/telemetry/snapshot.h"

#include <stdio.h>

/* To be freed; NULL: out of memory. `policy` is the Content-Security-Policy that goes with it. */
char *kv_telemetry_page(const struct kv_telemetry *telemetry, size_t *size,
                        char policy[KV_PAGE_POLICY_SIZE]);
/* What changes on it: the state and the tables. As above. */
char *kv_telemetry_changing(const struct kv_telemetry *telemetry, size_t *size);
/* Its tables, as HTML. */
void kv_telemetry_tables(FILE *out, const struct kv_telemetry *telemetry);
/* A text within HTML. */
void kv_telemetry_escape(FILE *out, const char *text);

#endif
