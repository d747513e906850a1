/*
 * Keys and values as the inner plug-in sees them: docs/formats.md.
 *
 * A key is sealed so that the same key always gives the same bytes, because inner plug-ins find and
 * delete by key: a tag, which is a keyed hash of store and key, and the key encrypted under the tag
 * as its nonce. A key that would become longer than a key may be is its tag alone, and travels with
 * the value. A value is sealed under a fresh nonce, together with its expiry, and tied to the tag:
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
/* How much longer key and value together become. */
#define SEAL_OVERHEAD 76

/* The keys of one store, all made from the master key; in memory that is locked, and wiped when it
 * is freed. */
struct seal;

/* NULL when memory runs out. `master` has SEAL_MASTER_SIZE bytes. */
struct seal *seal_create(const uint8_t *master, const uint8_t store_id[16]);
/* NULL is fine. */
void seal_destroy(struct seal *seal);

/* A hash of `data` under a key of its own: shows that a master key is the same, and nothing else.
 */
void seal_prove(const struct seal *seal, const void *data, size_t size,
                uint8_t proof[SEAL_PROOF_SIZE]);

void seal_tag(const struct seal *seal, kvs_bytes key, uint8_t tag[SEAL_TAG_SIZE]);

/* Nonces that never repeat: a random beginning, then a count. */
struct seal_nonce {
   uint8_t random[16];
   uint64_t count;
};
void seal_nonce_begin(struct seal_nonce *nonce);

/* Seals a record, whose key has the tag, to `to`, which has SEAL_OVERHEAD bytes more than key and
 * value. Returns the bytes written. */
size_t seal_record(const struct seal *seal, const uint8_t tag[SEAL_TAG_SIZE],
                   const kvs_record *plain, struct seal_nonce *nonce, uint8_t *to,
                   kvs_record *sealed);

/* Whether a sealed key is its tag alone. */
bool seal_is_long(kvs_bytes sealed);
/* Opens a sealed key that is not its tag alone, into `to`, which has sealed.size bytes. False when
 * it was not sealed by this key for this store. */
bool seal_open_key(const struct seal *seal, kvs_bytes sealed, uint8_t *to, kvs_bytes *key);
/* Opens sealed key and value of a KVS_SET into `to`, which has the sizes of both. Fills in key,
 * value and expiry of `plain`. False as above. */
bool seal_open(const struct seal *seal, kvs_bytes sealed_key, kvs_bytes sealed_value, uint8_t *to,
               kvs_record *plain);

#endif
