#include "tests/support/fake_rpc.h"

#include "core/support/invariant.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kv_call {
   const struct kv_rpc_method *method;
   struct kv_arena arena;
   void *state;
   struct kv_rpc_subject subject;
   uint8_t *message;
   size_t message_size;
   char
       *before; /* a copy of what comes before the rest of the message, once pieces were inserted */
   size_t before_size, inserted_at;
   struct fake_answer *answer;

   /* Handlers may answer from other threads. */
   pthread_mutex_t lock;
   pthread_cond_t changed;
   bool sending, reading, notified, ended;
   bool watched;
   struct fake_client client;
   atomic_bool cancelled;
   unsigned asked; /* how often, whether it is cancelled */
   unsigned yields;
};

/* Of the process, as a test has one engine. */
static void (*rpc_turn_end)(void *context, unsigned worker);
static void *rpc_context;

void fake_rpc_set_turn_end(void (*turn_end)(void *context, unsigned worker), void *context)
{
   rpc_turn_end = turn_end;
   rpc_context = context;
}

static void end_turn(void)
{
   if (rpc_turn_end)
      rpc_turn_end(rpc_context, 0);
}

bool fake_account_grant(struct fake_account *account)
{
   if (!account || account->carried_out)
      return true;
   if (account->grants == 0)
      return false;
   account->grants--;
   return true;
}

unsigned kv_call_worker(const struct kv_call *call)
{
   (void)call;
   return 0;
}

void kv_call_set_subject(struct kv_call *call, struct kv_slice key)
{
   call->subject.key = key;
}

void kv_call_set_caller(struct kv_call *call, const char *user, const char *request)
{
   call->subject.user = user;
   call->subject.request = request;
}

const struct kv_rpc_subject *kv_call_subject(const struct kv_call *call)
{
   return &call->subject;
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
   (void)size;
   return fake_account_grant(call->client.account);
}

void kv_call_carried_out(struct kv_call *call)
{
   if (call->client.account)
      call->client.account->carried_out = true;
}

size_t kv_call_metadata(struct kv_call *call, const char *name, struct kv_slice *value)
{
   (void)call, (void)name, (void)value;
   return 0;
}

const struct kv_rpc_identity *kv_call_identity(const struct kv_call *call)
{
   static const struct kv_rpc_identity nobody;
   (void)call;
   return &nobody;
}

uint64_t kv_call_network(const struct kv_call *call)
{
   (void)call;
   return 0;
}

enum kv_rpc_kind kv_call_kind(const struct kv_call *call)
{
   return call->method->kind;
}

void kv_call_peer(const struct kv_call *call, char text[KV_RPC_PEER_SIZE])
{
   (void)call;
   snprintf(text, KV_RPC_PEER_SIZE, "unknown");
}

void *kv_call_peer_note(const struct kv_call *call)
{
   (void)call;
   return NULL;
}

void kv_call_set_peer_note(struct kv_call *call, void *note, void (*release)(void *note))
{
   (void)call;
   release(note);
}

void kv_call_forget_request(struct kv_call *call)
{
   (void)call;
}

enum kv_code kv_call_exhausted(const struct kv_call *call, struct kv_status *status)
{
   const struct fake_account *account = call->client.account;
   return kv_fail(status, account && account->carried_out ? KV_INTERNAL : KV_RESOURCE_EXHAUSTED,
                  "out of memory");
}

uint8_t *kv_call_message(struct kv_call *call, size_t size)
{
   free(call->message);
   call->message = fake_account_grant(call->client.account) ? malloc(size > 0 ? size : 1) : NULL;
   call->message_size = call->message ? size : 0;
   free(call->before);
   call->before = NULL;
   call->before_size = call->inserted_at = 0;
   return call->message;
}

static void append(struct kv_call *call, struct kv_slice bytes)
{
   call->before = realloc(call->before, call->before_size + bytes.size + 1);
   KV_INVARIANT(call->before);
   if (bytes.size > 0)
      memcpy(call->before + call->before_size, bytes.data, bytes.size);
   call->before_size += bytes.size;
}

static void append_space(struct kv_call *call, size_t end)
{
   KV_INVARIANT(end >= call->inserted_at && end <= call->message_size);
   append(call, kv_slice(call->message + call->inserted_at, end - call->inserted_at));
   call->inserted_at = end;
}

bool kv_call_insert(struct kv_call *call, size_t at, struct kv_slice bytes,
                    void (*release)(void *owner), void *owner)
{
   if (!fake_account_grant(call->client.account))
      return false;
   append_space(call, at);
   append(call, bytes);
   release(owner);
   return true;
}

static void join_message(struct kv_call *call)
{
   if (!call->before)
      return;
   append_space(call, call->message_size);
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
   KV_INVARIANT(!call->ended);
   KV_INVARIANT(strlen(text) < KV_STATUS_TEXT_SIZE);
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
   KV_INVARIANT(call->method->kind == KV_RPC_UNARY);
   end(call, true, KV_OK, "");
}

void kv_call_fail(struct kv_call *call, enum kv_code code, const char *text)
{
   KV_INVARIANT(code != KV_OK && text[0] != '\0');
   end(call, false, code, text);
}

void kv_call_shown(const struct kv_call *call, const char *text, char shown[KV_STATUS_TEXT_SIZE])
{
   (void)call;
   snprintf(shown, KV_STATUS_TEXT_SIZE, "%s", text);
}

void kv_call_watch(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind == KV_RPC_UNARY);
   call->watched = true;
}

bool kv_call_add_metadata(struct kv_call *call, enum kv_rpc_metadata where, const char *name,
                          struct kv_slice value)
{
   KV_INVARIANT(where == KV_RPC_TRAILING && strcmp(name, "grpc-status-details-bin") == 0);
   free(call->answer->details);
   call->answer->details = malloc(value.size + 1);
   KV_INVARIANT(call->answer->details);
   memcpy(call->answer->details, value.data, value.size);
   call->answer->details_size = value.size;
   return true;
}

uint64_t kv_call_connection(const struct kv_call *call)
{
   (void)call;
   return 1;
}

bool kv_call_is_cancelled(const struct kv_call *call)
{
   const bool is_begun = call->watched && ((struct kv_call *)call)->asked++ > 0;
   return call->cancelled || (is_begun && call->client.impatient);
}

void kv_call_yield(struct kv_call *call, void (*go_on)(void *service, struct kv_call *call))
{
   KV_INVARIANT(call->method->slow && !call->sending);
   if (++call->yields == call->client.cancels_at_yield)
      call->cancelled = true;
   go_on(call->method->service, call);
}

void kv_call_notify(struct kv_call *call)
{
   pthread_mutex_lock(&call->lock);
   call->notified = true;
   pthread_cond_signal(&call->changed);
   pthread_mutex_unlock(&call->lock);
}

void kv_call_finish(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind != KV_RPC_UNARY);
   end(call, false, KV_OK, "");
}

void kv_call_send(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind != KV_RPC_UNARY);
   pthread_mutex_lock(&call->lock);
   KV_INVARIANT(!call->ended && !call->sending);
   keep_message(call);
   call->sending = true;
   pthread_cond_signal(&call->changed);
   pthread_mutex_unlock(&call->lock);
}

void kv_call_read_next(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind == KV_RPC_BIDI);
   pthread_mutex_lock(&call->lock);
   KV_INVARIANT(!call->ended && !call->reading);
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
      bool left = call->client.leaves_at > 0 && call->answer->count >= call->client.leaves_at;
      call->sending = false;
      if (!sent)
         call->reading = false;
      pthread_mutex_unlock(&call->lock);
      if (left)
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

struct kv_call *fake_call_begin(const struct kv_rpc_method *method, struct kv_slice request,
                                const struct fake_client *client, struct fake_answer *answer)
{
   struct kv_call *call = calloc(1, sizeof *call);
   KV_INVARIANT(call);
   call->method = method;
   call->answer = answer;
   if (client)
      call->client = *client;
   memset(answer, 0, sizeof *answer);
   pthread_mutex_init(&call->lock, NULL);
   pthread_cond_init(&call->changed, NULL);
   kv_arena_init(&call->arena);
   method->request(method->service, call, request);
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

static bool await_reading(struct kv_call *call)
{
   pthread_mutex_lock(&call->lock);
   while (!call->reading && !call->ended)
      pthread_cond_wait(&call->changed, &call->lock);
   bool reads = !call->ended;
   call->reading = false;
   pthread_mutex_unlock(&call->lock);
   return reads;
}

bool fake_call_next(struct kv_call *call, struct kv_slice request)
{
   bool reads = await_reading(call);
   if (reads)
      call->method->request(call->method->service, call, request);
   return reads;
}

bool fake_call_half_close(struct kv_call *call)
{
   bool reads = await_reading(call);
   if (reads)
      call->method->half_closed(call->method->service, call);
   return reads;
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

void fake_call_await_message(struct kv_call *call, size_t count)
{
   pthread_mutex_lock(&call->lock);
   while (call->answer->count < count)
      pthread_cond_wait(&call->changed, &call->lock);
   pthread_mutex_unlock(&call->lock);
}

void fake_call_cancel(struct kv_call *call)
{
   call->cancelled = true;
}

bool fake_call_is_answered(struct kv_call *call)
{
   pthread_mutex_lock(&call->lock);
   bool ended = call->ended;
   pthread_mutex_unlock(&call->lock);
   return ended;
}

void fake_call_wait(struct kv_call *call)
{
   end_turn();
   pthread_mutex_lock(&call->lock);
   while (!call->ended)
      pthread_cond_wait(&call->changed, &call->lock);
   pthread_mutex_unlock(&call->lock);
}

void fake_call_end(struct kv_call *call)
{
   if (call->method->closed)
      call->method->closed(call->method->service, call);
   release(call);
}

void fake_call_run(const struct kv_rpc_method *method, struct kv_slice request,
                   const struct fake_client *client, struct fake_answer *answer)
{
   struct kv_call *call = fake_call_begin(method, request, client, answer);
   if (method->kind == KV_RPC_UNARY)
      fake_call_wait(call);
   else
      run_stream(call);
   release(call);
}

void fake_answer_deinit(struct fake_answer *answer)
{
   for (size_t i = 0; i < answer->count && i < FAKE_MESSAGES_MAX; i++)
      free((void *)(uintptr_t)answer->messages[i].data);
   free(answer->details);
}
