#include "tests/support/rpc_fixture.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static grpc_channel *connect_to(const char *target)
{
   grpc_arg args[] = {
       {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, .value.integer = -1},
       {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
       {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_ENABLE_HTTP_PROXY, .value.integer = 0},
   };
   grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
   grpc_channel *channel = grpc_channel_create(
       target, credentials,
       &(grpc_channel_args){.num_args = sizeof args / sizeof args[0], .args = args});
   grpc_channel_credentials_release(credentials);
   return channel;
}

int rpc_set_up(void **state)
{
   return rpc_set_up_with(state, create_rpc, "127.0.0.1:0");
}

int rpc_set_up_with(void **state, struct kv_rpc *(*create)(struct service *service),
                    const char *address)
{
   struct world *world = calloc(1, sizeof *world);
   struct kv_status status;
   char target[128];
   pthread_mutex_init(&world->service.lock, NULL);
   pthread_cond_init(&world->service.changed, NULL);
   grpc_init();
   world->rpc = create(&world->service);
   assert_int_equal(kv_rpc_listen(world->rpc, address, &world->port, &status), KV_OK);
   assert_int_equal(kv_rpc_start(world->rpc, &status), KV_OK);
   world->queue = grpc_completion_queue_create_for_pluck(NULL);
   if (world->port > 0)
      snprintf(target, sizeof target, "127.0.0.1:%d", world->port);
   else
      snprintf(target, sizeof target, "%s", address);
   world->channel = connect_to(target);
   *state = world;
   return 0;
}

int rpc_tear_down(void **state)
{
   struct world *world = *state;
   kv_rpc_stop(world->rpc, 0);
   assert_nothing_is_charged(world->rpc);
   grpc_channel_destroy(world->channel);
   grpc_completion_queue_shutdown(world->queue);
   grpc_completion_queue_destroy(world->queue);
   kv_rpc_destroy(world->rpc);
   grpc_shutdown_blocking();
   pthread_mutex_destroy(&world->service.lock);
   pthread_cond_destroy(&world->service.changed);
   free(world);
   return 0;
}

static void pluck(struct caller *caller, void *tag)
{
   grpc_event event = grpc_completion_queue_pluck(
       caller->queue, tag,
       gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(PATIENCE_S, GPR_TIMESPAN)),
       NULL);
   assert_int_equal(event.type, GRPC_OP_COMPLETE);
}

static void start(struct caller *caller, const grpc_op *ops, size_t count, void *tag)
{
   assert_int_equal(grpc_call_start_batch(caller->call, ops, count, tag, NULL), GRPC_CALL_OK);
}

void send_message(struct caller *caller, struct kv_slice message)
{
   grpc_slice slice = grpc_slice_from_copied_buffer(message.data, message.size);
   grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
   const grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = buffer};
   start(caller, &op, 1, buffer);
   pluck(caller, buffer);
   grpc_byte_buffer_destroy(buffer);
   grpc_slice_unref(slice);
}

void half_close(struct caller *caller)
{
   const grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
   start(caller, &op, 1, caller->call);
   pluck(caller, caller->call);
}

/* Opens a call; its status is awaited from the start. */
struct caller open_call(struct world *world, const char *path)
{
   return (struct caller){
       .queue = world->queue,
       .call = grpc_channel_create_call(world->channel, NULL, GRPC_PROPAGATE_DEFAULTS, world->queue,
                                        grpc_slice_from_static_string(path), NULL,
                                        gpr_inf_future(GPR_CLOCK_REALTIME), NULL)};
}

void await_status_from_now(struct caller *caller)
{
   const grpc_op ops[] = {
       {.op = GRPC_OP_SEND_INITIAL_METADATA,
        .data.send_initial_metadata = {.count = caller->metadata_count,
                                       .metadata = caller->metadata}},
       {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
        .data.recv_status_on_client = {.trailing_metadata = &caller->trailing,
                                       .status = &caller->code,
                                       .status_details = &caller->text}},
   };
   const grpc_op metadata = {.op = GRPC_OP_RECV_INITIAL_METADATA,
                             .data.recv_initial_metadata.recv_initial_metadata = &caller->initial};
   start(caller, ops, 2, &caller->code);
   start(caller, &metadata, 1, &caller->initial);
}

void begin_call(struct caller *caller, struct world *world, const char *path,
                struct kv_slice request)
{
   *caller = open_call(world, path);
   await_status_from_now(caller);
   send_message(caller, request);
   half_close(caller);
}

/* The next message, or NULL at the end; released with the next one or by `finish`. */
grpc_byte_buffer *receive_message(struct caller *caller)
{
   if (caller->message)
      grpc_byte_buffer_destroy(caller->message);
   caller->message = NULL;
   const grpc_op op = {.op = GRPC_OP_RECV_MESSAGE,
                       .data.recv_message.recv_message = &caller->message};
   start(caller, &op, 1, &caller->message);
   pluck(caller, &caller->message);
   return caller->message;
}

void assert_receives(struct caller *caller, struct kv_slice expected)
{
   assert_non_null(receive_message(caller));
   grpc_byte_buffer_reader reader;
   assert_true(grpc_byte_buffer_reader_init(&reader, caller->message));
   grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
   grpc_byte_buffer_reader_destroy(&reader);
   assert_int_equal(GRPC_SLICE_LENGTH(all), expected.size);
   if (expected.size > 0)
      assert_memory_equal(GRPC_SLICE_START_PTR(all), expected.data, expected.size);
   grpc_slice_unref(all);
}

const grpc_metadata *find_metadata(const grpc_metadata_array *metadata, const char *name)
{
   for (size_t i = 0; i < metadata->count; i++)
      if (grpc_slice_str_cmp(metadata->metadata[i].key, name) == 0)
         return &metadata->metadata[i];
   return NULL;
}

void await_end(struct caller *caller)
{
   pluck(caller, &caller->code);
   pluck(caller, &caller->initial);
}

void release_call(struct caller *caller)
{
   if (caller->message)
      grpc_byte_buffer_destroy(caller->message);
   grpc_metadata_array_destroy(&caller->initial);
   grpc_metadata_array_destroy(&caller->trailing);
   grpc_call_unref(caller->call);
}

void finish_call(struct caller *caller)
{
   await_end(caller);
   release_call(caller);
}

void assert_ends(struct caller *caller, enum kv_code code, const char *text)
{
   finish_call(caller);
   assert_int_equal((int)caller->code, (int)code);
   if (text) {
      char *given = grpc_slice_to_c_string(caller->text);
      assert_string_equal(given, text);
      gpr_free(given);
   }
   grpc_slice_unref(caller->text);
}

void assert_echoes(struct world *world, struct kv_slice message)
{
   struct caller caller;
   begin_call(&caller, world, "/test.Test/Echo", message);
   assert_receives(&caller, message);
   assert_ends(&caller, KV_OK, "");
}

struct kv_slice number(const uint32_t *value)
{
   return kv_slice(value, sizeof *value);
}

void assert_answered(struct caller *caller)
{
   assert_receives(caller, kv_slice(NULL, 0));
   assert_ends(caller, KV_OK, "");
}
