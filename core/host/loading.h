/*
 * What a plug-in hands over while its on_load runs: checked, put into the transaction that becomes
 * the store's first version, and shown to whoever follows the changes of the data.
 *
 * Promises
 *  - Nothing that the store could not keep, or that breaks what the ABI says of a load, gets in;
 *    the
 *    first such thing fails the load, whatever the plug-in makes of the refusal.
 *
 * Threads: the control thread, inside of kv_instance_load.
 */
#ifndef KV_LOADING_H
#define KV_LOADING_H

#include "core/host/instance.h"

#include <stdbool.h>
#include <stdint.h>

/* Embedded in an instance; valid after memset to zero but for the first fields. */
struct kv_loading {
   const kvs_plugin *plugin;
   const struct kv_instance_observer *observer;
   struct kv_load_report *report; /* NULL: none */

   bool active;
   struct kv_transaction *transaction; /* NULL: nothing may be handed over */
   uint64_t highest, declared;         /* sequences, of the records and by loaded_to */
   bool is_history;                    /* the records are changes, one after the other */
   uint64_t last_change;               /* the sequence of the last one */
   struct kv_status refusal;           /* why what was handed over is not acceptable */
};

void kv_loading_begin(struct kv_loading *loading, struct kv_transaction *transaction);
/* Checks the whole, and gives the sequence that the state has reached. loading->refusal says
 * whether all is well. */
void kv_loading_end(struct kv_loading *loading, uint64_t *sequence);

/* As host->load, host->loaded_to, host->load_note, and kvs_history.complete_above. */
int kv_loading_take(struct kv_loading *loading, const kvs_record *records, size_t count,
                    kvs_error *error);
void kv_loading_declare(struct kv_loading *loading, uint64_t sequence);
void kv_loading_note(const struct kv_loading *loading, const kvs_load_note *note);
void kv_loading_begin_history(struct kv_loading *loading, uint64_t sequence);

#endif
