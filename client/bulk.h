/*
 * Sends consecutive lines of a pipe, one operation each, as one Batch call. Output, order and exit
 * code are those of the lines run one by one, and no write is sent twice unless the server said
 * that it changed nothing.
 *
 * A batch has only writes or only reads: reads can be repeated when a batch of them is refused.
 * One thread.
 */
#ifndef CLIENT_BULK_H
#define CLIENT_BULK_H

#include "client/session.h"
#include "client/words.h"

struct bulk;

/* NULL when memory runs out. */
struct bulk *bulk_create(struct session *session);
void bulk_destroy(struct bulk *bulk);

/* Takes over the words of a line, to run them later. False: they do not fit into the pending batch,
 * or into any; the caller keeps them. */
bool bulk_add(struct bulk *bulk, const struct words *words, size_t line);

/* Runs the pending lines. Returns the exit code of the first that failed. */
int bulk_run(struct bulk *bulk);

#endif
