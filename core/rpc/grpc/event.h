/*
 * The tag of everything that is put into a gRPC queue: who handles it when it comes out.
 */
#ifndef KV_RPC_GRPC_EVENT_H
#define KV_RPC_GRPC_EVENT_H

#include <stdbool.h>

struct kv_rpc_event {
   void (*handle)(void *owner, bool ok);
   void *owner;
};

/* gRPC's queues order what is done before an event is put in and after it is taken out. The thread
 * sanitizer does not see that, as it does not see into gRPC: these two tell it. */
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
static inline void kv_rpc_handed_over(struct kv_rpc_event *event)
{
   __tsan_release(event);
}
static inline void kv_rpc_taken_over(struct kv_rpc_event *event)
{
   __tsan_acquire(event);
}
#else
static inline void kv_rpc_handed_over(struct kv_rpc_event *event)
{
   (void)event;
}
static inline void kv_rpc_taken_over(struct kv_rpc_event *event)
{
   (void)event;
}
#endif

#endif
