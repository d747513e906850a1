/* What a handler may know of its call's origin, and metadata in both directions. */
#include "core/rpc/connection.h"
#include "core/rpc/metadata.h"
#include "tests/support/rpc_fixture.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ACCOUNT_MAX ((size_t)4 << 20)

static const char bytes[] = {0, '\n', (char)0xff, 'x', 0};
#define BYTES kv_slice(bytes, sizeof bytes)

/* ---- The service ---- */

static void tell_peer(void *service, struct kv_call *call, struct kv_slice request)
{
   char peer[KV_RPC_PEER_SIZE];
   (void)service, (void)request;
   kv_call_peer(call, peer);
   put_message(call, kv_slice_of(peer));
   kv_call_reply(call);
}

static void tell_identity(void *service, struct kv_call *call, struct kv_slice request)
{
   char text[64];
   const struct kv_rpc_identity *identity = kv_call_identity(call);
   (void)service, (void)request;
   if (identity->is_local)
      snprintf(text, sizeof text, "uid %u, gid %u, certificate %zu", identity->uid, identity->gid,
               identity->certificate.size);
   else
      snprintf(text, sizeof text, "nobody");
   put_message(call, kv_slice_of(text));
   kv_call_reply(call);
}

static atomic_uint notes_released;

static void release_note(void *note)
{
   free(note);
   notes_released++;
}

/* Tells what the last call of the connection has noted, and notes its own request. */
static void note_peer(void *service, struct kv_call *call, struct kv_slice request)
{
   const char *last = kv_call_peer_note(call);
   char *note = malloc(request.size + 1);
   (void)service;
   assert_non_null(note);
   memcpy(note, request.data, request.size);
   note[request.size] = '\0';
   put_message(call, kv_slice_of(last ? last : "none"));
   kv_call_set_peer_note(call, note, release_note);
   kv_call_reply(call);
}

/* The request is a name. */
static size_t look_up(struct kv_call *call, struct kv_slice request, struct kv_slice *value)
{
   char name[64];
   snprintf(name, sizeof name, "%.*s", (int)request.size, (const char *)request.data);
   return kv_call_metadata(call, name, value);
}

static void tell_metadata(void *service, struct kv_call *call, struct kv_slice request)
{
   struct kv_slice value;
   (void)service;
   if (look_up(call, request, &value) == 0) {
      kv_call_fail(call, KV_NOT_FOUND, "none");
      return;
   }
   kv_call_forget_request(call);
   put_message(call, value);
   kv_call_reply(call);
}

static void count_metadata(void *service, struct kv_call *call, struct kv_slice request)
{
   char text[32];
   struct kv_slice value;
   (void)service;
   snprintf(text, sizeof text, "%zu", look_up(call, request, &value));
   put_message(call, kv_slice_of(text));
   kv_call_reply(call);
}

/* Sends the value twice, the second time when the first one has left. */
static void stream_metadata(void *service, struct kv_call *call, struct kv_slice request)
{
   struct kv_slice *value = kv_arena_alloc(kv_call_arena(call), sizeof *value);
   (void)service;
   assert_int_equal(look_up(call, request, value), 1);
   *kv_call_state(call) = value;
   put_message(call, *value);
   kv_call_send(call);
}

static void stream_metadata_on(void *service, struct kv_call *call)
{
   struct kv_slice *value = *kv_call_state(call);
   (void)service;
   if (!value) {
      kv_call_finish(call);
      return;
   }
   put_message(call, *value);
   *kv_call_state(call) = NULL;
   kv_call_send(call);
}

/* More in all than an arena has without an allocation. */
#define ADDED 9
#define VALUE_SIZE 700
_Static_assert(ADDED *VALUE_SIZE > KV_ARENA_FIRST_SIZE, "the arena allocates");

static void make_added(int i, const char *prefix, char name[64], char value[VALUE_SIZE])
{
   snprintf(name, 64, "%s-%d", prefix, i);
   snprintf(value, VALUE_SIZE, "%0*d", VALUE_SIZE - 1, i);
}

static void add(struct kv_call *call, enum kv_rpc_metadata where, const char *prefix)
{
   char name[64], value[VALUE_SIZE];
   for (int i = 0; i < ADDED; i++) {
      make_added(i, prefix, name, value);
      assert_true(kv_call_add_metadata(call, where, name, kv_slice_of(value)));
   }
   snprintf(name, sizeof name, "%s-bin", prefix);
   assert_true(kv_call_add_metadata(call, where, name, BYTES));
}

static void echo_with_metadata(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   add(call, KV_RPC_INITIAL, "x-first");
   add(call, KV_RPC_TRAILING, "x-last");
   put_message(call, request);
   kv_call_reply(call);
}

static void fail_with_metadata(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service, (void)request;
   add(call, KV_RPC_TRAILING, "x-last");
   assert_true(kv_call_add_metadata(call, KV_RPC_TRAILING, KV_RPC_STATUS_DETAILS, BYTES));
   kv_call_fail(call, KV_ABORTED, "on purpose");
}

static void chat_with_metadata(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   add(call, KV_RPC_INITIAL, "x-first");
   put_message(call, request);
   kv_call_send(call);
}

static void end_with_metadata(void *service, struct kv_call *call)
{
   (void)service;
   add(call, KV_RPC_TRAILING, "x-last");
   kv_call_finish(call);
}

static void hold(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   (void)request;
   pthread_mutex_lock(&service->lock);
   service->held[0] = call;
   service->requests++;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
}

/* Beside a call that is held, as a lone one gets all it asks for. */
static void add_too_much(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct kv_status status;
   struct service *service = owner;
   char *much = calloc(1, 2 * ACCOUNT_MAX);
   (void)request;
   bool added =
       kv_call_add_metadata(call, KV_RPC_TRAILING, "x-much-bin", kv_slice(much, 2 * ACCOUNT_MAX));
   free(much);
   if (added)
      kv_call_reply(call);
   else
      kv_call_fail(call, kv_call_exhausted(call, &status), status.text);
   kv_call_reply(service->held[0]);
}

static struct kv_rpc *create(struct service *service)
{
   const struct kv_rpc_method methods[] = {
       {.path = "/test.Test/Peer", .request = tell_peer},
       {.path = "/test.Test/Identity", .request = tell_identity},
       {.path = "/test.Test/Note", .request = note_peer},
       {.path = "/test.Test/Metadata", .request = tell_metadata},
       {.path = "/test.Test/Count", .request = count_metadata},
       {.path = "/test.Test/Stream",
        .kind = KV_RPC_SERVER_STREAM,
        .request = stream_metadata,
        .sent = stream_metadata_on},
       {.path = "/test.Test/Add", .request = echo_with_metadata},
       {.path = "/test.Test/AddAndFail", .request = fail_with_metadata},
       {.path = "/test.Test/AddToStream",
        .kind = KV_RPC_SERVER_STREAM,
        .request = chat_with_metadata,
        .sent = end_with_metadata},
       {.path = "/test.Test/Hold", .service = service, .request = hold},
       {.path = "/test.Test/AddTooMuch", .service = service, .request = add_too_much},
   };
   const struct kv_rpc_options options = {.wire = tested_wire(),
                                          .workers = 1,
                                          .receive_message_max = LIMIT,
                                          .memory_max = ACCOUNT_MAX,
                                          .reader_timeout_ms = 30000};
   struct kv_status status;
   struct kv_rpc *rpc =
       kv_rpc_create(&options, methods, sizeof methods / sizeof methods[0], &status);
   assert_non_null(rpc);
   return rpc;
}

static int set_up(void **state)
{
   return rpc_set_up_with(state, create, "127.0.0.1:0");
}

/* ---- The peer ---- */

static void the_peer_of_a_call_over_tcp_is_its_address_and_port(void **state)
{
   struct world *world = *state;
   struct sockaddr_in address;
   socklen_t size = sizeof address;
   char expected[64];
   struct http2_client *client = http2_open(world->port);
   http2_call(client, 1, "/test.Test/Peer", 0, kv_slice(NULL, 0));
   assert_int_equal(getsockname(http2_fd(client), (struct sockaddr *)&address, &size), 0);
   snprintf(expected, sizeof expected, "127.0.0.1:%u", ntohs(address.sin_port));
   assert_true(http2_await_data(client, 1, kv_slice_of(expected)));
   http2_close(client);
}

static void the_peer_of_a_call_over_a_unix_socket_is_called_unix(void **state)
{
   char directory[] = "/tmp/kvstore-rpc-XXXXXX", address[64];
   struct caller caller;
   (void)state;
   assert_non_null(mkdtemp(directory));
   snprintf(address, sizeof address, "unix:%s/socket", directory);
   void *world;
   rpc_set_up_with(&world, create, address);
   begin_call(&caller, world, "/test.Test/Peer", kv_slice(NULL, 0));
   assert_receives(&caller, kv_slice_of("unix:"));
   assert_ends(&caller, KV_OK, "");
   rpc_tear_down(&world);
   assert_int_equal(rmdir(directory), 0);
}

static void the_peer_of_a_connection_that_is_gone_is_unknown(void **state)
{
   char peer[KV_RPC_PEER_SIZE];
   (void)state;
   kv_connection_peer(&(struct kv_connection){.fd = -1}, peer);
   assert_string_equal(peer, "unknown");
}

static void only_the_owner_of_a_unix_socket_is_known_by_the_system(void **state)
{
   char directory[] = "/tmp/kvstore-rpc-XXXXXX", address[64], expected[64];
   struct caller caller;
   begin_call(&caller, *state, "/test.Test/Identity", kv_slice(NULL, 0));
   assert_receives(&caller, kv_slice_of("nobody"));
   assert_ends(&caller, KV_OK, "");

   assert_non_null(mkdtemp(directory));
   snprintf(address, sizeof address, "unix:%s/socket", directory);
   void *world;
   rpc_set_up_with(&world, create, address);
   /* The C core does not tell a connection from the one that had its descriptor before. */
   if (strcmp(tested_wire(), "grpc") == 0)
      snprintf(expected, sizeof expected, "nobody");
   else
      snprintf(expected, sizeof expected, "uid %u, gid %u, certificate 0", getuid(), getgid());
   begin_call(&caller, world, "/test.Test/Identity", kv_slice(NULL, 0));
   assert_receives(&caller, kv_slice_of(expected));
   assert_ends(&caller, KV_OK, "");
   rpc_tear_down(&world);
   assert_int_equal(rmdir(directory), 0);
}

static void a_note_belongs_to_its_connection_and_each_is_released_once(void **state)
{
   void *world;
   struct caller caller;
   (void)state;
   notes_released = 0;
   rpc_set_up_with(&world, create, "127.0.0.1:0");
   static const char *const requests[] = {"first", "second", "third"};
   for (size_t i = 0; i < 3; i++) {
      begin_call(&caller, world, "/test.Test/Note", kv_slice_of(requests[i]));
      assert_receives(&caller, kv_slice_of(i > 0 ? requests[i - 1] : "none"));
      assert_ends(&caller, KV_OK, "");
   }
   struct http2_client *client = http2_open(((struct world *)world)->port);
   http2_call(client, 1, "/test.Test/Note", 0, kv_slice_of("other"));
   assert_true(http2_await_data(client, 1, kv_slice_of("none")));
   http2_close(client);
   rpc_tear_down(&world);
   assert_int_equal(notes_released, 4);
}

/* ---- Names ---- */

static void the_names_of_http_and_grpc_are_no_metadata(void **state)
{
   static const char *const reserved[] = {
       "",           ":path",      ":authority",   "te",          "content-type",
       "user-agent", "connection", "grpc-timeout", "grpc-status", "grpc-"};
   static const char *const free_names[] = {
       "tea",           "t",    "content-type-x", "x-user-agent",
       "authorization", "grpc", "x-grpc-timeout", "a:b"};
   (void)state;
   for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
      assert_false(kv_metadata_is_name(kv_slice_of(reserved[i])));
   for (size_t i = 0; i < sizeof free_names / sizeof free_names[0]; i++)
      assert_true(kv_metadata_is_name(kv_slice_of(free_names[i])));
}

static void a_name_is_binary_by_its_end(void **state)
{
   (void)state;
   assert_true(kv_metadata_is_binary(kv_slice_of("trace-bin")));
   assert_false(kv_metadata_is_binary(kv_slice_of("-bin"))); /* a suffix alone is no name */
   assert_false(kv_metadata_is_binary(kv_slice_of("trace-bin-x")));
   assert_false(kv_metadata_is_binary(kv_slice_of("bin")));
   assert_false(kv_metadata_is_binary(kv_slice(NULL, 0)));
}

/* ---- The client's metadata ---- */

static struct kv_slice of(const char *text)
{
   return kv_slice_of(text);
}

static grpc_metadata header(const char *name, struct kv_slice value)
{
   return (grpc_metadata){.key = grpc_slice_from_static_string(name),
                          .value = grpc_slice_from_static_buffer(value.data, value.size)};
}

static void begin_with(struct caller *caller, struct world *world, const char *path,
                       const char *name)
{
   static grpc_metadata metadata[3];
   metadata[0] = header("x-name", of("the first"));
   metadata[1] = header("x-name", of("the second"));
   metadata[2] = header("x-data-bin", BYTES);
   *caller = open_call(world, path);
   caller->metadata = metadata;
   caller->metadata_count = 3;
   await_status_from_now(caller);
   send_message(caller, of(name));
   half_close(caller);
}

static void assert_is(struct world *world, const char *name, struct kv_slice value)
{
   struct caller caller;
   begin_with(&caller, world, "/test.Test/Metadata", name);
   assert_receives(&caller, value);
   assert_ends(&caller, KV_OK, "");
}

static void assert_is_none(struct world *world, const char *name)
{
   struct caller caller;
   begin_with(&caller, world, "/test.Test/Metadata", name);
   assert_null(receive_message(&caller));
   assert_ends(&caller, KV_NOT_FOUND, "none");
}

static void the_first_value_of_a_name_is_given(void **state)
{
   assert_is(*state, "x-name", of("the first"));
}

static void values_of_the_same_name_are_counted(void **state)
{
   static const struct {
      const char *name, *count;
   } names[] = {{"x-name", "2"}, {"x-data-bin", "1"}, {"x-other", "0"}, {"te", "0"}};
   for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      struct caller caller;
      begin_with(&caller, *state, "/test.Test/Count", names[i].name);
      assert_receives(&caller, of(names[i].count));
      assert_ends(&caller, KV_OK, "");
   }
}

static void a_binary_value_is_given_as_its_bytes(void **state)
{
   assert_is(*state, "x-data-bin", BYTES);
}

static size_t put_field(uint8_t *to, const char *name, const char *value)
{
   const size_t name_size = strlen(name), value_size = strlen(value);
   to[0] = 0; /* HPACK: a literal with a new name, not to be indexed */
   to[1] = (uint8_t)name_size;
   memcpy(to + 2, name, name_size);
   to[2 + name_size] = (uint8_t)value_size;
   memcpy(to + 3 + name_size, value, value_size);
   return 3 + name_size + value_size;
}

/* Asks for the value of x-data-bin, and sends that header as it is. */
static void ask_with_text(struct http2_client *client, uint32_t stream, const char *text)
{
   static const char message[] = "\0\0\0\0\nx-data-bin";
   uint8_t fields[256];
   size_t size = put_field(fields, ":method", "POST");
   size += put_field(fields + size, ":scheme", "http");
   size += put_field(fields + size, ":path", "/test.Test/Metadata");
   size += put_field(fields + size, ":authority", "test");
   size += put_field(fields + size, "content-type", "application/grpc");
   size += put_field(fields + size, "x-data-bin", text);
   http2_send_frame(client, 1, 4, stream, kv_slice(fields, size));
   http2_send_frame(client, 0, 1, stream, kv_slice(message, sizeof message - 1));
}

static void of_binary_values_that_a_proxy_has_joined_the_first_is_given(void **state)
{
   static const char *const texts[] = {"YWI=,Y2Q=", "YWI,Y2Q", "YWI= , Y2Q=", "YWI"};
   struct world *world = *state;
   if (tested_wire() && strcmp(tested_wire(), "grpc") == 0)
      skip(); /* the C core refuses them */
   struct http2_client *client = http2_open(world->port);
   for (uint32_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
      ask_with_text(client, 2 * i + 1, texts[i]);
      assert_true(http2_await_data(client, 2 * i + 1, of("ab")));
   }
   http2_close(client);
}

static void a_name_that_the_client_did_not_send_has_no_value(void **state)
{
   assert_is_none(*state, "x-nam");
   assert_is_none(*state, "");
}

static void headers_of_http_and_grpc_are_no_metadata(void **state)
{
   static const char *const names[] = {":path", "te", "content-type", "user-agent",
                                       "grpc-accept-encoding"};
   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
      assert_is_none(*state, names[i]);
}

static void a_call_without_metadata_has_none_of_an_earlier_one(void **state)
{
   struct caller caller;
   assert_is(*state, "x-name", of("the first"));
   begin_call(&caller, *state, "/test.Test/Metadata", of("x-name"));
   assert_null(receive_message(&caller));
   assert_ends(&caller, KV_NOT_FOUND, "none");
}

static void a_value_lives_until_the_call_closes(void **state)
{
   struct caller caller;
   begin_with(&caller, *state, "/test.Test/Stream", "x-data-bin");
   assert_receives(&caller, BYTES);
   assert_receives(&caller, BYTES);
   assert_null(receive_message(&caller));
   assert_ends(&caller, KV_OK, "");
}

/* ---- The server's ---- */

static void assert_has(const grpc_metadata_array *metadata, const char *name,
                       struct kv_slice expected)
{
   const grpc_metadata *found = find_metadata(metadata, name);
   assert_non_null(found);
   assert_int_equal(GRPC_SLICE_LENGTH(found->value), expected.size);
   assert_memory_equal(GRPC_SLICE_START_PTR(found->value), expected.data, expected.size);
}

static size_t count_own(const grpc_metadata_array *metadata)
{
   size_t count = 0;
   for (size_t i = 0; i < metadata->count; i++)
      count += memcmp(GRPC_SLICE_START_PTR(metadata->metadata[i].key), "x-", 2) == 0;
   return count;
}

/* What `add` has added, and nothing else. */
static void assert_has_all(const grpc_metadata_array *metadata, const char *prefix)
{
   char name[64], value[VALUE_SIZE];
   assert_int_equal(count_own(metadata), ADDED + 1);
   for (int i = 0; i < ADDED; i++) {
      make_added(i, prefix, name, value);
      assert_has(metadata, name, of(value));
   }
   snprintf(name, sizeof name, "%s-bin", prefix);
   assert_has(metadata, name, BYTES);
}

static void assert_comes_with_metadata(struct world *world, const char *path,
                                       struct kv_slice message)
{
   struct caller caller;
   begin_call(&caller, world, path, message);
   assert_receives(&caller, message);
   await_end(&caller);
   assert_has_all(&caller.initial, "x-first");
   assert_has_all(&caller.trailing, "x-last");
   release_call(&caller);
   assert_int_equal(caller.code, GRPC_STATUS_OK);
   grpc_slice_unref(caller.text);
}

static void metadata_comes_with_a_reply(void **state)
{
   assert_comes_with_metadata(*state, "/test.Test/Add", of("a message"));
   assert_comes_with_metadata(*state, "/test.Test/Add", of("another one")); /* the same call */
}

/* Its memory is let go of before its reply has left. */
static void metadata_comes_with_the_reply_to_a_large_request(void **state)
{
   size_t size = 200 * 1024;
   char *large = calloc(1, size);
   assert_comes_with_metadata(*state, "/test.Test/Add", kv_slice(large, size));
   free(large);
}

static void metadata_comes_with_the_messages_and_the_end_of_a_stream(void **state)
{
   assert_comes_with_metadata(*state, "/test.Test/AddToStream", of("a message"));
}

static void metadata_comes_with_a_failure(void **state)
{
   struct caller caller;
   begin_call(&caller, *state, "/test.Test/AddAndFail", kv_slice(NULL, 0));
   assert_null(receive_message(&caller));
   await_end(&caller);
   assert_has_all(&caller.trailing, "x-last");
   assert_has(&caller.trailing, KV_RPC_STATUS_DETAILS, BYTES);
   release_call(&caller);
   assert_int_equal(caller.code, GRPC_STATUS_ABORTED);
   grpc_slice_unref(caller.text);
}

static void metadata_that_there_is_no_memory_for_is_not_added(void **state)
{
   struct world *world = *state;
   struct caller held, caller;
   begin_call(&held, world, "/test.Test/Hold", kv_slice(NULL, 0));
   await_count(&world->service, &world->service.requests, 1);
   begin_call(&caller, world, "/test.Test/AddTooMuch", kv_slice(NULL, 0));
   assert_null(receive_message(&caller));
   assert_ends(&caller, KV_RESOURCE_EXHAUSTED, NULL);
   assert_answered(&held);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, rpc_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(the_peer_of_a_call_over_tcp_is_its_address_and_port),
       cmocka_unit_test(the_peer_of_a_call_over_a_unix_socket_is_called_unix),
       cmocka_unit_test(the_peer_of_a_connection_that_is_gone_is_unknown),
       CASE(only_the_owner_of_a_unix_socket_is_known_by_the_system),
       cmocka_unit_test(a_note_belongs_to_its_connection_and_each_is_released_once),
       cmocka_unit_test(the_names_of_http_and_grpc_are_no_metadata),
       cmocka_unit_test(a_name_is_binary_by_its_end),
       CASE(the_first_value_of_a_name_is_given),
       CASE(values_of_the_same_name_are_counted),
       CASE(a_binary_value_is_given_as_its_bytes),
       CASE(of_binary_values_that_a_proxy_has_joined_the_first_is_given),
       CASE(a_name_that_the_client_did_not_send_has_no_value),
       CASE(headers_of_http_and_grpc_are_no_metadata),
       CASE(a_call_without_metadata_has_none_of_an_earlier_one),
       CASE(a_value_lives_until_the_call_closes),
       CASE(metadata_comes_with_a_reply),
       CASE(metadata_comes_with_the_reply_to_a_large_request),
       CASE(metadata_comes_with_the_messages_and_the_end_of_a_stream),
       CASE(metadata_comes_with_a_failure),
       CASE(metadata_that_there_is_no_memory_for_is_not_added),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
