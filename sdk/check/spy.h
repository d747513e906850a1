/*
 * A plug-in descriptor that stands in for the one under test, between it and the server's host: it
 * hands the plug-in another host table, so that a case can be an older or newer host, and can see
 * the records as they cross the boundary.
 *
 * Threads: rules are set before an instance is opened.
 */
#ifndef SDK_CHECK_SPY_H
#define SDK_CHECK_SPY_H

#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stdint.h>

struct spy {
   /* What host->size is to be, and host->abi_minor; 0: as they are. Functions that lie beyond the
    * size fail the case when they are called. */
   uint32_t host_size, host_minor;
   /* The time of expiry of a key: views give it, and what on_load hands over must have it. The
    * models keep none. NULL: nothing expires. */
   int64_t (*expiry_of)(kvs_bytes key);
   /* Views give their records in memory that the next read reuses, as KVS_PLUGIN_COPIES allows. */
   bool reuses_view;
   /* Views give fewer records at once than asked for before they end. */
   bool short_reads;
   /* Ticks say that their views hold half of what they do. */
   bool understates_view;
   /* host->load refuses the record of this number, counted from 1, and what follows, with the code;
    * 0: none. Whether it did. */
   uint64_t refuse_load_at;
   int refuse_load_with;
   bool load_refused;
   /* The table has no function that a host may leave NULL, and no extension but that for stacks. */
   bool bare_host;
   /* Each record that on_load hands over, in order. May be NULL. */
   void (*loaded)(const kvs_record *record);
};

extern struct spy spy;

/* `plugin` itself when no rule is set. */
const kvs_plugin *spy_stand_in(const kvs_plugin *plugin);

#endif
