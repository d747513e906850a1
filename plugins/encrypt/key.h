/*
 * The key file, and the file in the instance's directory that shows a wrong key.
 *
 * Nothing of the key file's content is ever in an error, a log line or a file.
 *
 * Threads: one at a time.
 */
#ifndef ENCRYPT_KEY_H
#define ENCRYPT_KEY_H

#include "kvstore/plugin.h"
#include "plugins/encrypt/seal.h"

#include <stdbool.h>

/* Reads the key file and makes the seal of the store from it. KVS_INVALID for a file that cannot
 * serve: what is wrong with it, and what to do, is in the log. The text is the same for all, since
 * it may go to a client, which could ask about any path. */
int key_read(const kvs_host *host, const char *path, struct seal **seal, kvs_error *error);

/* Compares the key with the one that host->directory was written with. *known is false when there
 * is no file to check it by. KVS_INVALID for another key or another store, KVS_CORRUPT for a
 * damaged file. Writes nothing. */
int key_check(const kvs_host *host, const struct seal *seal, const char *path, bool *known,
              kvs_error *error);
/* Writes that file, durably. */
int key_record(const kvs_host *host, const struct seal *seal, kvs_error *error);

#endif
