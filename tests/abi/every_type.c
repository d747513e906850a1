/* Uses every type of the ABI, so that the debugging information of this object describes them all.
 * It is what tests/abi/plugin-1.abi was recorded from. Valid C11 and C++17. */
#include "kvstore/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

KVS_EXPORT void kvstore_every_type(kvs_bytes *bytes, kvs_record *record, kvs_view *view,
                                   kvs_option *option, kvs_setting *setting, kvs_error *error,
                                   kvs_load_note *note, kvs_host *host, kvs_tick *tick,
                                   kvs_plugin *plugin, kvs_stack *stack, kvs_syncs *syncs,
                                   kvs_history *history);

void kvstore_every_type(kvs_bytes *bytes, kvs_record *record, kvs_view *view, kvs_option *option,
                        kvs_setting *setting, kvs_error *error, kvs_load_note *note, kvs_host *host,
                        kvs_tick *tick, kvs_plugin *plugin, kvs_stack *stack, kvs_syncs *syncs,
                        kvs_history *history)
{
   (void)bytes, (void)record, (void)view, (void)option, (void)setting;
   (void)error, (void)note, (void)host, (void)tick, (void)plugin, (void)stack, (void)syncs,
       (void)history;
}

#ifdef __cplusplus
}
#endif
