#include "tests/support/wire_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WIDE (1 << 30)

int wire_set_up_with(void **state, struct kv_rpc *(*create)(struct service *service))
{
   struct wire *wire = calloc(1, sizeof *wire);
   struct kv_status status;
   assert_non_null(wire);
   pthread_mutex_init(&wire->service.lock, NULL);
   pthread_cond_init(&wire->service.changed, NULL);
   wire->rpc = create(&wire->service);
   assert_int_equal(kv_rpc_listen(wire->rpc, "127.0.0.1:0", &wire->port, &status), KV_OK);
   assert_int_equal(kv_rpc_start(wire->rpc, &status), KV_OK);
   *state = wire;
   return 0;
}

int wire_set_up(void **state)
{
   return wire_set_up_with(state, create_rpc);
}

int wire_tear_down(void **state)
{
   struct wire *wire = *state;
   kv_rpc_stop(wire->rpc, 0);
   assert_nothing_is_charged(wire->rpc);
   kv_rpc_destroy(wire->rpc);
   pthread_mutex_destroy(&wire->service.lock);
   pthread_cond_destroy(&wire->service.changed);
   free(wire);
   return 0;
}

struct kv_rpc *wire_create(const struct kv_rpc_method *methods, size_t count, unsigned workers)
{
   struct kv_status status;
   const struct kv_rpc_options options = {.wire = tested_wire(),
                                          .workers = workers,
                                          .receive_message_max = LIMIT,
                                          .memory_max = MEMORY_MAX,
                                          .reader_timeout_ms = 30000};
   struct kv_rpc *rpc = kv_rpc_create(&options, methods, count, &status);
   assert_non_null(rpc);
   return rpc;
}

struct http2_client *wire_connect(const struct wire *wire)
{
   struct http2_client *client = http2_open_with(wire->port, WIDE);
   http2_widen(client, 0, WIDE);
   return client;
}

/* As it is on the wire; freed by the caller. */
static struct kv_slice frame(struct kv_slice message)
{
   uint8_t *framed = malloc(5 + message.size);
   assert_non_null(framed);
   framed[0] = 0;
   for (int i = 0; i < 4; i++)
      framed[1 + i] = (uint8_t)(message.size >> (24 - 8 * i));
   if (message.size > 0)
      memcpy(framed + 5, message.data, message.size);
   return kv_slice(framed, 5 + message.size);
}

bool wire_upload(struct http2_client *client, uint32_t stream, const char *path,
                 struct kv_slice message, size_t frame_size)
{
   struct kv_slice framed = frame(message);
   http2_begin(client, stream, path, NULL);
   bool sent = http2_upload(client, stream, framed, frame_size, true);
   free((void *)framed.data);
   return sent;
}

bool wire_has_message(const struct http2_client *client, uint32_t stream, struct kv_slice message)
{
   struct kv_slice framed = frame(message);
   bool same = kv_slice_compare(http2_data(client, stream), framed) == 0;
   free((void *)framed.data);
   return same;
}

void wire_assert_serves(const struct wire *wire)
{
   struct http2_client *client = wire_connect(wire);
   assert_true(wire_upload(client, 1, "/test.Test/Echo", kv_slice_of("still here"), 100));
   assert_true(http2_await_end(client, 1));
   assert_true(wire_has_message(client, 1, kv_slice_of("still here")));
   http2_close(client);
}
