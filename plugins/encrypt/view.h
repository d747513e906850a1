/*
 * The view that the inner plug-in reads: every record sealed, in ascending order of the sealed
 * keys.
 *
 * That is not the order of the host's view. So the first read goes through the host's view once,
 * notes where each record is and its tag, and sorts. A tick in which the inner plug-in reads
 * nothing costs nothing.
 *
 * Memory: 64 bytes for each key, for sorting 16 more, and what is sealed: about 1 MiB, or the
 * largest record, when the inner plug-in copies (KVS_PLUGIN_COPIES), else all of it, since an inner
 * plug-in may rely on it until its hook returns. As a read has no way to fail, and a shortened view
 * would be taken for a whole one, all of it is reserved before the inner hook is called; only what
 * is used takes memory. Should the host's view hold more than its tick says, against the ABI, the
 * reader gets a record that no key opens, and nothing else.
 *
 * Threads: the control thread.
 */
#ifndef ENCRYPT_VIEW_H
#define ENCRYPT_VIEW_H

#include "kvstore/plugin.h"
#include "plugins/encrypt/seal.h"

#include <stdbool.h>

/* KVS_NO_SPACE when memory runs out. `flags` are the reader's: with KVS_PLUGIN_VERSIONS it gets
 * each record's own sequence, as the host gives it, else that of the view. */
int view_create(const kvs_host *host, const struct seal *seal, const kvs_tick *tick, uint32_t flags,
                kvs_view **view, kvs_error *error);
void view_destroy(kvs_view *view);

/* Stands in for host->view_read. */
size_t view_read(kvs_view *view, kvs_record *records, size_t capacity);
/* Whether the host's view proved to hold more than its tick says: what was made of this one will
 * not load. */
bool view_exceeded(const kvs_view *view);

#endif
