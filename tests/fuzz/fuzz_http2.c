/*
 * A connection of the engine http2, from its first byte to its end: a worker's rounds without its
 * loop and without a socket, with a service that answers at any time and on any thread. The engine
 * keeps to rpc.h (http2_service.h), what it sends is what HTTP/2 and gRPC have (http2_peer.h), it
 * holds no more memory than it may, and nothing at the end.
 *
 * Input: choices (2 bytes), then operations, each a byte that says which and what it takes.
 */
#include "core/rpc/account.h"
#include "core/rpc/http2/session.h"
#include "core/rpc/server.h"
#include "core/support/log.h"
#include "tests/fuzz/http2_message.h"
#include "tests/fuzz/http2_peer.h"
#include "tests/fuzz/http2_service.h"
#include "tests/fuzz/http2_speaker.h"

#include <limits.h>

#define MESSAGE_MAX ((size_t)96 * 1024)
#define MEMORY_MAX ((size_t)4 * 1024 * 1024)
#define READER_TIMEOUT_MS 2000
/* What is counted though the account has no space for it: bytes on their way, and replies of calls
 * that have taken effect. */
#define BEYOND_MAX ((size_t)2 * 1024 * 1024)
#define WORKERS 2 /* between which the connection moves */
#define OPERATIONS_MAX 256
#define ROUNDS_MAX 512
/* Of frames that wait in nghttp2: it allows 1000 acknowledgements, and each stream has some. */
#define QUEUE_MAX 4096

static struct kv_rpc *rpc;
static struct kv_http2_worker *workers[WORKERS];
static struct kv_share *others; /* of other connections */

/* Choices. */
enum { IS_CLIENT = 1, NO_POOL = 2, NO_ROUNDS = 4, LITTLE_ROOM = 8, NO_GREETING = 16, WINDOW = 32 };
enum { CLOSES, ANSWERS, LEAVES, STOPS }; /* at the end */

/* NULL: it is closed. */
static struct kv_http2_connection *connection(void)
{
   struct kv_http2_connection *first = LIST_FIRST(&workers[0]->connections);
   return first ? first : LIST_FIRST(&workers[1]->connections);
}

/* ---- Rounds ---- */

static void check_bounds(void)
{
   const struct kv_http2_connection *it = connection();
   const struct kv_http2_call *call;
   if (!it)
      return;
   REQUIRE(kv_share_held(it->base.share) <= MEMORY_MAX + BEYOND_MAX);
   REQUIRE(nghttp2_session_get_outbound_queue_size(it->session) <= QUEUE_MAX);
   LIST_FOREACH (call, &it->calls, siblings) {
      const struct kv_http2_request *request = &call->request;
      /* The frame that overflows the window is taken as a whole. */
      size_t most = KV_HTTP2_STREAM_WINDOW + PEER_FRAME_SIZE;
      if (request->only_one && request->message && request->size > most)
         most = request->size;
      REQUIRE(request->aside_size - request->aside_from <= most);
      REQUIRE(request->aside_capacity <= 2 * (most + PEER_FRAME_SIZE));
   }
}

/* False: the workers have come to their end. */
static bool run_round(void)
{
   speaker_flush();
   if (connection() && (peer.closed || peer.reset))
      kv_http2_connection_hung_up(connection());
   else if (connection() && peer_has_pending())
      kv_http2_connection_readable(connection());
   bool goes_on = false;
   for (unsigned i = 0; i < WORKERS; i++) {
      workers[i]->now_ms = peer.now_ms;
      goes_on = kv_http2_worker_round(workers[i]) || goes_on;
      check_bounds();
   }
   return goes_on;
}

static bool is_idle(const struct kv_http2_worker *worker)
{
   return TAILQ_EMPTY(&worker->touched) && TAILQ_EMPTY(&worker->reading) &&
          TAILQ_EMPTY(&worker->base.turn.slow) && !worker->base.turn.unanswered &&
          !atomic_load(&worker->brought);
}

/* What goes on by itself does, as far as it gets. */
static void run_rounds(unsigned most)
{
   do
      if (!run_round())
         return;
   while (--most > 0 && !(is_idle(workers[0]) && is_idle(workers[1]) && !peer_has_pending()));
}

/* ---- Operations ---- */

static void chunk(struct fuzz_input *input)
{
   uint8_t size = (uint8_t)fuzz_take(input, 1);
   peer.chunk = size < 128 ? (size_t)size + 1 : (size_t)(size - 127) * 512;
}

static void make_room(struct fuzz_input *input)
{
   uint8_t size = (uint8_t)fuzz_take(input, 1);
   peer.room = size < 100 ? size : (size_t)(size - 99) * 2048;
   if (connection() && connection()->unsent)
      kv_http2_connection_touch(connection());
}

static void pass_time(struct fuzz_input *input)
{
   static const uint64_t times[] = {1,    5,    100,   250,    500,
                                    1000, 5000, 20000, 120000, 2 * 3600 * 1000};
   peer.now_ms += times[fuzz_take(input, 1) % 10];
}

/* Other connections hold so much. */
static void occupy(struct fuzz_input *input)
{
   size_t wanted = (size_t)fuzz_take(input, 1) * (MEMORY_MAX / 256), held = kv_share_held(others);
   if (wanted > held)
      kv_share_add(others, wanted - held);
   else
      kv_share_give(others, held - wanted);
}

static void ask(enum kv_http2_stage stage)
{
   for (unsigned i = 0; i < WORKERS; i++)
      kv_http2_worker_ask(workers[i], stage);
}

/* To the other worker, if it can just now. */
static void move(void)
{
   struct kv_http2_connection *moved = connection();
   if (moved && kv_http2_connection_leave(moved))
      kv_http2_worker_give(workers[moved->worker == workers[0]], moved);
   run_round();
}

static void leave(struct fuzz_input *input)
{
   switch (fuzz_take(input, 1) % 8) {
   case 0:
      if (connection())
         kv_http2_connection_close(connection());
      break;
   case 1:
      peer.reset = true;
      break;
   case 2:
      peer.refuses = true;
      break;
   case 3:
   case 4:
      ask(KV_HTTP2_DRAINS);
      break;
   case 5:
      atomic_store(&rpc->stopping, true);
      break;
   case 6:
      move();
      break;
   default:
      peer.closed = true;
   }
}

static void rounds(struct fuzz_input *input)
{
   run_rounds(1 + (unsigned)fuzz_take(input, 1) % 8);
}

static void run_operation(struct fuzz_input *input)
{
   static void (*const operations[])(struct fuzz_input *) = {
       speaker_request, speaker_message,  speaker_data,   service_go_on, rounds,
       speaker_reset,   speaker_ping,     speaker_window, chunk,         make_room,
       pass_time,       speaker_settings, leave,          occupy,        speaker_go_away,
       speaker_frame,   speaker_bytes,    speaker_flood,
   };
   operations[fuzz_take(input, 1) % (sizeof operations / sizeof operations[0])](input);
}

/* ---- An input ---- */

/* As it was when it was made. */
static void reset_worker(struct kv_http2_worker *worker, bool has_pool)
{
   worker->now_ms = peer.now_ms;
   worker->look_at_ms = 0;
   worker->stage = KV_HTTP2_SERVES;
   atomic_store(&worker->asked_stage, KV_HTTP2_SERVES);
   worker->base.open.look_at = 0;
   worker->base.open.looks = 0;
   worker->base.turn.blocked = worker->base.turn.unanswered = false;
   worker->base.turn.given = 0;
   worker->handled = 0;
   worker->pool_size = has_pool ? 0 : UINT_MAX / 2;
}

static void begin(uint8_t choices)
{
   static const unsigned windows[] = {65535, 0, 1, 20000, 1 << 20, 100, INT32_MAX, 16384};
   peer_begin(choices & IS_CLIENT);
   service_begin(workers, WORKERS);
   atomic_store(&rpc->stopping, false);
   for (unsigned i = 0; i < WORKERS; i++)
      reset_worker(workers[i], !(choices & NO_POOL));
   struct kv_http2_connection *made = kv_http2_connection_create(workers[0], -1, 1);
   REQUIRE(made);
   kv_http2_worker_give(workers[0], made);
   if ((choices & IS_CLIENT) || !(choices & NO_GREETING))
      speaker_begin(windows[choices / WINDOW]);
   if (choices & LITTLE_ROOM)
      peer.room = 0;
   run_round();
}

/* The connection comes to its end in one of the ways that there are. */
static void end_connection(uint8_t how)
{
   peer.room = SIZE_MAX;
   if (connection())
      kv_http2_connection_touch(connection());
   switch (how % 4) {
   case ANSWERS:
      service_answer_all();
      run_rounds(ROUNDS_MAX);
      peer.closed = true;
      break;
   case LEAVES:
      peer.closed = true;
      break;
   case STOPS:
      ask(KV_HTTP2_ENDS);
      run_rounds(2);
      peer.now_ms += 1000;
      run_round();
      break;
   default:
      if (connection())
         kv_http2_connection_close(connection());
   }
}

static void check_worker_end(const struct kv_http2_worker *worker)
{
   REQUIRE(TAILQ_EMPTY(&worker->reading) && TAILQ_EMPTY(&worker->touched));
   REQUIRE(TAILQ_EMPTY(&worker->waiting) && TAILQ_EMPTY(&worker->base.turn.slow));
   REQUIRE(LIST_EMPTY(&worker->base.open.calls) && worker->base.turn.calls == 0);
   REQUIRE(!worker->done && !worker->written && !atomic_load(&worker->brought));
}

static void end(uint8_t how)
{
   unsigned count = 0;
   kv_share_give(others, kv_share_held(others));
   end_connection(how);
   do {
      if (count++ == 8 && connection())
         kv_http2_connection_close(connection());
      service_answer_all();
      run_round();
   } while (count < ROUNDS_MAX && (connection() || kv_rpc_has_calls(rpc)));
   REQUIRE(!connection() && !kv_rpc_has_calls(rpc));
   service_check_end();
   for (unsigned i = 0; i < WORKERS; i++) {
      check_worker_end(workers[i]);
      kv_http2_call_pool_destroy(workers[i]);
   }
   REQUIRE(kv_account_held(rpc->account) == 0);
   peer_end();
}

/* libFuzzer's hook, and that of replay.c. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
   const struct kv_rpc_options options = {
       .wire = "http2",
       .workers = WORKERS,
       .receive_message_max = MESSAGE_MAX,
       .memory_max = MEMORY_MAX,
       .reader_timeout_ms = READER_TIMEOUT_MS,
       .turn_end = service_turn_end,
   };
   struct kv_status status;
   (void)argc;
   (void)argv;
   kv_log_set_level(KV_LOG_ERROR);
   message_init();
   rpc = kv_rpc_create(&options, service_methods, SERVICE_METHODS, &status);
   REQUIRE(rpc);
   for (unsigned i = 0; i < WORKERS; i++)
      workers[i] = kv_http2_worker_of(rpc->workers[i]);
   others = kv_share_open(rpc->account);
   REQUIRE(others);
   return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct fuzz_input input = {data, size};
   uint8_t choices = (uint8_t)fuzz_take(&input, 1), how = (uint8_t)fuzz_take(&input, 1);
   begin(choices);
   for (size_t i = 0; i < OPERATIONS_MAX && input.size > 0; i++) {
      run_operation(&input);
      if (!(choices & NO_ROUNDS))
         run_rounds(4);
   }
   end(how);
   return 0;
}
