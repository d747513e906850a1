#include "plugins/encrypt/seal.h"

#include "storage/codec.h"

#include <sodium.h>
#include <string.h>

#define STORE_ID_SIZE 16
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define MAC_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define KEY_SIZE_MAX ((size_t)65536) /* of the ABI */

/* What stands before the value in what is encrypted: expiry, 8 bytes; size of the key that comes
 * between head and value, 4 bytes, 0 unless the sealed key is its tag alone. */
#define HEAD_SIZE 12
#define VALUE_SIZE_MIN (NONCE_SIZE + HEAD_SIZE + MAC_SIZE)

_Static_assert(SEAL_OVERHEAD == SEAL_TAG_SIZE + VALUE_SIZE_MIN, "as seal.h says");
_Static_assert(SEAL_TAG_SIZE == crypto_stream_xchacha20_NONCEBYTES, "the tag is a nonce");
_Static_assert(SEAL_MASTER_SIZE == crypto_kdf_KEYBYTES, "the master key makes the others");
_Static_assert(crypto_kdf_CONTEXTBYTES == 8, "as long as the context below");

struct seal {
   uint8_t store_id[STORE_ID_SIZE];
   uint8_t tag[32], key[32], value[32], proof[32];
};

struct seal *seal_create(const uint8_t *master, const uint8_t store_id[16])
{
   static const char context[] = "kvencr01";
   struct seal *seal = sodium_malloc(sizeof *seal);
   if (!seal)
      return NULL;
   memcpy(seal->store_id, store_id, sizeof seal->store_id);
   crypto_kdf_derive_from_key(seal->tag, sizeof seal->tag, 1, context, master);
   crypto_kdf_derive_from_key(seal->key, sizeof seal->key, 2, context, master);
   crypto_kdf_derive_from_key(seal->value, sizeof seal->value, 3, context, master);
   crypto_kdf_derive_from_key(seal->proof, sizeof seal->proof, 4, context, master);
   sodium_mprotect_readonly(seal);
   return seal;
}

void seal_destroy(struct seal *seal)
{
   sodium_free(seal); /* wipes it */
}

void seal_prove(const struct seal *seal, const void *data, size_t size,
                uint8_t proof[SEAL_PROOF_SIZE])
{
   crypto_generichash(proof, SEAL_PROOF_SIZE, data, size, seal->proof, sizeof seal->proof);
}

/* ---- Keys ---- */

void seal_tag(const struct seal *seal, kvs_bytes key, uint8_t tag[SEAL_TAG_SIZE])
{
   crypto_generichash_state state;
   crypto_generichash_init(&state, seal->tag, sizeof seal->tag, SEAL_TAG_SIZE);
   crypto_generichash_update(&state, seal->store_id, sizeof seal->store_id);
   crypto_generichash_update(&state, key.data, key.size);
   crypto_generichash_final(&state, tag, SEAL_TAG_SIZE);
   sodium_memzero(&state, sizeof state);
}

/* Whether the key does not fit beside its tag. */
static bool is_too_long(size_t key_size)
{
   return key_size > KEY_SIZE_MAX - SEAL_TAG_SIZE;
}

/* Writes the sealed key to `to`, and returns its size. */
static size_t seal_key(const struct seal *seal, const uint8_t tag[SEAL_TAG_SIZE], kvs_bytes key,
                       uint8_t *to)
{
   memcpy(to, tag, SEAL_TAG_SIZE);
   if (is_too_long(key.size))
      return SEAL_TAG_SIZE;
   crypto_stream_xchacha20_xor(to + SEAL_TAG_SIZE, key.data, key.size, tag, seal->key);
   return SEAL_TAG_SIZE + key.size;
}

bool seal_is_long(kvs_bytes sealed)
{
   return sealed.size == SEAL_TAG_SIZE;
}

static bool fits_tag(const struct seal *seal, const uint8_t *tag, kvs_bytes key)
{
   uint8_t own[SEAL_TAG_SIZE];
   seal_tag(seal, key, own);
   return sodium_memcmp(own, tag, sizeof own) == 0;
}

bool seal_open_key(const struct seal *seal, kvs_bytes sealed, uint8_t *to, kvs_bytes *key)
{
   if (sealed.size <= SEAL_TAG_SIZE || sealed.size > KEY_SIZE_MAX)
      return false;
   const uint8_t *tag = sealed.data;
   *key = (kvs_bytes){to, sealed.size - SEAL_TAG_SIZE};
   crypto_stream_xchacha20_xor(to, tag + SEAL_TAG_SIZE, key->size, tag, seal->key);
   return fits_tag(seal, tag, *key);
}

/* ---- Values ---- */

void seal_nonce_begin(struct seal_nonce *nonce)
{
   randombytes_buf(nonce->random, sizeof nonce->random);
   nonce->count = 0;
}

/* What is authenticated together with a value. */
struct associated {
   uint8_t store_id[STORE_ID_SIZE], tag[SEAL_TAG_SIZE];
};

static struct associated associated_data(const struct seal *seal, const uint8_t *tag)
{
   struct associated associated;
   memcpy(associated.store_id, seal->store_id, sizeof associated.store_id);
   memcpy(associated.tag, tag, sizeof associated.tag);
   return associated;
}

static size_t append(uint8_t *to, size_t at, kvs_bytes bytes)
{
   if (bytes.size > 0)
      memcpy(to + at, bytes.data, bytes.size);
   return at + bytes.size;
}

/* Writes the sealed value of a KVS_SET to `to`, and returns its size. */
static size_t seal_value(const struct seal *seal, const uint8_t tag[SEAL_TAG_SIZE],
                         const kvs_record *record, struct seal_nonce *nonce, uint8_t *to)
{
   memcpy(to, nonce->random, sizeof nonce->random);
   storage_put64(to + sizeof nonce->random, nonce->count++);
   uint8_t *body = to + NONCE_SIZE;
   bool with_key = is_too_long(record->key.size);
   storage_put64(body, (uint64_t)record->expires_at_ms);
   storage_put32(body + 8, with_key ? (uint32_t)record->key.size : 0);
   size_t size = HEAD_SIZE;
   if (with_key)
      size = append(body, size, record->key);
   size = append(body, size, record->value);
   const struct associated associated = associated_data(seal, tag);
   crypto_aead_xchacha20poly1305_ietf_encrypt(body, NULL, body, size, (const uint8_t *)&associated,
                                              sizeof associated, NULL, to, seal->value);
   return NONCE_SIZE + size + MAC_SIZE;
}

size_t seal_record(const struct seal *seal, const uint8_t tag[SEAL_TAG_SIZE],
                   const kvs_record *plain, struct seal_nonce *nonce, uint8_t *to,
                   kvs_record *sealed)
{
   *sealed = *plain;
   sealed->key = (kvs_bytes){to, seal_key(seal, tag, plain->key, to)};
   if (plain->kind == KVS_SET) {
      uint8_t *value = to + sealed->key.size;
      sealed->value = (kvs_bytes){value, seal_value(seal, tag, plain, nonce, value)};
      sealed->expires_at_ms = 0;
   }
   return sealed->key.size + sealed->value.size;
}

/* Takes head and key off what was opened. */
static bool take_apart(const struct seal *seal, kvs_bytes sealed_key, const uint8_t *body,
                       size_t size, kvs_record *plain)
{
   size_t key_size = storage_get32(body + 8), at = HEAD_SIZE;
   plain->expires_at_ms = (int64_t)storage_get64(body);
   if (seal_is_long(sealed_key)) {
      if (!is_too_long(key_size) || key_size > KEY_SIZE_MAX || key_size > size - at)
         return false;
      plain->key = (kvs_bytes){body + at, key_size};
      if (!fits_tag(seal, sealed_key.data, plain->key))
         return false;
      at += key_size;
   } else if (key_size != 0) {
      return false;
   }
   plain->value = (kvs_bytes){body + at, size - at};
   return true;
}

bool seal_open(const struct seal *seal, kvs_bytes sealed_key, kvs_bytes sealed_value, uint8_t *to,
               kvs_record *plain)
{
   if (sealed_key.size < SEAL_TAG_SIZE || sealed_value.size < VALUE_SIZE_MIN)
      return false;
   if (!seal_is_long(sealed_key)) {
      if (!seal_open_key(seal, sealed_key, to, &plain->key))
         return false;
      to += plain->key.size;
   }
   const uint8_t *nonce = sealed_value.data;
   const struct associated associated = associated_data(seal, sealed_key.data);
   if (crypto_aead_xchacha20poly1305_ietf_decrypt(
           to, NULL, NULL, nonce + NONCE_SIZE, sealed_value.size - NONCE_SIZE,
           (const uint8_t *)&associated, sizeof associated, nonce, seal->value) != 0)
      return false;
   return take_apart(seal, sealed_key, to, sealed_value.size - NONCE_SIZE - MAC_SIZE, plain);
}
