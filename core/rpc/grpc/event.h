/*
 * The tag of everything that is put into a gRPC queue: who handles it when it comes out.
 */
#ifndef KV_RPC_GRPC_EVENT_H
#define KV_RPC_GRPC_EVENT_H

#include <stdbool.h>
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

struct kv_grpc_event {
   void (*handle)(void *owner, bool ok);
   void *owner;
};

/* gRPC's queues order what is done before an event is put in and after it is taken out. The thread
 * sanitizer cannot see that, as it does not see into gRPC: these two declare it. */
static inline void kv_grpc_handed_over(struct kv_grpc_event *event)
{
#if defined(__SANITIZE_THREAD__)
   __tsan_release(event);
#endif
   (void)event;
}

static inline void kv_grpc_taken_over(struct kv_grpc_event *event)
{
#if defined(__SANITIZE_THREAD__)
   __tsan_acquire(event);
#endif
   (void)event;
}

#endif
