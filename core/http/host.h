/*
 * What a request calls the server (its header Host), as a guard against DNS rebinding: a page of a
 * stranger may have its own name resolve to an address of this machine, and then ask, as the same
 * origin, for what only this machine was to see. Its name stands in Host. An address cannot be
 * resolved to another one, and "localhost" is not the stranger's to resolve.
 *
 * Pure, any thread.
 */
#ifndef KV_HTTP_HOST_H
#define KV_HTTP_HOST_H

#include <stdbool.h>

/* Whether `host`, as in Host, is a number or "localhost", with or without a port. NULL, as of a
 * client that is no browser: true. */
bool kv_http_host_is_local(const char *host);

#endif
