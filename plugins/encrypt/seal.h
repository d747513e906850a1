/*
 * How keys and values look to the inner plug-in. docs/formats.md describes it.
 *
 * A key is sealed so that the same key always gives the same bytes, because inner plug-ins find and
 * delete by key: a tag, which is a keyed hash of store and key, and the key encrypted under the tag
 * as its nonce. A key that would become longer than a key may be is its tag alone, and travels with
 * the value. A value is sealed under a fresh nonce, together with its expiry, and bound to the tag:
 * it opens under no other key and in no other store.
 *
 * Threads: any; a seal is read only.
 */
#ifndef ENCRYPT_SEAL_H
#define ENCRYPT_SEAL_H

#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEAL_MASTER_SIZE 32
#define SEAL_TAG_SIZE 24
#define SEAL_PROOF_SIZE 32
/* By how much key and value together become larger. */
#define SEAL_OVERHEAD 76

/* The keys of one store, all made from the master key; in memory that is locked, and wiped when it
 * is freed. */
struct seal;

/* NULL when memory is out. `master` is of SEAL_MASTER_SIZE bytes. */
struct seal *seal_create(const uint8_t *master, const uint8_t store_id[16]);
/* NULL is fine. */
void seal_destroy(struct seal *seal);

/* What shows that a key is the same one, and nothing else: a hash of `data` under a key of its own.
 */
void seal_prove(const struct seal *seal, const void *data, size_t size,
                uint8_t proof[SEAL_PROOF_SIZE]);

void seal_tag(const struct seal *seal, kvs_bytes key, uint8_t tag[SEAL_TAG_SIZE]);

/* Nonces that never come twice: random from its beginning on, then counted. */
struct seal_nonce {
   uint8_t random[16];
   uint64_t count;
};
void seal_nonce_begin(struct seal_nonce *nonce);

/* Seals a record, whose key has the tag, to `to`, which has room for SEAL_OVERHEAD more than key
 * and value. Returns how much of it that took. */
size_t seal_record(const struct seal *seal, const uint8_t tag[SEAL_TAG_SIZE],
                   const kvs_record *plain, struct seal_nonce *nonce, uint8_t *to,
                   kvs_record *sealed);

/* Whether a sealed key is its tag alone. */
bool seal_is_long(kvs_bytes sealed);
/* Opens a sealed key that is not, into `to`, which has room for sealed.size bytes. False: it was
 * not sealed by this key for this store. */
bool seal_open_key(const struct seal *seal, kvs_bytes sealed, uint8_t *to, kvs_bytes *key);
/* Opens sealed key and value of a KVS_SET into `to`, which has room for the sizes of both. Fills in
 * key, value and expiry of `plain`. */
bool seal_open(const struct seal *seal, kvs_bytes sealed_key, kvs_bytes sealed_value, uint8_t *to,
               kvs_record *plain);

#endif
