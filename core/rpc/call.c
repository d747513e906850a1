#include "core/rpc/call.h"

#include "core/rpc/engine.h"
#include "core/rpc/limits.h"

#include "core/support/clock.h"
#include "core/support/invariant.h"
#include "core/support/text.h"

/* Of a request: what it takes in memory may be many times its size. */
#define LARGE_SIZE ((size_t)64 * 1024)

#define METHOD_TEXT_MAX 256 /* of an unknown method's name in the answer */

void kv_call_init(struct kv_call *call, const struct kv_engine *engine,
                  struct kv_rpc_worker *worker)
{
   call->engine = engine;
   call->worker = worker;
   atomic_init(&call->cancelled, false);
   kv_arena_init(&call->arena);
   kv_arena_ask(&call->arena, kv_charge_take, &call->charge);
}

static atomic_size_t *counter_of(const struct kv_call *call)
{
   const bool follows = call->method && call->method->follows;
   return follows ? &call->worker->following : &call->worker->calls;
}

enum kv_code kv_call_open(struct kv_call *call, const struct kv_rpc_method *method,
                          struct kv_connection *connection, size_t cost, size_t request,
                          struct kv_status *status)
{
   struct kv_rpc_worker *worker = call->worker;
   if (!kv_charge_begin(&call->charge, worker->rpc->account, connection->share, cost, request,
                        status))
      return status->code;
   call->method = method;
   call->connection = connection;
   call->cost = cost;
   call->deadline_ms = INT64_MAX;
   call->given_to_handler = false;
   call->watched = false;
   call->keeps_arena = false;
   atomic_store_explicit(&call->cancelled, false, memory_order_relaxed);
   call->state = NULL;
   call->large = false;
   kv_call_observe(call);
   atomic_fetch_add(counter_of(call), 1);
   worker->turn.calls += kv_call_is_unary(call);
   kv_stall_call_opened(call);
   return KV_OK;
}

void kv_call_close(struct kv_call *call)
{
   struct kv_rpc_worker *worker = call->worker;
   kv_call_report_closed(call);
   worker->turn.calls -= kv_call_is_unary(call);
   if (atomic_fetch_sub(counter_of(call), 1) == 1 && atomic_load(&worker->rpc->stopping))
      kv_rpc_note_quiet(worker->rpc);
   call->engine->drop_request(call);
   kv_charge_drop_reply(&call->charge);
   kv_arena_reset(&call->arena);
   kv_stall_call_closed(call);
   kv_charge_end(&call->charge, 0);
}

/* ---- Its begin ---- */

bool kv_call_deadline_passed(const struct kv_call *call)
{
   return call->deadline_ms != INT64_MAX && (int64_t)kv_clock_monotonic_ms() >= call->deadline_ms;
}

enum kv_code kv_call_may_begin(struct kv_call *call, struct kv_status *status)
{
   struct kv_rpc *rpc = call->worker->rpc;
   if (atomic_load(&rpc->stopping)) {
      atomic_store(&rpc->refused, true);
      return kv_fail_reason(status, KV_UNAVAILABLE, "STOPPING",
                            "the server is stopping; try again");
   }
   if (kv_call_deadline_passed(call))
      return kv_fail(status, KV_DEADLINE_EXCEEDED,
                     "the deadline passed before the call was started");
   if (call->watched && kv_call_is_cancelled(call))
      return kv_fail(status, KV_CANCELLED, "the call was cancelled");
   return KV_OK;
}

enum kv_code kv_call_refuse_unknown(struct kv_slice path, struct kv_status *status)
{
   return kv_fail_reason(status, KV_UNIMPLEMENTED, "METHOD_UNKNOWN",
                         "unknown method \"%.*s\"; this server may be older than the client",
                         (int)(path.size < METHOD_TEXT_MAX ? path.size : METHOD_TEXT_MAX),
                         (const char *)path.data);
}

enum kv_code kv_call_refuse_metadata(size_t size, struct kv_status *status)
{
   return kv_fail(status, KV_RESOURCE_EXHAUSTED,
                  "the call's metadata has %zu bytes; the limit is %d", size, KV_RPC_METADATA_MAX);
}

static void handle_request(struct kv_call *call, struct kv_slice request)
{
   call->method->request(call->method->service, call, request);
   kv_turn_handled(call);
}

static void begin(struct kv_call *call)
{
   struct kv_slice request;
   struct kv_status status;
   bool ready;
   if (kv_call_may_begin(call, &status) != KV_OK)
      kv_call_refuse(call, &status);
   else if (call->engine->join_request(call, &ready, &request, &status) != KV_OK)
      kv_call_refuse(call, &status);
   else if (!ready)
      kv_turn_go_on(call, begin);
   else
      handle_request(call, request);
}

static bool is_large(bool packed, size_t size)
{
   return packed || size >= LARGE_SIZE;
}

/* A request that is large but simple is handled at once: a Set of 100 kB costs 16 % more CPU time
 * as a slow call, and a Batch of 100 that is not large 35 %. */
bool kv_call_is_slow(const struct kv_rpc_method *method, bool packed, size_t size)
{
   return method->slow || packed || (method->compound && is_large(packed, size));
}

void kv_call_begin_unary(struct kv_call *call, bool packed, size_t size)
{
   call->packed = packed;
   kv_call_arrived(call, size);
   if (!kv_call_is_slow(call->method, packed, size)) {
      if (is_large(packed, size))
         kv_observe_pause(call->worker);
      begin(call);
      return;
   }
   call->large = is_large(packed, size);
   kv_call_watch(call);
   kv_turn_await(call, begin);
}

bool kv_call_begin_work(struct kv_call *call)
{
   size_t request =
       call->packed ? call->worker->rpc->options.receive_message_max : call->request_size;
   return kv_charge_begin_work(&call->charge, request);
}

void kv_call_watch(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind == KV_RPC_UNARY);
   if (call->watched)
      return;
   call->watched = true;
   if (call->engine->watch)
      call->engine->watch(call);
}

/* ---- What handlers ask ---- */

unsigned kv_call_worker(const struct kv_call *call)
{
   return call->worker->index;
}

struct kv_arena *kv_call_arena(struct kv_call *call)
{
   return &call->arena;
}

void **kv_call_state(struct kv_call *call)
{
   return &call->state;
}

uint64_t kv_call_connection(const struct kv_call *call)
{
   return call->connection->number;
}

const struct kv_rpc_identity *kv_call_identity(const struct kv_call *call)
{
   return &call->connection->identity;
}

void *kv_call_peer_note(const struct kv_call *call)
{
   return call->connection->note;
}

void kv_call_set_peer_note(struct kv_call *call, void *note, void (*release)(void *note))
{
   kv_connection_set_note(call->connection, note, release);
}

uint64_t kv_call_network(const struct kv_call *call)
{
   return kv_connection_network(call->connection);
}

enum kv_rpc_kind kv_call_kind(const struct kv_call *call)
{
   return call->method->kind;
}

void kv_call_peer(const struct kv_call *call, char text[KV_RPC_PEER_SIZE])
{
   kv_connection_peer(call->connection, text);
}

bool kv_call_is_cancelled(const struct kv_call *call)
{
   return atomic_load(&call->cancelled) || kv_call_deadline_passed(call);
}

/* ---- What it holds ---- */

bool kv_call_take(struct kv_call *call, size_t size)
{
   return kv_charge_take(&call->charge, size);
}

void kv_call_carried_out(struct kv_call *call)
{
   kv_charge_carried_out(&call->charge);
}

void kv_call_forget_request(struct kv_call *call)
{
   call->engine->drop_request(call);
   kv_charge_forget_request(&call->charge);
}

void kv_call_drop_large_request(struct kv_call *call)
{
   if (!kv_charge_is_large(&call->charge, call->cost))
      return;
   size_t left = call->cost;
   kv_call_forget_request(call);
   if (call->keeps_arena)
      left = call->charge.held;
   else
      kv_arena_reset(&call->arena);
   kv_charge_end(&call->charge, left);
}

enum kv_code kv_call_exhausted(const struct kv_call *call, struct kv_status *status)
{
   return kv_charge_exhausted(&call->charge, status);
}

/* ---- Its answer ---- */

/* Once the engine has it, the call may be gone. */
static void end(struct kv_call *call, enum kv_code code, const char *text)
{
   kv_call_report(call, code);
   call->engine->end(call, code, text);
}

uint8_t *kv_call_message(struct kv_call *call, size_t size)
{
   return call->engine->message(call, size);
}

bool kv_call_insert(struct kv_call *call, size_t at, struct kv_slice bytes,
                    void (*release)(void *owner), void *owner)
{
   struct kv_piece *piece = kv_charge_refer(&call->charge, bytes.size, release, owner);
   if (!piece)
      return false;
   if (call->engine->insert(call, at, bytes, piece))
      return true;
   kv_piece_undo(piece);
   return false;
}

void kv_call_reply(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind == KV_RPC_UNARY);
   if (kv_call_deadline_passed(call))
      end(call, KV_DEADLINE_EXCEEDED, "the deadline passed before the reply was ready");
   else
      end(call, KV_OK, "");
}

void kv_call_shown(const struct kv_call *call, const char *text, char shown[KV_STATUS_TEXT_SIZE])
{
   kv_text_hide_paths(text, call->worker->rpc->options.private_paths, KV_RPC_PRIVATE_PATH_SHOWN,
                      shown, KV_STATUS_TEXT_SIZE);
}

void kv_call_fail(struct kv_call *call, enum kv_code code, const char *text)
{
   KV_INVARIANT(code != KV_OK);
   char shown[KV_STATUS_TEXT_SIZE];
   kv_call_shown(call, text, shown);
   end(call, code, shown);
}

struct kv_slice kv_call_details(const struct kv_call *call, const struct kv_status *status,
                                uint8_t details[KV_RPC_DETAILS_MAX])
{
   const struct kv_rpc_options *options = &call->worker->rpc->options;
   char shown[KV_STATUS_TEXT_SIZE];
   if (!status->reason || !options->describe)
      return kv_slice(NULL, 0);
   kv_call_shown(call, status->text, shown);
   return kv_slice(details, options->describe(status, shown, details));
}

void kv_call_refuse(struct kv_call *call, const struct kv_status *status)
{
   uint8_t buffer[KV_RPC_DETAILS_MAX];
   const struct kv_slice details = kv_call_details(call, status, buffer);
   if (details.size > 0 && !call->given_to_handler)
      kv_call_add_metadata(call, KV_RPC_TRAILING, KV_RPC_STATUS_DETAILS, details);
   kv_call_fail(call, status->code, status->text);
}

void kv_call_send(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind != KV_RPC_UNARY);
   if (kv_call_deadline_passed(call))
      end(call, KV_DEADLINE_EXCEEDED, "the deadline passed before all replies were sent");
   else
      call->engine->send(call);
}

void kv_call_read_next(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind == KV_RPC_BIDI);
   call->engine->read_next(call);
}

void kv_call_notify(struct kv_call *call)
{
   KV_INVARIANT(call->method->notified);
   call->engine->notify(call);
}

void kv_call_finish(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind != KV_RPC_UNARY);
   end(call, KV_OK, "");
}
