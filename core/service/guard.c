#include "core/service/guard.h"

#include "core/service/audit.h"
#include "core/service/grants.h"
#include "core/service/guesses.h"
#include "core/service/message.h"
#include "core/support/log.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEME "Bearer "
#define SCHEME_SIZE (sizeof SCHEME - 1)

/* How late an unknown token is told so. */
#define GUESS_DELAY_MS 500

struct kv_guard {
   struct kv_access *access;
   struct kv_guesses *guesses;
};

/* ---- Who it is ---- */

static void release_known(void *known)
{
   kv_known_destroy(known);
}

/* RFC 6750: the scheme in any case, then the token. What is meant to be a token and is none must
 * not pass for no token at all. */
static enum kv_code read_token(struct kv_call *call, struct kv_slice *token,
                               struct kv_status *status)
{
   struct kv_slice value;
   size_t count = kv_call_metadata(call, "authorization", &value);
   *token = kv_slice(NULL, 0);
   if (count == 0)
      return KV_OK;
   if (count > 1)
      return kv_fail_reason(status, KV_UNAUTHENTICATED, "UNAUTHENTICATED",
                            "the call has %zu \"authorization\" headers; send one", count);
   if (value.size <= SCHEME_SIZE || strncasecmp(value.data, SCHEME, SCHEME_SIZE) != 0)
      return kv_fail_reason(status, KV_UNAUTHENTICATED, "UNAUTHENTICATED",
                            "the header \"authorization\" is not of the form \"Bearer TOKEN\"");
   *token = kv_slice((const char *)value.data + SCHEME_SIZE, value.size - SCHEME_SIZE);
   return KV_OK;
}

static bool may_be_looked_at(struct kv_guard *guard, const struct kv_call *call,
                             const struct kv_proof *proof, const struct kv_known *known,
                             struct kv_status *status)
{
   if (proof->token.size == 0 || kv_access_still_knows(guard->access, proof, known) ||
       !kv_guesses_are_too_many(guard->guesses, kv_call_network(call)))
      return true;
   kv_fail_reason(status, KV_UNAVAILABLE, "TOO_MANY_UNKNOWN_TOKENS",
                  "the token has not been looked at: too many unknown ones have come from this "
                  "network; try again in a second");
   return false;
}

/* Who makes the call; NULL with `status`. What was found is noted for the connection. */
static const struct kv_user *identify(struct kv_guard *guard, struct kv_call *call,
                                      struct kv_status *status)
{
   const struct kv_rpc_identity *identity = kv_call_identity(call);
   struct kv_known *before = kv_call_peer_note(call), *known = before;
   struct kv_proof proof = {
       .certificate = identity->certificate, .is_local = identity->is_local, .uid = identity->uid};
   if (read_token(call, &proof.token, status) != KV_OK ||
       !may_be_looked_at(guard, call, &proof, before, status))
      return NULL;
   const struct kv_user *user = kv_access_identify(guard->access, &proof, &known, status);
   if (known != before)
      kv_call_set_peer_note(call, known, release_known);
   return user;
}

/* ---- A refusal ---- */

static void log_refusal(const struct kv_call *call, const ProtobufCMessageDescriptor *descriptor,
                        const struct kv_status *status)
{
   char peer[KV_RPC_PEER_SIZE];
   kv_call_peer(call, peer);
   kv_log(KV_LOG_WARNING, "refused a %s from %s: %s", descriptor->name, peer, status->text);
}

static void log_end(const struct kv_call *call, const struct kv_status *status)
{
   char peer[KV_RPC_PEER_SIZE];
   kv_call_peer(call, peer);
   kv_log(KV_LOG_WARNING, "ended a stream from %s: %s", peer, status->text);
}

static void refuse(struct kv_call *call, const ProtobufCMessageDescriptor *descriptor,
                   const struct kv_status *status)
{
   log_refusal(call, descriptor, status);
   kv_message_fail(call, status);
}

static void answer_guess(struct kv_call *call)
{
   struct kv_status status;
   kv_access_refuse_token(&status);
   kv_message_fail(call, &status);
}

/* A stream may be over before it would be answered, and is told at once; but it counts. */
static void refuse_unknown(struct kv_guard *guard, struct kv_call *call,
                           const ProtobufCMessageDescriptor *descriptor,
                           const struct kv_status *status)
{
   bool is_guess = status->reason && strcmp(status->reason, KV_TOKEN_UNKNOWN) == 0;
   uint64_t network = is_guess ? kv_call_network(call) : 0;
   bool waits = is_guess && kv_call_kind(call) == KV_RPC_UNARY;
   log_refusal(call, descriptor, status);
   if (waits)
      kv_call_forget_request(call);
   else
      kv_message_fail(call, status);
   if (is_guess)
      kv_guesses_add(guard->guesses, network, waits ? call : NULL);
}

/* ---- Interface ---- */

struct kv_guard *kv_guard_create(struct kv_access *access, struct kv_status *status)
{
   struct kv_guard *guard = malloc(sizeof *guard);
   if (!guard) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for who may call");
      return NULL;
   }
   *guard = (struct kv_guard){access, kv_guesses_create(GUESS_DELAY_MS, answer_guess, status)};
   if (guard->guesses)
      return guard;
   free(guard);
   return NULL;
}

void kv_guard_release(struct kv_guard *guard)
{
   kv_guesses_release(guard->guesses);
}

void kv_guard_destroy(struct kv_guard *guard)
{
   kv_guesses_destroy(guard->guesses);
   free(guard);
}

uint64_t kv_guard_edition(const struct kv_guard *guard)
{
   return guard ? kv_access_edition(guard->access) : 0;
}

const struct kv_user *kv_guard_identify(struct kv_guard *guard, struct kv_call *call,
                                        struct kv_status *status)
{
   const struct kv_user *user = identify(guard, call, status);
   if (!user)
      log_end(call, status);
   return user;
}

void *kv_guard_request(struct kv_guard *guard, struct kv_call *call,
                       const ProtobufCMessageDescriptor *descriptor, struct kv_slice request)
{
   struct kv_status status;
   const struct kv_user *user = guard ? identify(guard, call, &status) : NULL;
   if (guard && !user) {
      refuse_unknown(guard, call, descriptor, &status);
      return NULL;
   }
   void *message = kv_message_decode(call, descriptor, request);
   if (!message)
      return NULL;
   kv_audit_note(call, user ? kv_user_name(user) : "", message);
   if (!guard || kv_grants_check(user, message, &status) == KV_OK)
      return message;
   refuse(call, descriptor, &status);
   return NULL;
}
