/*
 * The load: opens what the inner plug-in hands over, and hands it on to the host.
 *
 * A key too long for its tag to stand beside it comes with its value. To delete such a key, which
 * comes without a value, the load remembers each that it has seen. Deletions of others are left
 * out: there is nothing that they would delete.
 *
 * Threads: the control thread.
 */
#ifndef ENCRYPT_OPENING_H
#define ENCRYPT_OPENING_H

#include "kvstore/plugin.h"
#include "plugins/encrypt/seal.h"

struct opening;

/* `key_path` is for messages. All must outlive it. NULL when memory runs out. */
struct opening *opening_create(const kvs_host *host, const struct seal *seal, const char *key_path);
void opening_destroy(struct opening *opening);

/* As host->load and host->loaded_to, of sealed records. */
int opening_load(struct opening *opening, const kvs_record *records, size_t count,
                 kvs_error *error);
void opening_loaded_to(struct opening *opening, uint64_t sequence);

/* After the inner on_load, which returned `code`. Returns the code of the load as a whole: a record
 * that did not open fails it, whatever the inner plug-in returned. */
int opening_finish(struct opening *opening, int code, kvs_error *error);

#endif
