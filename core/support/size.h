/*
 * Sizes as people write them: "64M", "64MiB", "64 MB", "67108864". Every unit is a power of 1024,
 * in upper or lower case.
 *
 * Threads: any.
 */
#ifndef KV_SIZE_H
#define KV_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* What the units are, for messages. */
#define KV_SIZE_UNITS "K, M, G or T (powers of 1024; also as in KiB and KB)"

/* Digits alone, without sign or blanks. Returns false, without *number, for anything else, or where
 * it does not fit. */
bool kv_number_parse(const char *text, uint64_t *number);

/* Returns false, without *bytes, for anything else, or where it does not fit. */
bool kv_size_parse(const char *text, uint64_t *bytes);

#endif
