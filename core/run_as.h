/*
 * Becoming another user: what a server that was started as root does before it opens anything, so
 * that nothing it makes or reads is root's.
 *
 * Threads: before any other thread exists.
 */
#ifndef KV_RUN_AS_H
#define KV_RUN_AS_H

#include "core/support/status.h"

/* For good becomes `user`, "NAME", "UID", "NAME:GROUP" or "UID:GID", with that user's groups and no
 * way back. Nothing happens when the process is that user already. INVALID_ARGUMENT for a user that
 * is not known, PERMISSION_DENIED when the process is not root's. */
enum kv_code kv_run_as(const char *user, struct kv_status *status);

#endif
