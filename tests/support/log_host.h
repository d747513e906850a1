/*
 * A host for tests of the log: a fresh temporary directory, and records of what was loaded and
 * logged. Also the operations with which such tests damage files.
 *
 * Threads: the log's own threads may log; everything else belongs to the test.
 */
#ifndef TESTS_LOG_HOST_H
#define TESTS_LOG_HOST_H

#include "kvstore/plugin.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_host {
   kvs_host host; /* first: the callbacks find the rest through it */
   char directory[256];
   kvs_record *loaded; /* with keys and values of their own */
   size_t loaded_count;
   uint64_t loaded_to;
   kvs_history history;
   size_t history_begin;      /* how many were loaded before the history began; SIZE_MAX: all */
   uint64_t history_sequence; /* that it is complete above */
   uint64_t saved_to;         /* the last sequence given to host->saved */
   kvs_syncs syncs;
   atomic_uint_fast64_t synced_to; /* that the last sync was told to have covered */
   int load_result;                /* what host->load returns */
   atomic_uint wakes;              /* how often host->wake was called */
   pthread_mutex_t lock;
   char warnings[4096]; /* all lines of KVS_LOG_WARNING and worse */
};

void log_host_init(struct log_host *host);
/* Forgets what was loaded and logged. */
void log_host_forget(struct log_host *host);
/* Removes the directory with its content. */
void log_host_deinit(struct log_host *host);

/* An effect on a key; `value` NULL deletes it. */
kvs_record log_host_effect(uint64_t sequence, const char *key, const char *value);
/* "key=value " for each effect loaded, "key! " for deletes, in order. */
const char *log_host_loaded_text(const struct log_host *host, char *text, size_t size);

/* A file below the host's directory. */
void log_host_path(const struct log_host *host, const char *name, char path[512]);
uint8_t *log_host_read_file(const struct log_host *host, const char *name, size_t *size);
void log_host_write_file(const struct log_host *host, const char *name, const void *data,
                         size_t size);
bool log_host_has_file(const struct log_host *host, const char *name);
/* Copies a flat directory below the host's to another name. */
void log_host_copy(const struct log_host *host, const char *from, const char *to);
/* Flips a bit in the middle of the file that is the `back`-th from the last by name; removes it;
 * removes the first by name. */
void log_host_damage(const struct log_host *host, const char *directory, size_t back);
void log_host_remove(const struct log_host *host, const char *directory, size_t back);
void log_host_remove_oldest(const struct log_host *host, const char *directory);
/* How many names in a directory end in `ending`. */
size_t log_host_count(const struct log_host *host, const char *directory, const char *ending);

#endif
