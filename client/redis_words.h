/*
 * What people know from Redis, and how it is written here. For messages alone: nothing of it is
 * understood.
 *
 * Pure functions, any thread.
 */
#ifndef CLIENT_REDIS_WORDS_H
#define CLIENT_REDIS_WORDS_H

#include "core/support/slice.h"

#include <stdbool.h>

#define REDIS_TEXT_SIZE 128

/* An option of its SET, with the word after it: false where it is none. */
bool redis_option(struct kv_slice word, struct kv_slice next, char text[REDIS_TEXT_SIZE]);
/* What does here what a command of this name does there; NULL: unknown. */
const char *redis_command(struct kv_slice name);

#endif
