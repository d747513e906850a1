/*
 * Becoming another user: what a server that is started as root does before it opens anything, so
 * that it neither creates nor reads anything as root.
 *
 * Threads: before any other thread exists.
 */
#ifndef KV_RUN_AS_H
#define KV_RUN_AS_H

#include "core/support/status.h"

/* Becomes `user` ("NAME", "UID", "NAME:GROUP" or "UID:GID") for good, with that user's groups and
 * no way back. Does nothing when the process is that user already. INVALID_ARGUMENT for an unknown
 * user, PERMISSION_DENIED when the process does not run as root. */
enum kv_code kv_run_as(const char *user, struct kv_status *status);

#endif
