#include "bench/load/call.h"

#include "bench/load/message.h"

#include <grpc/byte_buffer.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The tag of an event is the call; one more for the next message of a stream. */
#define PART_TAG 1

static void start(struct call *call, const grpc_op *ops, size_t count, size_t tag)
{
   if (grpc_call_start_batch(call->grpc, ops, count, (char *)call + tag, NULL) != GRPC_CALL_OK)
      abort();
}

static void receive_part(struct call *call)
{
   const grpc_op op = {.op = GRPC_OP_RECV_MESSAGE,
                       .data.recv_message.recv_message = &call->message};
   start(call, &op, 1, PART_TAG);
}

void call_start(struct call *call, const struct workload_request *request,
                const struct workload *workload, int64_t timeout_ms)
{
   grpc_slice slice = grpc_slice_malloc(request->size);
   workload_write(workload, GRPC_SLICE_START_PTR(slice));
   grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
   grpc_slice_unref(slice);

   call->request = *request;
   call->reply = (struct reply){0};
   call->message = NULL;
   grpc_metadata_array_init(&call->headers);
   grpc_metadata_array_init(&call->trailers);
   gpr_timespec deadline =
       gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
   call->grpc = grpc_channel_create_registered_call(
       call->target->channel, NULL, GRPC_PROPAGATE_DEFAULTS, call->queue,
       call->target->methods[request->method], deadline, NULL);
   /* The stream of a scan takes its messages in batches of their own. */
   bool stream = request->method == WORKLOAD_CALL_SCAN;
   const grpc_op ops[] = {
       {.op = GRPC_OP_SEND_INITIAL_METADATA,
        .data.send_initial_metadata = {.count = call->target->metadata_count,
                                       .metadata = call->target->metadata}},
       {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
       {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
       {.op = GRPC_OP_RECV_INITIAL_METADATA,
        .data.recv_initial_metadata.recv_initial_metadata = &call->headers},
       {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
        .data.recv_status_on_client = {.trailing_metadata = &call->trailers,
                                       .status = &call->code,
                                       .status_details = &call->details}},
       {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->message},
   };
   size_t count = sizeof ops / sizeof *ops;
   call->pending = stream ? 2 : 1;
   start(call, ops, stream ? count - 1 : count, 0);
   if (stream)
      receive_part(call);
   grpc_byte_buffer_destroy(message);
}

static bool add_message(void *context, struct kv_slice message)
{
   struct call *call = context;
   return reply_add(&call->reply, call->request.method, message, call->changed,
                    call->changed_context);
}

/* Reads what was received, if anything; a reply that cannot be read makes the call fail. */
static void take_message(struct call *call)
{
   if (!call->message)
      return;
   if (!message_read(call->message, add_message, call) &&
       call->reply.errors[GRPC_STATUS_INTERNAL]++ == 0)
      snprintf(call->reply.error_text, sizeof call->reply.error_text,
               "the reply cannot be decoded");
   grpc_byte_buffer_destroy(call->message);
   call->message = NULL;
}

struct call *call_take(const grpc_event *event)
{
   bool part = ((uintptr_t)event->tag & PART_TAG) != 0;
   struct call *call = (struct call *)((char *)event->tag - (part ? PART_TAG : 0));
   if (part && call->message) {
      take_message(call);
      receive_part(call);
      return NULL;
   }
   if (!part && call->request.method != WORKLOAD_CALL_SCAN)
      take_message(call);
   return --call->pending == 0 ? call : NULL;
}

void call_release(struct call *call)
{
   grpc_slice_unref(call->details);
   grpc_metadata_array_destroy(&call->headers);
   grpc_metadata_array_destroy(&call->trailers);
   grpc_call_unref(call->grpc);
}
