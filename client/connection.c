#include "client/connection.h"

#include "client/channel.h"
#include "client/dial.h"
#include "core/support/clock.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <signal.h>
#include <stdlib.h>

/* How often a wait looks for ^C. */
#define INTERRUPT_CHECK_MS 50
/* After a pause of this length the server may have closed the connection unnoticed: no restart is
 * shorter, and a look at the connection costs about a millisecond. */
#define IDLE_MS 5

#define DEADLINE_EXCEEDED ((enum kv_code)GRPC_STATUS_DEADLINE_EXCEEDED)

struct connection {
   const struct credentials *credentials;
   struct address_list addresses;
   bool interruptible, interrupted;
   bool unreached;
   grpc_completion_queue *queue;  /* never has more than one event in flight, but in dial() */
   grpc_channel *channel;         /* NULL: not connected */
   const struct address *address; /* of the channel */
   gpr_timespec last_use;
};

static gpr_timespec in_ms(int64_t ms)
{
   return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

static bool is_past(gpr_timespec time)
{
   return gpr_time_cmp(gpr_now(GPR_CLOCK_MONOTONIC), time) >= 0;
}

bool connection_interrupted(struct connection *connection)
{
   sigset_t interrupt;
   sigemptyset(&interrupt);
   sigaddset(&interrupt, SIGINT);
   if (connection->interruptible && !connection->interrupted)
      connection->interrupted = sigtimedwait(&interrupt, NULL, &(struct timespec){0}) == SIGINT;
   return connection->interrupted;
}

void connection_forget_interrupt(struct connection *connection)
{
   connection_interrupted(connection);
   connection->interrupted = false;
}

/* ---- Connecting ---- */

/* Lets the channel work for up to `ms`, until it leaves `state`. */
static void watch(struct connection *connection, grpc_channel *channel,
                  grpc_connectivity_state state, int64_t ms)
{
   grpc_channel_watch_connectivity_state(channel, state, in_ms(ms), connection->queue, NULL);
   grpc_completion_queue_next(connection->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

static void disconnect(struct connection *connection)
{
   if (connection->channel)
      grpc_channel_destroy(connection->channel);
   connection->channel = NULL;
   connection->address = NULL;
}

static bool is_connected(struct connection *connection)
{
   if (!connection->channel)
      return false;
   /* gRPC reads its sockets, and so sees an end of file, only during a wait. */
   gpr_timespec idle = gpr_time_from_millis(IDLE_MS, GPR_TIMESPAN);
   if (is_past(gpr_time_add(connection->last_use, idle)))
      watch(connection, connection->channel, GRPC_CHANNEL_READY, 1);
   return grpc_channel_check_connectivity_state(connection->channel, 0) == GRPC_CHANNEL_READY;
}

static bool is_interrupted(void *context)
{
   return connection_interrupted(context);
}

/* Subtracts the time it takes from *left_ms. */
static enum kv_code reconnect(struct connection *connection, const struct connection_call *call,
                              int64_t *left_ms, struct kv_status *status)
{
   disconnect(connection);
   bool shorter = *left_ms > 0 && *left_ms < call->connect_timeout_ms;
   const struct dial what = {
       .addresses = &connection->addresses,
       .credentials = connection->credentials,
       .queue = connection->queue,
       .timeout_ms = shorter ? *left_ms : call->connect_timeout_ms,
       .is_interrupted = is_interrupted,
       .context = connection,
   };
   int64_t start_ms = (int64_t)kv_clock_monotonic_ms();
   enum kv_code code = dial(&what, &connection->channel, &connection->address, status);
   connection->unreached = code == KV_UNAVAILABLE;
   *left_ms -= (int64_t)kv_clock_monotonic_ms() - start_ms;
   return code;
}

/* ---- One call ---- */

/* Runs a batch to its end. ^C cancels the call, which ends the batch, too. */
static bool run_batch(struct connection *connection, grpc_call *call, const grpc_op *ops,
                      size_t count)
{
   if (grpc_call_start_batch(call, ops, count, NULL, NULL) != GRPC_CALL_OK)
      abort();
   for (;;) {
      gpr_timespec until = connection->interruptible ? in_ms(INTERRUPT_CHECK_MS)
                                                     : gpr_inf_future(GPR_CLOCK_MONOTONIC);
      grpc_event event = grpc_completion_queue_next(connection->queue, until, NULL);
      if (event.type == GRPC_OP_COMPLETE)
         return event.success != 0;
      if (connection_interrupted(connection))
         grpc_call_cancel(call, NULL);
   }
}

/* What says who calls. `token` is to be released once the op has ended. */
static grpc_op initial_op(const struct connection *connection, grpc_metadata *token)
{
   const char *authorization = credentials_authorization(connection->credentials);
   *token =
       (grpc_metadata){.key = grpc_slice_from_static_string("authorization"),
                       .value = grpc_slice_from_copied_string(authorization ? authorization : "")};
   return (grpc_op){
       .op = GRPC_OP_SEND_INITIAL_METADATA,
       .data.send_initial_metadata = {.count = authorization ? 1 : 0, .metadata = token}};
}

static bool send_request(struct connection *connection, grpc_call *call, struct kv_slice request)
{
   /* Copied, because gRPC may keep it after a cancelled call has ended. */
   grpc_slice slice = grpc_slice_from_copied_buffer(request.data, request.size);
   grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
   grpc_slice_unref(slice);
   grpc_metadata_array headers;
   grpc_metadata_array_init(&headers);
   grpc_metadata token;
   const grpc_op ops[] = {
       initial_op(connection, &token),
       {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
       {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
       {.op = GRPC_OP_RECV_INITIAL_METADATA,
        .data.recv_initial_metadata.recv_initial_metadata = &headers},
   };
   bool sent = run_batch(connection, call, ops, sizeof ops / sizeof *ops);
   grpc_slice_unref(token.value);
   grpc_metadata_array_destroy(&headers);
   grpc_byte_buffer_destroy(message);
   return sent;
}

static bool send_message(struct connection *connection, grpc_call *call, struct kv_slice message)
{
   grpc_slice slice = grpc_slice_from_copied_buffer(message.data, message.size);
   grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
   grpc_slice_unref(slice);
   const grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = buffer};
   bool sent = run_batch(connection, call, &op, 1);
   grpc_byte_buffer_destroy(buffer);
   return sent;
}

/* A client's stream. *sent is false when the server wants no more of it: its status says why. */
static enum kv_code send_messages(struct connection *connection, grpc_call *call,
                                  const struct connection_call *what, bool *sent,
                                  struct kv_status *status)
{
   grpc_metadata token;
   const grpc_op begin = initial_op(connection, &token);
   struct kv_slice message;
   bool last = false;
   *sent = run_batch(connection, call, &begin, 1);
   grpc_slice_unref(token.value);
   while (*sent) {
      enum kv_code code = what->next(what->next_context, &message, &last, status);
      if (code != KV_OK)
         return code;
      if (last)
         break;
      *sent = send_message(connection, call, message);
   }
   grpc_metadata_array headers;
   grpc_metadata_array_init(&headers);
   /* Whether or not all was sent: gRPC does not give the status before somebody asks for these. */
   const grpc_op end[] = {
       {.op = GRPC_OP_RECV_INITIAL_METADATA,
        .data.recv_initial_metadata.recv_initial_metadata = &headers},
       {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
   };
   *sent = run_batch(connection, call, end, *sent ? 2 : 1) && *sent;
   grpc_metadata_array_destroy(&headers);
   return KV_OK;
}

static enum kv_code hand_over(grpc_byte_buffer *message, connection_reply_fn *on_reply,
                              void *context, struct kv_status *status)
{
   grpc_byte_buffer_reader reader;
   if (!grpc_byte_buffer_reader_init(&reader, message))
      return kv_fail(status, KV_INTERNAL, "the server's answer cannot be decompressed");
   grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
   grpc_byte_buffer_reader_destroy(&reader);
   struct kv_slice reply = kv_slice(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
   enum kv_code code = on_reply(context, reply, status);
   grpc_slice_unref(slice);
   return code;
}

static enum kv_code receive_replies(struct connection *connection, grpc_call *call,
                                    connection_reply_fn *on_reply, void *context,
                                    struct kv_status *status)
{
   for (;;) {
      grpc_byte_buffer *message = NULL;
      const grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &message};
      bool received = run_batch(connection, call, &op, 1);
      if (!message)
         return KV_OK;
      enum kv_code code = received ? hand_over(message, on_reply, context, status) : KV_OK;
      grpc_byte_buffer_destroy(message);
      if (code != KV_OK)
         return code;
      /* Messages may follow each other without a wait, which would notice the interrupt. */
      if (connection_interrupted(connection)) {
         grpc_call_cancel(call, NULL);
         return KV_OK;
      }
   }
}

/* Explains a failure that did not come from the server's handler. */
static enum kv_code explain(struct connection *connection, enum kv_code code, const char *text,
                            const struct connection_call *call, struct kv_status *status)
{
   if (code == DEADLINE_EXCEEDED)
      return kv_fail(status, code,
                     "no answer from %s within %.3g s, it may still take effect; --timeout SECONDS "
                     "waits longer",
                     connection->address->text, (double)call->timeout_ms / 1000);
   if (code == KV_UNAVAILABLE &&
       grpc_channel_check_connectivity_state(connection->channel, 0) != GRPC_CHANNEL_READY)
      return kv_fail(status, code,
                     "the connection to %s broke during the call, which may or may not have taken "
                     "effect: %s",
                     connection->address->text, text);
   if (code == KV_UNAUTHENTICATED && !credentials_authorization(connection->credentials))
      return kv_fail(status, code, "%s; --token-file FILE names the file with your token", text);
   return kv_fail(status, code, "%s", text);
}

static enum kv_code receive_status(struct connection *connection, grpc_call *call,
                                   const struct connection_call *what, struct kv_status *status)
{
   grpc_metadata_array trailers;
   grpc_metadata_array_init(&trailers);
   grpc_status_code code = GRPC_STATUS_UNKNOWN;
   grpc_slice details = grpc_empty_slice();
   const grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                       .data.recv_status_on_client = {.trailing_metadata = &trailers,
                                                      .status = &code,
                                                      .status_details = &details}};
   run_batch(connection, call, &op, 1);
   char *text = grpc_slice_to_c_string(details);
   if (connection->interrupted && code == GRPC_STATUS_CANCELLED)
      kv_fail(status, KV_CANCELLED, "interrupted; the call may or may not have taken effect");
   else if (code != GRPC_STATUS_OK)
      explain(connection, (enum kv_code)code, text, what, status);
   gpr_free(text);
   grpc_slice_unref(details);
   grpc_metadata_array_destroy(&trailers);
   return (enum kv_code)code;
}

/* ---- Interface ---- */

struct connection *connection_create(const char *addresses, const struct credentials *credentials,
                                     bool interruptible, struct kv_status *status)
{
   struct connection *connection = calloc(1, sizeof *connection);
   if (!connection) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
      return NULL;
   }
   if (address_list_init(&connection->addresses, addresses, status) != KV_OK) {
      free(connection);
      return NULL;
   }
   channel_begin();
   connection->credentials = credentials;
   connection->interruptible = interruptible;
   connection->queue = grpc_completion_queue_create_for_next(NULL);
   return connection;
}

void connection_destroy(struct connection *connection)
{
   disconnect(connection);
   grpc_completion_queue_shutdown(connection->queue);
   while (grpc_completion_queue_next(connection->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL)
              .type != GRPC_QUEUE_SHUTDOWN)
      ;
   grpc_completion_queue_destroy(connection->queue);
   grpc_shutdown();
   address_list_deinit(&connection->addresses);
   free(connection);
}

enum kv_code connection_call(struct connection *connection, const struct connection_call *call,
                             connection_reply_fn *on_reply, void *context, struct kv_status *status)
{
   connection->unreached = false;
   int64_t left_ms = call->timeout_ms;
   if (!is_connected(connection) && reconnect(connection, call, &left_ms, status) != KV_OK)
      return status->code;

   gpr_timespec deadline =
       call->timeout_ms ? in_ms(left_ms > 0 ? left_ms : 1) : gpr_inf_future(GPR_CLOCK_MONOTONIC);
   /* Copied, because the channel keeps it and compares the names of later calls with it. */
   grpc_slice method = grpc_slice_from_copied_string(call->method);
   grpc_call *rpc = grpc_channel_create_call(connection->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                             connection->queue, method, NULL, deadline, NULL);
   grpc_slice_unref(method);
   enum kv_code code = KV_OK;
   struct kv_status reply_status = {.code = KV_OK};
   bool sent;
   if (call->next)
      code = send_messages(connection, rpc, call, &sent, &reply_status);
   else
      sent = send_request(connection, rpc, call->request);
   if (code == KV_OK && sent)
      code = receive_replies(connection, rpc, on_reply, context, &reply_status);
   if (code != KV_OK)
      grpc_call_cancel(rpc, NULL);
   enum kv_code ended = receive_status(connection, rpc, call, status);
   grpc_call_unref(rpc);
   connection->last_use = gpr_now(GPR_CLOCK_MONOTONIC);
   if (code == KV_OK)
      return ended;
   *status = reply_status;
   return code;
}

bool connection_reached(const struct connection *connection)
{
   return !connection->unreached;
}
