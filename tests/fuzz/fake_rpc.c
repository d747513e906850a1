#include "tests/fuzz/fake_rpc.h"

#include "tests/fuzz/support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct kv_call {
   const struct kv_rpc_method *method;
   struct kv_arena arena;
   void *state;
   uint8_t *message;
   size_t message_size;
   char
       *before; /* a copy of what comes before the rest of the message, once pieces were inserted */
   size_t before_size, inserted_at;
   struct fake_answer *answer;
   void (*deferred)(void *service, unsigned worker);

   /* Handlers may answer from other threads. */
   pthread_mutex_t lock;
   pthread_cond_t changed;
   bool sending, reading, ended;
   bool watched;
   size_t cut_at;  /* the client goes away with this message; 0: it stays */
   unsigned asked; /* whether it is gone */
};

unsigned kv_call_worker(const struct kv_call *call)
{
   (void)call;
   return 0;
}

void kv_call_defer(struct kv_call *call, void (*run)(void *service, unsigned worker))
{
   call->deferred = run;
}

struct kv_arena *kv_call_arena(struct kv_call *call)
{
   return &call->arena;
}

void **kv_call_state(struct kv_call *call)
{
   return &call->state;
}

bool kv_call_take(struct kv_call *call, size_t size)
{
   (void)call;
   (void)size;
   return true;
}

void kv_call_carried_out(struct kv_call *call)
{
   (void)call;
}

void kv_call_forget_request(struct kv_call *call)
{
   (void)call;
}

void kv_call_exhausted(const struct kv_call *call, struct kv_status *status)
{
   (void)call;
   kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
}

uint8_t *kv_call_message(struct kv_call *call, size_t size)
{
   free(call->message);
   call->message = malloc(size > 0 ? size : 1);
   call->message_size = size;
   free(call->before);
   call->before = NULL;
   call->before_size = call->inserted_at = 0;
   return call->message;
}

static void append(struct kv_call *call, struct kv_slice bytes)
{
   call->before = realloc(call->before, call->before_size + bytes.size + 1);
   REQUIRE(call->before);
   if (bytes.size > 0)
      memcpy(call->before + call->before_size, bytes.data, bytes.size);
   call->before_size += bytes.size;
}

static void append_room(struct kv_call *call, size_t end)
{
   REQUIRE(end >= call->inserted_at && end <= call->message_size);
   append(call, kv_slice(call->message + call->inserted_at, end - call->inserted_at));
   call->inserted_at = end;
}

bool kv_call_insert(struct kv_call *call, size_t at, struct kv_slice bytes,
                    void (*release)(void *owner), void *owner)
{
   append_room(call, at);
   append(call, bytes);
   release(owner);
   return true;
}

static void join_message(struct kv_call *call)
{
   if (!call->before)
      return;
   append_room(call, call->message_size);
   free(call->message);
   call->message = (uint8_t *)call->before;
   call->message_size = call->before_size;
   call->before = NULL;
   call->before_size = call->inserted_at = 0;
}

/* With the lock held. */
static void keep_message(struct kv_call *call)
{
   struct fake_answer *answer = call->answer;
   join_message(call);
   if (answer->count < FAKE_MESSAGES_MAX)
      answer->messages[answer->count] = kv_slice(call->message, call->message_size);
   else
      free(call->message);
   answer->count++;
   call->message = NULL;
   call->message_size = 0;
}

static void end(struct kv_call *call, bool with_message, enum kv_code code, const char *text)
{
   pthread_mutex_lock(&call->lock);
   REQUIRE(!call->ended);
   REQUIRE(strlen(text) < KV_STATUS_TEXT_SIZE);
   if (with_message)
      keep_message(call);
   call->ended = true;
   call->answer->ended = true;
   call->answer->code = code;
   strcpy(call->answer->text, text);
   pthread_cond_signal(&call->changed);
   pthread_mutex_unlock(&call->lock);
}

void kv_call_reply(struct kv_call *call)
{
   REQUIRE(call->method->kind == KV_RPC_UNARY);
   end(call, true, KV_OK, "");
}

void kv_call_fail(struct kv_call *call, enum kv_code code, const char *text)
{
   REQUIRE(code != KV_OK && text[0] != '\0');
   end(call, false, code, text);
}

/* Nobody waits for what takes long. */
void kv_call_watch(struct kv_call *call)
{
   REQUIRE(call->method->kind == KV_RPC_UNARY);
   call->watched = true;
}

uint64_t kv_call_connection(const struct kv_call *call)
{
   (void)call;
   return 1;
}

/* It goes away once it has been begun: a shadow run would last. */
bool kv_call_is_cancelled(const struct kv_call *call)
{
   return call->watched && ((struct kv_call *)call)->asked++ > 0;
}

void kv_call_yield(struct kv_call *call, void (*go_on)(void *service, struct kv_call *call))
{
   REQUIRE(call->method->kind == KV_RPC_UNARY && call->method->slow);
   go_on(call->method->service, call);
}

void kv_call_finish(struct kv_call *call)
{
   REQUIRE(call->method->kind != KV_RPC_UNARY);
   end(call, false, KV_OK, "");
}

void kv_call_send(struct kv_call *call)
{
   REQUIRE(call->method->kind != KV_RPC_UNARY);
   pthread_mutex_lock(&call->lock);
   REQUIRE(!call->ended && !call->sending);
   keep_message(call);
   call->sending = true;
   pthread_cond_signal(&call->changed);
   pthread_mutex_unlock(&call->lock);
}

void kv_call_read_next(struct kv_call *call)
{
   REQUIRE(call->method->kind == KV_RPC_BIDI);
   pthread_mutex_lock(&call->lock);
   REQUIRE(!call->ended && !call->reading);
   call->reading = true;
   pthread_cond_signal(&call->changed);
   pthread_mutex_unlock(&call->lock);
}

/* Lets what is sent leave and tells the handler, until the call ends or nothing is in flight. */
static void run_stream(struct kv_call *call)
{
   const struct kv_rpc_method *method = call->method;
   for (;;) {
      pthread_mutex_lock(&call->lock);
      bool ended = call->ended, sent = call->sending, read = call->reading;
      bool cut = call->cut_at > 0 && call->answer->count >= call->cut_at;
      call->sending = false;
      if (!sent)
         call->reading = false;
      pthread_mutex_unlock(&call->lock);
      if (cut)
         break;
      if (sent && !ended && method->sent)
         method->sent(method->service, call);
      else if (!sent && read && !ended && method->half_closed)
         method->half_closed(method->service, call);
      else if (ended || !sent)
         break;
   }
   if (method->closed)
      method->closed(method->service, call);
}

void fake_call_run(const struct kv_rpc_method *method, struct kv_slice request,
                   struct fake_answer *answer)
{
   fake_call_cut(method, request, 0, answer);
}

struct kv_call *fake_call_begin(const struct kv_rpc_method *method, struct kv_slice request,
                                struct fake_answer *answer)
{
   struct kv_call *call = calloc(1, sizeof *call);
   REQUIRE(call);
   call->method = method;
   call->answer = answer;
   memset(answer, 0, sizeof *answer);
   pthread_mutex_init(&call->lock, NULL);
   pthread_cond_init(&call->changed, NULL);
   kv_arena_init(&call->arena);
   method->request(method->service, call, request);
   if (call->deferred)
      call->deferred(method->service, 0);
   return call;
}

bool fake_call_sent(struct kv_call *call)
{
   pthread_mutex_lock(&call->lock);
   bool sent = call->sending && !call->ended;
   call->sending = false;
   pthread_mutex_unlock(&call->lock);
   if (sent && call->method->sent)
      call->method->sent(call->method->service, call);
   return sent;
}

static void release(struct kv_call *call)
{
   kv_arena_reset(&call->arena);
   pthread_cond_destroy(&call->changed);
   pthread_mutex_destroy(&call->lock);
   free(call->message);
   free(call->before);
   free(call);
}

void fake_call_end(struct kv_call *call)
{
   if (call->method->closed)
      call->method->closed(call->method->service, call);
   release(call);
}

void fake_call_cut(const struct kv_rpc_method *method, struct kv_slice request, size_t count,
                   struct fake_answer *answer)
{
   struct kv_call *call = fake_call_begin(method, request, answer);
   call->cut_at = count;
   if (method->kind != KV_RPC_UNARY)
      run_stream(call);
   pthread_mutex_lock(&call->lock);
   while (method->kind == KV_RPC_UNARY && !call->ended)
      pthread_cond_wait(&call->changed, &call->lock);
   pthread_mutex_unlock(&call->lock);
   release(call);
}

void fake_answer_deinit(struct fake_answer *answer)
{
   for (size_t i = 0; i < answer->count && i < FAKE_MESSAGES_MAX; i++)
      free((void *)(uintptr_t)answer->messages[i].data);
}
