#include "tests/interop/test_service.h"

#include "core/rpc/call.h"

#include "grpc/testing/empty.pb-c.h"
#include "grpc/testing/messages.pb-c.h"

#include <stdlib.h>

typedef Grpc__Testing__EchoStatus echo_status;
typedef Grpc__Testing__SimpleRequest simple_request;
typedef Grpc__Testing__StreamingInputCallRequest input_request;
typedef Grpc__Testing__StreamingOutputCallRequest output_request;

/* A client asks for a payload of so many bytes at most. */
#define PAYLOAD_MAX (64 << 20)
/* The highest code of gRPC's statuses: UNAUTHENTICATED. */
#define CODE_MAX 16

/* ---- Messages ---- */

/* Freed by protobuf_c_message_free_unpacked; or NULL, and the call has been failed. */
static void *decode(struct kv_call *call, const ProtobufCMessageDescriptor *descriptor,
                    struct kv_slice request)
{
   void *message = protobuf_c_message_unpack(descriptor, NULL, request.size, request.data);
   if (!message)
      kv_call_fail(call, KV_INVALID_ARGUMENT, "the request is not the method's message");
   return message;
}

static void release(void *message)
{
   protobuf_c_message_free_unpacked(message, NULL);
}

static void fail_out_of_memory(struct kv_call *call)
{
   struct kv_status status;
   kv_call_exhausted(call, &status);
   kv_call_fail(call, status.code, status.text);
}

/* False when there is no memory for it; the call is failed then. */
static bool encode(struct kv_call *call, const ProtobufCMessage *message)
{
   uint8_t *bytes = kv_call_message(call, protobuf_c_message_get_packed_size(message));
   if (bytes)
      protobuf_c_message_pack(message, bytes);
   else
      fail_out_of_memory(call);
   return bytes;
}

/* A payload of zeros, released by free(body.data). False: the call has been failed. */
static bool make_payload(struct kv_call *call, int32_t size, Grpc__Testing__Payload *payload)
{
   *payload = (Grpc__Testing__Payload)GRPC__TESTING__PAYLOAD__INIT;
   if (size < 0 || size > PAYLOAD_MAX) {
      kv_call_fail(call, KV_INVALID_ARGUMENT, "the size of a payload is from 0 to 64 MiB");
      return false;
   }
   payload->body.data = calloc((size_t)size + 1, 1);
   payload->body.len = (size_t)size;
   if (!payload->body.data)
      kv_call_fail(call, KV_RESOURCE_EXHAUSTED, "the server is out of memory for the payload");
   return payload->body.data;
}

/* ---- What the client may ask of any method ---- */

static bool echo_metadata(struct kv_call *call)
{
   static const struct {
      enum kv_rpc_metadata where;
      const char *name;
   } echoed[] = {
       {KV_RPC_INITIAL, "x-grpc-test-echo-initial"},
       {KV_RPC_TRAILING, "x-grpc-test-echo-trailing-bin"},
   };
   struct kv_slice value;
   for (size_t i = 0; i < sizeof echoed / sizeof *echoed; i++)
      if (kv_call_metadata(call, echoed[i].name, &value) &&
          !kv_call_add_metadata(call, echoed[i].where, echoed[i].name, value)) {
         fail_out_of_memory(call);
         return false;
      }
   return true;
}

/* Whether the call goes on; else it has been failed as its client wishes. */
static bool goes_on(struct kv_call *call, const echo_status *wanted)
{
   if (!wanted || wanted->code == KV_OK)
      return true;
   if (wanted->code < 0 || wanted->code > CODE_MAX)
      kv_call_fail(call, KV_INVALID_ARGUMENT, "there is no such status code");
   else
      kv_call_fail(call, (enum kv_code)wanted->code, wanted->message);
   return false;
}

/* Whether the request came compressed as its client says; else the call has been failed. */
static bool came_as_said(struct kv_call *call, const Grpc__Testing__BoolValue *compressed)
{
   if (!compressed || compressed->value == call->packed)
      return true;
   kv_call_fail(call, KV_INVALID_ARGUMENT,
                compressed->value ? "the request did not come compressed"
                                  : "the request came compressed");
   return false;
}

/* ---- Unary calls ---- */

static void answer_empty(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   Grpc__Testing__Empty *empty = decode(call, &grpc__testing__empty__descriptor, request);
   if (!empty)
      return;
   if (echo_metadata(call) && encode(call, &empty->base))
      kv_call_reply(call);
   release(empty);
}

static void answer_simple(struct kv_call *call, const simple_request *request)
{
   if (!came_as_said(call, request->expect_compressed) || !echo_metadata(call) ||
       !goes_on(call, request->response_status))
      return;
   Grpc__Testing__Payload payload;
   Grpc__Testing__SimpleResponse response = GRPC__TESTING__SIMPLE_RESPONSE__INIT;
   if (!make_payload(call, request->response_size, &payload))
      return;
   response.payload = &payload;
   if (encode(call, &response.base))
      kv_call_reply(call);
   free(payload.body.data);
}

static void answer_unary(void *service, struct kv_call *call, struct kv_slice bytes)
{
   (void)service;
   simple_request *request = decode(call, &grpc__testing__simple_request__descriptor, bytes);
   if (!request)
      return;
   answer_simple(call, request);
   release(request);
}

static void answer_cacheable(void *service, struct kv_call *call, struct kv_slice bytes)
{
   if (kv_call_add_metadata(call, KV_RPC_INITIAL, "cache-control",
                            kv_slice_of("max-age=60, public")))
      answer_unary(service, call, bytes);
   else
      fail_out_of_memory(call);
}

/* ---- StreamingInputCall: one reply, when the client has sent everything ---- */

/* A stream's state, zeroed, in its arena; or NULL, and the call has been failed. */
static void *state_of(struct kv_call *call, size_t size)
{
   void **state = kv_call_state(call);
   if (*state)
      return *state;
   *state = kv_arena_alloc(kv_call_arena(call), size);
   if (!*state)
      fail_out_of_memory(call);
   else
      memset(*state, 0, size);
   return *state;
}

static void add_input(void *service, struct kv_call *call, struct kv_slice bytes)
{
   (void)service;
   size_t *total = state_of(call, sizeof *total);
   if (!total)
      return;
   input_request *request =
       decode(call, &grpc__testing__streaming_input_call_request__descriptor, bytes);
   if (!request)
      return;
   if (came_as_said(call, request->expect_compressed)) {
      *total += request->payload ? request->payload->body.len : 0;
      kv_call_read_next(call);
   }
   release(request);
}

static void answer_input(void *service, struct kv_call *call)
{
   (void)service;
   Grpc__Testing__StreamingInputCallResponse response =
       GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
   const size_t *total = state_of(call, sizeof *total);
   if (!total || !echo_metadata(call))
      return;
   response.aggregated_payload_size = (int32_t)*total;
   if (!encode(call, &response.base))
      return;
   kv_call_send(call);
   kv_call_finish(call);
}

/* ---- Streams of replies ---- */

/* A request whose replies are still to be sent. */
struct wanted {
   struct wanted *after;
   output_request *request;
   size_t sent; /* of its replies */
};

struct output {
   struct wanted *first, **end;
   bool half_closed; /* or there is one request only */
};

static void drop_first(struct output *output)
{
   struct wanted *first = output->first;
   output->first = first->after;
   if (!output->first)
      output->end = &output->first;
   release(first->request);
   free(first);
}

/* Sends the next reply; `sent` goes on. When there is none, reads on or finishes. */
static void send_next(void *service, struct kv_call *call)
{
   (void)service;
   struct output *output = *kv_call_state(call);
   while (output->first && output->first->sent == output->first->request->n_response_parameters)
      drop_first(output);
   if (!output->first) {
      if (output->half_closed)
         kv_call_finish(call);
      else
         kv_call_read_next(call);
      return;
   }
   struct wanted *wanted = output->first;
   Grpc__Testing__Payload payload;
   Grpc__Testing__StreamingOutputCallResponse response =
       GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
   if (!make_payload(call, wanted->request->response_parameters[wanted->sent++]->size, &payload))
      return;
   response.payload = &payload;
   if (encode(call, &response.base))
      kv_call_send(call);
   free(payload.body.data);
}

/* Notes what is wanted. False: the call has been failed. */
static bool note(struct kv_call *call, struct kv_slice bytes)
{
   bool begins = !*kv_call_state(call);
   struct output *output = state_of(call, sizeof *output);
   if (!output || (begins && !echo_metadata(call)))
      return false;
   if (begins)
      output->end = &output->first;
   output_request *request =
       decode(call, &grpc__testing__streaming_output_call_request__descriptor, bytes);
   if (!request)
      return false;
   struct wanted *wanted = NULL;
   if (goes_on(call, request->response_status)) {
      wanted = malloc(sizeof *wanted);
      if (!wanted)
         kv_call_fail(call, KV_RESOURCE_EXHAUSTED, "the server is out of memory for the request");
   }
   if (!wanted) {
      release(request);
      return false;
   }
   *wanted = (struct wanted){.request = request};
   *output->end = wanted;
   output->end = &wanted->after;
   return true;
}

static void answer_output(void *service, struct kv_call *call, struct kv_slice bytes)
{
   if (!note(call, bytes))
      return;
   struct output *output = *kv_call_state(call);
   output->half_closed = true;
   send_next(service, call);
}

static void answer_each(void *service, struct kv_call *call, struct kv_slice bytes)
{
   if (note(call, bytes))
      send_next(service, call);
}

static void collect(void *service, struct kv_call *call, struct kv_slice bytes)
{
   (void)service;
   if (note(call, bytes))
      kv_call_read_next(call);
}

static void answer_collected(void *service, struct kv_call *call)
{
   bool begins = !*kv_call_state(call);
   struct output *output = state_of(call, sizeof *output);
   if (!output || (begins && !echo_metadata(call)))
      return;
   output->half_closed = true;
   send_next(service, call);
}

static void close_output(void *service, struct kv_call *call)
{
   (void)service;
   struct output *output = *kv_call_state(call);
   while (output && output->first)
      drop_first(output);
}

#define PATH(name) "/grpc.testing.TestService/" name

const struct kv_rpc_method test_service_methods[TEST_SERVICE_METHODS] = {
    {.path = PATH("EmptyCall"), .request = answer_empty},
    {.path = PATH("UnaryCall"), .request = answer_unary},
    {.path = PATH("CacheableUnaryCall"), .request = answer_cacheable},
    {.path = PATH("StreamingInputCall"),
     .kind = KV_RPC_BIDI,
     .request = add_input,
     .half_closed = answer_input},
    {.path = PATH("StreamingOutputCall"),
     .kind = KV_RPC_SERVER_STREAM,
     .request = answer_output,
     .sent = send_next,
     .closed = close_output},
    {.path = PATH("FullDuplexCall"),
     .kind = KV_RPC_BIDI,
     .request = answer_each,
     .sent = send_next,
     .half_closed = answer_collected,
     .closed = close_output},
    {.path = PATH("HalfDuplexCall"),
     .kind = KV_RPC_BIDI,
     .request = collect,
     .sent = send_next,
     .half_closed = answer_collected,
     .closed = close_output},
};
