/*
 * The text of ACTIVE, format 1: lines of "name=value", ending in a checksum of everything before
 * it.
 *
 *    format=1
 *    store=<UUID>
 *    plugin=<name>
 *    option.<name>=<value>      one for each option in force
 *    generation=<number>
 *    checksum=<XXH3-64, 16 hexadecimal digits>
 *
 * Every format begins with its number and ends in such a checksum. Each content has exactly one
 * spelling, and only that is accepted: a text with any byte changed or missing is refused.
 *
 * Threads: any.
 */
#ifndef KV_ACTIVE_TEXT_H
#define KV_ACTIVE_TEXT_H

#include "core/datadir/data_directory.h"

#include <stddef.h>
#include <stdint.h>

#define KV_STORE_ID_SIZE 16
/* More than the limits of settings.h allow: all options, with names and values of full length. */
#define KV_ACTIVE_TEXT_SIZE_MAX ((size_t)512 * 1024)

/* The last line of every file of this kind: of what stands before it. */
#define KV_ACTIVE_CHECKSUM_SIZE (sizeof "checksum=0123456789abcdef\n" - 1)
void kv_active_checksum(const char *text, size_t size, char checksum[KV_ACTIVE_CHECKSUM_SIZE + 1]);

/* The value of the next line when its name begins with `prefix`, else NULL. Ends the value with a
 * NUL and moves *rest past the line. */
char *kv_active_take_line(char **rest, const char *prefix);

/* Allocates *text, which the caller frees. */
enum kv_code kv_active_encode(const struct kv_active *active,
                              const uint8_t store_id[KV_STORE_ID_SIZE], char **text, size_t *size,
                              struct kv_status *status);

/* Fails with DATA_LOSS and what is wrong, a text that follows the file's name. `text` must be
 * followed by a NUL and is changed. */
enum kv_code kv_active_decode(char *text, size_t size, struct kv_active *active,
                              uint8_t store_id[KV_STORE_ID_SIZE], struct kv_status *status);

#endif
