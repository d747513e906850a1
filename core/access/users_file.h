/*
 * The users file on disk: read by a server, edited beside it.
 *
 * An edit leaves comments and the other lines as they are, keeps the file's owner and mode, and
 * puts the new file in the place of the old one in one step: a server never sees half of it. What
 * would not be read as users is not written. Of two that edit at the same time one waits.
 *
 * Threads: any.
 */
#ifndef KV_USERS_FILE_H
#define KV_USERS_FILE_H

#include "core/support/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes. */
#define KV_USERS_FILE_MAX ((size_t)4 << 20)
/* Bytes of a token's text with its end, and of its word in the file with its end. */
#define KV_TOKEN_SIZE ((size_t)48)
#define KV_TOKEN_WORD_SIZE ((size_t)78)

/* What the file has, with a zero byte behind it; the caller frees *text. `path` is for errors. */
enum kv_code kv_users_file_read(int fd, const char *path, char **text, size_t *size,
                                struct kv_status *status);

/* Adds a line; a file that is not there is made with mode 0644 (what it has of random tokens is no
 * secret). INVALID_ARGUMENT when the users would not be valid with it, or are not without. */
enum kv_code kv_users_file_add(const char *path, const char *line, struct kv_status *status);
/* Takes out the line of the user; NOT_FOUND when there is none. */
enum kv_code kv_users_file_remove(const char *path, const char *name, struct kv_status *status);

/* A new random token of 256 bits, and what the file has of it: token=sha256:HEX. False when the
 * system has no random numbers. */
bool kv_token_create(char token[KV_TOKEN_SIZE], char word[KV_TOKEN_WORD_SIZE]);

#endif
