/*
 * The commands over many keys: keys, scan, and del with a range.
 *
 * One thread.
 */
#ifndef CLIENT_RANGES_H
#define CLIENT_RANGES_H

#include "client/session.h"

#include <kvstore/v1/key_value.pb-c.h>

/* Whether a word begins a range of keys: --prefix or --range. */
bool ranges_is_option(struct kv_slice word);
/* Where words[*at] begins a range, fills it in and moves on to its last word. False: it does not,
 * or lacks a word. */
bool ranges_take(const struct kv_slice *words, size_t count, size_t *at,
                 Kvstore__V1__KeyRange *range);
/* del --prefix or --range: asks first where a person types, and wants --yes where nobody does. */
int ranges_delete(struct session *session, const struct kv_slice *arguments, size_t count);

#endif
