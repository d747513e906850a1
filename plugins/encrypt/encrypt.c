/*
 * encrypt: everything that another plug-in keeps, encrypted.
 *
 * The inner plug-in gets sealed keys and values, and keeps them in its own way: what it promises,
 * which files it writes and what its options are is not changed. The key comes from a file that is
 * read when an instance is opened, and is in nothing that is written.
 *
 * It promises KVS_DURABLE, and takes only inner plug-ins that do: the host learns a promise from
 * the descriptor, and holds to it in a switch.
 */
#include "plugins/encrypt/inner.h"
#include "plugins/encrypt/key.h"
#include "plugins/encrypt/opening.h"
#include "plugins/encrypt/seal.h"
#include "plugins/encrypt/view.h"
#include "storage/buffer.h"
#include "storage/options.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* In the order of the options. */
enum { OPTION_INNER, OPTION_INNER_OPTIONS, OPTION_KEY_FILE, OPTION_COUNT };

static const kvs_option options[OPTION_COUNT] = {
    [OPTION_INNER] = {.name = "inner",
                      .type = KVS_OPTION_TEXT,
                      .default_value = "hybrid",
                      .help = "the plug-in that keeps the encrypted data, such as hybrid or aof"},
    [OPTION_INNER_OPTIONS] = {.name = "inner_options",
                              .type = KVS_OPTION_TEXT,
                              .default_value = "",
                              .help = "its options, as in fsync=everysec,aof_max_size=16M"},
    [OPTION_KEY_FILE] = {.name = "key_file",
                         .type = KVS_OPTION_TEXT,
                         .default_value = "",
                         .help = "absolute path of the file with the key: 32 raw bytes or 64 "
                                 "hexadecimal digits, mode 0600; must be given"},
};

struct encrypt {
   const kvs_host *host;
   const char *key_path; /* the setting's text, which lives until close */
   struct seal *seal;
   bool recorded;        /* there is a file that checks the key */
   _Atomic bool spoiled; /* a checkpoint was made that will not load */
   struct inner *inner;
   struct storage_buffer batch; /* of on_write */
};

/* ---- Life ---- */

static void close_encrypt(void *self)
{
   struct encrypt *encrypt = self;
   if (encrypt->inner)
      inner_close(encrypt->inner);
   seal_destroy(encrypt->seal);
   storage_buffer_free(&encrypt->batch);
   free(encrypt);
}

/* The key first: with a wrong one nothing is touched. */
static int open_parts(struct encrypt *encrypt, const kvs_setting *settings, kvs_error *error)
{
   int code = key_read(encrypt->host, encrypt->key_path, &encrypt->seal, error);
   if (code == KVS_OK)
      code = key_check(encrypt->host, encrypt->seal, encrypt->key_path, &encrypt->recorded, error);
   if (code == KVS_OK)
      code = inner_open(encrypt->host, settings[OPTION_INNER].text,
                        settings[OPTION_INNER_OPTIONS].text, &encrypt->inner, error);
   return code;
}

static int open_encrypt(const kvs_host *host, const kvs_setting *settings, size_t count,
                        void **self, kvs_error *error)
{
   int code = storage_check_count("encrypt", OPTION_COUNT, count, error);
   if (code != KVS_OK)
      return code;
   if (sodium_init() < 0)
      return storage_fail(error, KVS_IO, "libsodium finds no source of random numbers");
   struct encrypt *encrypt = calloc(1, sizeof *encrypt);
   if (!encrypt)
      return storage_fail(error, KVS_NO_SPACE, "no memory");
   encrypt->host = host;
   encrypt->key_path = settings[OPTION_KEY_FILE].text;
   code = open_parts(encrypt, settings, error);
   if (code != KVS_OK) {
      close_encrypt(encrypt);
      return code;
   }
   *self = encrypt;
   return KVS_OK;
}

/* ---- Loading ---- */

/* The key is recorded when the data, if any, has opened with it, and before there is more. */
static int on_load(void *self, kvs_error *error)
{
   struct encrypt *encrypt = self;
   struct opening *opening = opening_create(encrypt->host, encrypt->seal, encrypt->key_path);
   if (!opening)
      return storage_fail(error, KVS_NO_SPACE, "no memory");
   int code = inner_load(encrypt->inner, opening, error);
   opening_destroy(opening);
   if (code == KVS_OK && !encrypt->recorded)
      code = key_record(encrypt->host, encrypt->seal, error);
   encrypt->recorded = code == KVS_OK;
   return code;
}

/* Nothing more may be acknowledged that a load would refuse together with the checkpoint. */
static int refuse_spoiled(kvs_error *error)
{
   return storage_fail(error, KVS_IO,
                       "a view held more keys or bytes than the host said, and the checkpoint of "
                       "it will not load; switch modes to start afresh");
}

/* ---- Writing ---- */

static size_t size_of_batch(const kvs_record *records, size_t count)
{
   size_t size = count * sizeof *records;
   for (size_t i = 0; i < count; i++)
      size += records[i].key.size + records[i].value.size + SEAL_OVERHEAD;
   return size;
}

static int on_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                    kvs_error *error)
{
   struct encrypt *encrypt = self;
   if (encrypt->spoiled)
      return refuse_spoiled(error);
   size_t size = size_of_batch(records, count);
   uint8_t *memory = storage_buffer_reserve(&encrypt->batch, size);
   if (!memory)
      return storage_fail(error, KVS_NO_SPACE, "no memory to encrypt %zu bytes", size);
   kvs_record *sealed = (kvs_record *)(void *)memory;
   uint8_t *to = memory + count * sizeof *sealed;
   struct seal_nonce nonce;
   seal_nonce_begin(&nonce);
   for (size_t i = 0; i < count; i++) {
      uint8_t tag[SEAL_TAG_SIZE];
      seal_tag(encrypt->seal, records[i].key, tag);
      to += seal_record(encrypt->seal, tag, &records[i], &nonce, to, &sealed[i]);
   }
   int code = inner_write(encrypt->inner, sealed, count, flags, error);
   storage_buffer_release(&encrypt->batch);
   return code;
}

/* ---- Ticks ---- */

static int on_tick(void *self, const kvs_tick *tick, kvs_error *error)
{
   struct encrypt *encrypt = self;
   if (encrypt->spoiled)
      return refuse_spoiled(error);
   kvs_view *view;
   int code = view_create(encrypt->host, encrypt->seal, tick, inner_plugin(encrypt->inner)->flags,
                          &view, error);
   if (code != KVS_OK)
      return code;
   kvs_tick sealed = {0};
   memcpy(&sealed, tick, tick->size < sizeof sealed ? tick->size : sizeof sealed);
   sealed.size = (uint32_t)(tick->size < sizeof sealed ? tick->size : sizeof sealed);
   sealed.view = view;
   sealed.view_bytes = tick->view_bytes + tick->view_count * SEAL_OVERHEAD;
   code = inner_tick(encrypt->inner, &sealed, error);
   encrypt->spoiled = view_exceeded(view);
   view_destroy(view);
   return encrypt->spoiled ? refuse_spoiled(error) : code;
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "encrypt",
    .version = "1.0.0",
    .description = "Encrypts everything that another plug-in keeps, with a key from a file",
    .promise = KVS_DURABLE,
    .flags = KVS_PLUGIN_VERSIONS,
    .options = options,
    .option_count = OPTION_COUNT,
    .open = open_encrypt,
    .on_load = on_load,
    .on_write = on_write,
    .on_tick = on_tick,
    .close = close_encrypt,
};
