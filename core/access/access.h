/*
 * Who a peer is, by the users file: read at the start and again when it has changed. A file with a
 * fault leaves the users as they were.
 *
 * What was found is kept for each connection (struct kv_known): while it shows the same token and
 * the users are the same, the answer costs a comparison. Users that have been replaced live as long
 * as a connection is known by them.
 *
 * Threads: any; a struct kv_known belongs to one at a time.
 */
#ifndef KV_ACCESS_H
#define KV_ACCESS_H

#include "core/access/users.h"

struct kv_access;
struct kv_known;

/* The reason of a refusal: the token is nobody's. */
#define KV_TOKEN_UNKNOWN "TOKEN_UNKNOWN"

/* What a peer shows. */
struct kv_proof {
   struct kv_slice token;       /* empty: none */
   struct kv_slice certificate; /* the name in a verified one; empty: none */
   bool is_local;               /* the system says who it is: */
   uint32_t uid;
};

/* NULL with `status`, which names the file, and the line where a line is at fault. */
struct kv_access *kv_access_create(const char *path, struct kv_status *status);
/* Nobody is known by it any more. */
void kv_access_destroy(struct kv_access *access);
/* Reads the file again. On failure nothing has changed. One thread at a time. */
enum kv_code kv_access_reload(struct kv_access *access, struct kv_status *status);
/* The same if the file has changed, or in any case with `again`; what has come of it is logged. */
void kv_access_look(struct kv_access *access, bool again);

/* Who shows that: the token decides if there is one, then the certificate, then the system. *known
 * is what was found before (NULL: nothing). Where that no longer holds another takes its place, and
 * the caller has both. NULL with `status` when it is nobody; the user lives as long as *known. */
const struct kv_user *kv_access_identify(struct kv_access *access, const struct kv_proof *proof,
                                         struct kv_known **known, struct kv_status *status);
/* Whether that is known as it is: kv_access_identify would have nothing to find out. */
bool kv_access_still_knows(const struct kv_access *access, const struct kv_proof *proof,
                           const struct kv_known *known);
/* Changes with the users. Not 0. */
uint64_t kv_access_edition(const struct kv_access *access);
/* What is said of a token that is nobody's. */
enum kv_code kv_access_refuse_token(struct kv_status *status);
/* NULL: nothing. */
void kv_known_destroy(struct kv_known *known);

#endif
