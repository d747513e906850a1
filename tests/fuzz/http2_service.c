#include "tests/fuzz/http2_service.h"

#include "core/rpc/call.h"
#include "core/rpc/server.h"
#include "tests/fuzz/http2_message.h"
#include "tests/fuzz/http2_peer.h"

#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 128
#define METADATA_MAX 1000

/* The script's bytes. */
enum { WHEN, OUTCOME, SIZE, STREAM };
/* Of WHEN, in its lowest three bits. */
enum { NOW, NOW_ELSEWHERE, AT_TURN_END, AT_TURN_END_ELSEWHERE, LATER, YIELD, LATER_TOO, NOW_TOO };
enum { WATCH = 8, FORGET = 16, TAKE = 32, CARRIED_OUT = 64, METADATA = 128 };
/* Of OUTCOME, in its lowest two bits. */
enum { GOOD, EMPTY, BAD, BAD_WITH_MESSAGE };
enum { PIECES = 4 + 8, TWICE = 16, LARGE_TAKE = 32 };
/* Of STREAM. */
enum { COUNT = 7, READ_FIRST = 8, FINISH = 16, ELSEWHERE = 32, READ_LATER = 64, SEND_LATER = 128 };

struct record {
   struct kv_call *call; /* NULL: free */
   int32_t id;           /* of its stream; 0: already closed then */
   uint8_t script[MESSAGE_SCRIPT_SIZE];
   unsigned left; /* messages to be sent */
   unsigned yields;
   bool at_turn_end;
   bool may_answer; /* unary: nothing else has to come before */
   bool sending;    /* `sent` has to come first */
   bool has_request, has_taken, half_closed, ended;
};

static struct record records[CALLS_MAX];
static size_t record_count; /* those behind are free */
static size_t begun, closed, pieces;
static struct kv_http2_worker *const *workers;
static unsigned worker_count;

static bool is_unary(const struct record *record)
{
   return record->call->method->kind == KV_RPC_UNARY;
}

static struct record *find(const struct kv_call *call)
{
   for (size_t i = 0; i < record_count; i++)
      if (records[i].call == call)
         return &records[i];
   return NULL;
}

static struct record *find_free(void)
{
   struct record *record = find(NULL);
   if (!record && record_count < CALLS_MAX)
      record = &records[record_count++];
   return record;
}

/* ---- Threads ---- */

static void set_thread(pthread_t thread)
{
   for (unsigned i = 0; i < worker_count; i++)
      workers[i]->self = thread;
}

/* What follows is as if it were done on another thread. */
static void go_elsewhere(bool is_elsewhere)
{
   pthread_t nobody;
   memset(&nobody, 0, sizeof nobody);
   if (is_elsewhere)
      set_thread(nobody);
}

static void come_back(void)
{
   set_thread(pthread_self());
}

/* ---- Messages ---- */

static size_t choose_size(const struct record *record)
{
   static const size_t sizes[] = {0, 1, 100, 300, 1000, 5000, 20000, 66000};
   return sizes[record->script[SIZE] % 8] + record->script[SIZE] / 8;
}

static void release_piece(void *owner)
{
   REQUIRE(pieces > 0);
   pieces--;
   free(owner);
}

/* The message, of which some lies in pieces. */
static bool make_message(struct record *record)
{
   size_t size = choose_size(record), count = (size_t)(record->script[OUTCOME] & PIECES) / 4;
   size_t inserted = count > 0 ? size / 2 / count : 0, own = size - count * inserted;
   const uint8_t *pattern = peer_pattern(size);
   uint8_t *message = kv_call_message(record->call, own);
   if (!message)
      return false;
   for (size_t i = 0, at = 0, from = 0; i <= count; i++) {
      size_t until = i < count ? own / (count + 1) * (i + 1) : own;
      if (until > at)
         memcpy(message + at, pattern + from, until - at);
      from += until - at;
      at = until;
      if (i == count)
         break;
      uint8_t *piece = malloc(inserted > 0 ? inserted : 1);
      REQUIRE(piece);
      memcpy(piece, pattern + from, inserted);
      from += inserted;
      if (!kv_call_insert(record->call, at, kv_slice(piece, inserted), release_piece, piece)) {
         free(piece);
         return false;
      }
      pieces++;
   }
   return true;
}

static void count_reply(const struct record *record)
{
   struct peer_stream *stream = record->id != 0 ? peer_stream(record->id) : NULL;
   if (!stream)
      return;
   stream->replies++;
   stream->unary = is_unary(record);
}

static void exhausted(struct kv_call *call)
{
   struct kv_status status;
   kv_call_exhausted(call, &status);
   kv_call_fail(call, status.code, status.text);
}

/* ---- Unary ---- */

/* It must not be touched afterwards. */
static void answer(struct record *record, bool is_elsewhere)
{
   struct kv_call *call = record->call;
   uint8_t outcome = record->script[OUTCOME];
   go_elsewhere(is_elsewhere);
   bool made = true;
   if (record->script[WHEN] & CARRIED_OUT)
      kv_call_carried_out(call);
   if (outcome % 4 == GOOD || outcome % 4 == BAD_WITH_MESSAGE)
      made = make_message(record);
   if (made && (outcome & TWICE))
      made = make_message(record);
   record->call = NULL;
   if (!made) {
      exhausted(call);
   } else if (outcome % 4 >= BAD) {
      kv_call_fail(call, 1 + outcome / 16, "what the fuzzer wants: 100 % failure \xc3\xa4\n");
   } else {
      record->call = call;
      count_reply(record);
      record->call = NULL;
      kv_call_reply(call);
   }
   come_back();
}

static void go_on(void *service, struct kv_call *call)
{
   struct record *record = find(call);
   (void)service;
   REQUIRE(record && !record->may_answer);
   if (record->yields-- > 0 && !kv_call_is_cancelled(call)) {
      kv_call_yield(call, go_on);
      return;
   }
   record->may_answer = true;
   answer(record, record->script[STREAM] & ELSEWHERE);
}

/* What a handler may do before it answers. */
static void use(struct record *record, struct kv_slice request)
{
   uint8_t when = record->script[WHEN];
   struct kv_slice value;
   if (when & METADATA) {
      bool good = kv_call_metadata(record->call, "user-data", &value) &&
                  kv_call_metadata(record->call, "trace-bin", &value);
      if (!record->has_taken) /* later its headers are sent */
         good =
             kv_call_add_metadata(record->call, KV_RPC_INITIAL, "first", kv_slice_of("1")) && good;
      request.size = request.size < METADATA_MAX ? request.size : METADATA_MAX;
      good = kv_call_add_metadata(record->call, KV_RPC_TRAILING, "last-bin", request) && good;
   }
   if ((when & TAKE) && !record->has_taken) /* a call alone may take more than there is */
      (void)kv_call_take(record->call, record->script[OUTCOME] & LARGE_TAKE ? 300000 : 3000);
   record->has_taken = true;
   if (when & FORGET)
      kv_call_forget_request(record->call);
}

static void decide(struct record *record)
{
   bool is_slow = record->call->watched;
   switch (record->script[WHEN] % 8) {
   case NOW:
   case NOW_TOO:
      answer(record, false);
      break;
   case NOW_ELSEWHERE:
      answer(record, true);
      break;
   case AT_TURN_END:
   case AT_TURN_END_ELSEWHERE:
      record->at_turn_end = true;
      break;
   case YIELD:
      if (is_slow) {
         record->may_answer = false;
         record->yields = record->script[STREAM] & COUNT;
         kv_call_yield(record->call, go_on);
      }
      break;
   default:
      break;
   }
}

static struct record *note(struct kv_call *call, struct kv_slice request)
{
   struct record *record = find_free();
   if (!record)
      return NULL;
   *record =
       (struct record){.call = call, .id = kv_http2_call_of(call)->stream, .may_answer = true};
   if (request.size > 0)
      memcpy(record->script, request.data,
             request.size < MESSAGE_SCRIPT_SIZE ? request.size : MESSAGE_SCRIPT_SIZE);
   record->left = record->script[STREAM] & COUNT;
   return record;
}

/* Reads all of it: it must be there. */
static void check_request(struct kv_call *call, struct kv_slice request)
{
   static uint8_t copy[MESSAGE_FRAMED_MAX];
   REQUIRE(request.size <= call->worker->rpc->options.receive_message_max);
   if (request.size > 0)
      memcpy(copy, request.data, request.size);
   peer_check_delivery(kv_http2_call_of(call)->stream, call->packed, copy, request.size);
}

static void handle_unary(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   REQUIRE(!find(call));
   check_request(call, request);
   struct record *record = note(call, request);
   if (!record) {
      kv_call_fail(call, KV_UNAVAILABLE, "too many calls");
      return;
   }
   if (record->script[WHEN] & WATCH)
      kv_call_watch(call);
   use(record, request);
   bool was_watched = call->watched;
   if (!call->method->slow && !call->packed && was_watched && (record->script[WHEN] & WATCH))
      record->script[WHEN] &= (uint8_t)~7; /* such a call cannot yield */
   decide(record);
}

/* ---- Streams ---- */

static void end_stream(struct record *record, bool good)
{
   record->ended = true;
   if (good)
      kv_call_finish(record->call);
   else
      kv_call_fail(record->call, KV_INVALID_ARGUMENT, "the stream is to fail");
}

static void send(struct record *record)
{
   if (record->sending || record->ended)
      return;
   if (!make_message(record)) {
      record->ended = true;
      exhausted(record->call);
      return;
   }
   record->sending = true;
   count_reply(record);
   kv_call_send(record->call);
}

static void read_next(struct record *record)
{
   if (!record->has_request || record->call->method->kind != KV_RPC_BIDI)
      return;
   record->has_request = false;
   kv_call_read_next(record->call);
}

/* The record may be another one's afterwards: handlers run within. */
static void go_on_with_stream(struct record *record)
{
   uint8_t script = record->script[STREAM];
   go_elsewhere(script & ELSEWHERE);
   bool reads = !(script & READ_LATER);
   if (reads && (script & READ_FIRST))
      read_next(record);
   if (record->left > 0 && !record->sending && !record->ended) {
      record->left--;
      send(record);
   } else if (record->left == 0 && (script & FINISH) && !record->ended) {
      end_stream(record, record->script[OUTCOME] % 4 < BAD);
   }
   if (reads && !(script & READ_FIRST))
      read_next(record);
   come_back();
}

static void handle_stream(void *service, struct kv_call *call, struct kv_slice request)
{
   struct record *record = find(call);
   (void)service;
   check_request(call, request);
   if (!record) {
      record = note(call, request);
      begun++;
   } else {
      REQUIRE(call->method->kind == KV_RPC_BIDI && !record->has_request && !record->half_closed);
      if (request.size >= MESSAGE_SCRIPT_SIZE)
         memcpy(record->script, request.data, MESSAGE_SCRIPT_SIZE);
      record->left = record->script[STREAM] & COUNT;
   }
   if (!record) {
      kv_call_fail(call, KV_UNAVAILABLE, "too many calls");
      return;
   }
   record->has_request = true;
   use(record, request);
   if (!(record->script[STREAM] & SEND_LATER))
      go_on_with_stream(record);
}

static void handle_sent(void *service, struct kv_call *call)
{
   struct record *record = find(call);
   (void)service;
   REQUIRE(record && record->sending);
   record->sending = false;
   if (!(record->script[STREAM] & SEND_LATER))
      go_on_with_stream(record);
}

static void handle_half_closed(void *service, struct kv_call *call)
{
   struct record *record = find(call);
   (void)service;
   peer_check_half_close(kv_http2_call_of(call)->stream);
   if (!record) {
      record = note(call, kv_slice(NULL, 0));
      begun++;
   }
   if (!record) {
      kv_call_finish(call);
      return;
   }
   REQUIRE(!record->half_closed && !record->has_request);
   record->half_closed = true;
   if (!record->ended && !(record->script[STREAM] & SEND_LATER))
      end_stream(record, true);
}

static void handle_closed(void *service, struct kv_call *call)
{
   struct record *record = find(call);
   (void)service;
   closed++;
   if (record)
      record->call = NULL;
}

static size_t kept(void *service, struct kv_call *call)
{
   const struct record *record = find(call);
   (void)service;
   return record ? record->script[SIZE] * (size_t)1000 : 0;
}

static void resume(void *service, struct kv_call *call, char *text, size_t size)
{
   (void)service;
   (void)call;
   if (size > 0)
      text[0] = '\0';
}

#define UNARY .kind = KV_RPC_UNARY, .request = handle_unary
#define STREAMING                                                                                  \
   .request = handle_stream, .sent = handle_sent, .closed = handle_closed, .kept = kept,           \
   .resume = resume
#define BIDI .kind = KV_RPC_BIDI, STREAMING, .half_closed = handle_half_closed

const struct kv_rpc_method service_methods[SERVICE_METHODS] = {
    {.path = "/fuzz.Fuzz/Unary", UNARY},
    {.path = "/fuzz.Fuzz/Bidi", BIDI},
    {.path = "/fuzz.Fuzz/Stream", .kind = KV_RPC_SERVER_STREAM, STREAMING},
    {.path = "/fuzz.Fuzz/Slow", UNARY, .slow = true},
    {.path = "/fuzz.Fuzz/Compound", UNARY, .compound = true},
    {.path = "/fuzz.Fuzz/SlowStream", .kind = KV_RPC_SERVER_STREAM, STREAMING, .slow = true},
    {.path = "/fuzz.Fuzz/SlowBidi", BIDI, .slow = true},
};

/* ---- What the input wants ---- */

void service_turn_end(void *context, unsigned index)
{
   (void)context;
   for (size_t i = 0; i < record_count; i++) {
      struct record *record = &records[i];
      if (record->call && record->call->worker->index == index && record->at_turn_end)
         answer(record, record->script[WHEN] % 8 == AT_TURN_END_ELSEWHERE);
   }
}

void service_go_on(struct fuzz_input *input)
{
   struct record *candidates[CALLS_MAX];
   size_t count = 0;
   uint8_t choice = (uint8_t)fuzz_take(input, 1), what = (uint8_t)fuzz_take(input, 1);
   for (size_t i = 0; i < record_count; i++)
      if (records[i].call && (!is_unary(&records[i]) || records[i].may_answer))
         candidates[count++] = &records[i];
   if (count == 0)
      return;
   struct record *record = candidates[choice % count];
   if (is_unary(record)) {
      answer(record, what & 1);
      return;
   }
   go_elsewhere(what & 1);
   switch (what / 2 % 5) {
   case 0:
   case 1:
      send(record);
      break;
   case 2:
      read_next(record);
      break;
   default:
      if (!record->ended)
         end_stream(record, what & 16);
   }
   come_back();
}

void service_answer_all(void)
{
   for (size_t i = 0; i < record_count; i++) {
      struct record *record = &records[i];
      if (!record->call)
         continue;
      if (!is_unary(record)) {
         if (!record->ended)
            end_stream(record, true);
      } else if (record->may_answer) {
         answer(record, i % 2 == 0);
      }
   }
}

void service_begin(struct kv_http2_worker *const *its_workers, unsigned count)
{
   workers = its_workers;
   worker_count = count;
   come_back();
   begun = closed = record_count = 0;
   REQUIRE(pieces == 0);
}

void service_check_end(void)
{
   for (size_t i = 0; i < record_count; i++)
      REQUIRE(!records[i].call);
   REQUIRE(begun == closed);
   REQUIRE(pieces == 0);
}
