/* The cases, by the file that they are in; cases.c lists them. */
#ifndef SDK_CHECK_CASES_H
#define SDK_CHECK_CASES_H

#include "sdk/check/check.h"

/* symbols.c */
void case_symbols(const struct check_subject *subject);

/* cases_life.c: descriptor, options, instances, what they leave behind */
void case_descriptor(const struct check_subject *subject);
void case_options(const struct check_subject *subject);
void case_empty(const struct check_subject *subject);
void case_instances(const struct check_subject *subject);
void case_reopen(const struct check_subject *subject);
void case_unload(const struct check_subject *subject);
void case_older_host(const struct check_subject *subject);
void case_newer_host(const struct check_subject *subject);

/* cases_data.c: what is written comes back */
void case_reload(const struct check_subject *subject);
void case_order(const struct check_subject *subject);
void case_sequence(const struct check_subject *subject);
void case_batches(const struct check_subject *subject);
void case_sizes(const struct check_subject *subject);
void case_binary(const struct check_subject *subject);
void case_expiry(const struct check_subject *subject);

/* cases_versions.c: versions, what has expired, history */
void case_versions(const struct check_subject *subject);
void case_expired(const struct check_subject *subject);
void case_history(const struct check_subject *subject);

/* cases_tick.c: checkpoints, threads, switches */
void case_checkpoint(const struct check_subject *subject);
void case_shutdown(const struct check_subject *subject);
void case_ticks_beside_writes(const struct check_subject *subject);
void case_threads(const struct check_subject *subject);
void case_switch_in(const struct check_subject *subject);
void case_copies(const struct check_subject *subject);
void case_switch_out(const struct check_subject *subject);

/* cases_between.c: what the host may do between two hooks */
void case_unpublished(const struct check_subject *subject);
void case_behind(const struct check_subject *subject);
void case_attach(const struct check_subject *subject);
void case_short_reads(const struct check_subject *subject);
void case_view_size(const struct check_subject *subject);
void case_load_refused(const struct check_subject *subject);

/* cases_files.c: its directory and others' */
void case_foreign_files(const struct check_subject *subject);
void case_other_store(const struct check_subject *subject);
void case_stays_inside(const struct check_subject *subject);

/* cases_disk.c: a disk that fails */
void case_sync(const struct check_subject *subject);
void case_disk_full(const struct check_subject *subject);
void case_sync_fails(const struct check_subject *subject);

#endif
