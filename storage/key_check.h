/*
 * The file by which the plug-in encrypt recognizes a wrong key; docs/formats.md draws the bytes. It
 * holds a proof over the bytes before it, which only the right key can make, and nothing of the
 * key.
 *
 * Threads: any.
 */
#ifndef STORAGE_KEY_CHECK_H
#define STORAGE_KEY_CHECK_H

#include "kvstore/plugin.h"
#include "storage/layout.h"

#include <stdbool.h>
#include <stdint.h>

#define STORAGE_KEY_CHECK_PROVEN_SIZE 32 /* what the proof is made over; it follows */
#define STORAGE_KEY_CHECK_PROOF_SIZE 32
#define STORAGE_KEY_CHECK_SIZE 68

/* Fills in what comes before the proof. */
void storage_key_check_begin(uint8_t file[STORAGE_KEY_CHECK_SIZE], const uint8_t store_id[16]);
/* Writes the file, which must hold its proof by then, into the directory, durably. */
int storage_key_check_write(const char *directory, uint8_t file[STORAGE_KEY_CHECK_SIZE],
                            kvs_error *error);
/* Reads it and checks all but the proof; *found is false when there is none. KVS_CORRUPT, or
 * KVS_INVALID for another store or version. */
int storage_key_check_read(const char *directory, const uint8_t store_id[16],
                           uint8_t file[STORAGE_KEY_CHECK_SIZE], bool *found, kvs_error *error);

#endif
