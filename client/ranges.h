/*
 * The commands over many keys: keys, scan, and del with a range.
 *
 * One thread.
 */
#ifndef CLIENT_RANGES_H
#define CLIENT_RANGES_H

#include "client/options.h"
#include "client/session.h"

#include <kvstore/v1/key_value.pb-c.h>

/* The range that the option --prefix or --range, which `options` has just returned, asks for. */
void ranges_take(const struct options *options, int option, Kvstore__V1__KeyRange *range);
/* del --prefix or --range: asks first where a person types, and wants --yes where nobody does. */
int ranges_delete(struct session *session, const struct kv_slice *arguments, size_t count);

#endif
