/*
 * The users of a server: who there is, what proves it, and what each may do. Read from text, one
 * line a user; '#' begins a comment line:
 *
 *    NAME GRANT... [token=sha256:HEX]... [cert=NAME]... [uid=NUMBER]...
 *
 * A grant is read:PREFIX, write:PREFIX, readwrite:PREFIX or admin. PREFIX `*` stands for all keys;
 * in it, and in the name of a certificate, %XX stands for a byte. Reading and writing are separate.
 * An admin may call every method, for all keys. No proof may belong to two users.
 *
 * It does not change once it has been read. Threads: any.
 */
#ifndef KV_USERS_H
#define KV_USERS_H

#include "core/support/slice.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stdint.h>

#define KV_USER_NAME_MAX ((size_t)64)
#define KV_TOKEN_HASH_SIZE ((size_t)32)

enum kv_role {
   KV_ROLE_READ = 1,
   KV_ROLE_WRITE = 2,
   KV_ROLE_ADMIN = 4,
};

struct kv_users;
struct kv_user;

/* INVALID_ARGUMENT names the line and what is wrong with it, but no secret. NULL with `status`. */
struct kv_users *kv_users_parse(struct kv_slice text, struct kv_status *status);
void kv_users_destroy(struct kv_users *users);
size_t kv_users_count(const struct kv_users *users);

/* Whose token that is, of which only the hash is kept; NULL: nobody's. All hashes are compared
 * whole, so that the time it takes tells nothing of them. */
const struct kv_user *kv_users_of_token(const struct kv_users *users, struct kv_slice token);
const struct kv_user *kv_users_of_certificate(const struct kv_users *users, struct kv_slice name);
const struct kv_user *kv_users_of_uid(const struct kv_users *users, uint32_t uid);

/* Both live as long as the users do. */
const char *kv_user_name(const struct kv_user *user);
/* Whether the user has the role, KV_ROLE_READ or KV_ROLE_WRITE, for all keys with the prefix: with
 * a key as the prefix, for that key; with an empty one, for all keys. */
bool kv_user_may(const struct kv_user *user, enum kv_role role, struct kv_slice prefix);
bool kv_user_is_admin(const struct kv_user *user);

#endif
