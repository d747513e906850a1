/*
 * Lines from a pipe that follow each other and are one operation each, taken together into a Batch
 * call. What is printed, in which order, and the exit code are those of the lines run one by one;
 * and no write is sent twice unless the server said that it changed nothing.
 *
 * Only writes, or only reads, go together: reads can be repeated where a batch of them is refused.
 * One thread.
 */
#ifndef CLIENT_BULK_H
#define CLIENT_BULK_H

#include "client/session.h"
#include "client/words.h"

struct bulk;

/* NULL where memory is out. */
struct bulk *bulk_create(struct session *session);
void bulk_destroy(struct bulk *bulk);

/* Takes over the words of a line to be run later. False: they cannot go with those that wait, or
 * are nothing for a batch; the caller keeps them. */
bool bulk_add(struct bulk *bulk, const struct words *words, size_t line);

/* Runs what waits. The exit code of the first line that failed. */
int bulk_run(struct bulk *bulk);

#endif
