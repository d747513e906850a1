/*
 * What a load reports: warnings, notes to a host that takes them, and the remedy at the end of each
 * refusal.
 *
 * Threads: control, inside on_load.
 */
#ifndef STORAGE_NOTE_H
#define STORAGE_NOTE_H

#include "kvstore/plugin.h"

#include <stdint.h>

/* Bytes read from one note to the next. */
#define STORAGE_NOTE_STEP ((uint64_t)1 << 20)

/* Logs a warning (printf style). */
void storage_warn(const kvs_host *host, const char *message, ...)
    __attribute__((format(printf, 2, 3)));

/* Fills in the note's size, and removes the host's directory from its file. */
void storage_note(const kvs_host *host, kvs_load_note note);
/* KVS_LOAD_EXPECTED or KVS_LOAD_READ. */
void storage_note_bytes(const kvs_host *host, uint32_t kind, uint64_t bytes);
/* KVS_LOAD_EXPECTED for each file in host->directory/`name`, which need not exist, whose name ends
 * in `suffix`. */
void storage_note_expected(const kvs_host *host, const char *name, const char *suffix);

/* When `code` is KVS_CORRUPT, ends the text with the command that recovers what is sound; a text
 * that would become too long loses its end. Returns `code`. */
int storage_remedy(const kvs_host *host, int code, kvs_error *error);

#endif
