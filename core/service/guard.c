#include "core/service/guard.h"

#include "core/service/audit.h"
#include "core/service/grants.h"
#include "core/service/message.h"
#include "core/support/log.h"

#include <string.h>
#include <strings.h>

#define SCHEME "Bearer "
#define SCHEME_SIZE (sizeof SCHEME - 1)

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

/* Who makes the call; NULL with `status`. What was found is noted for the connection. */
static const struct kv_user *identify(struct kv_access *access, struct kv_call *call,
                                      struct kv_status *status)
{
   const struct kv_rpc_identity *identity = kv_call_identity(call);
   struct kv_known *before = kv_call_peer_note(call), *known = before;
   struct kv_proof proof = {
       .certificate = identity->certificate, .is_local = identity->is_local, .uid = identity->uid};
   if (read_token(call, &proof.token, status) != KV_OK)
      return NULL;
   const struct kv_user *user = kv_access_identify(access, &proof, &known, status);
   if (known != before)
      kv_call_set_peer_note(call, known, release_known);
   return user;
}

static void refuse(struct kv_call *call, const ProtobufCMessageDescriptor *descriptor,
                   const struct kv_status *status)
{
   char peer[KV_RPC_PEER_SIZE];
   kv_call_peer(call, peer);
   kv_log(KV_LOG_WARNING, "refused a %s from %s: %s", descriptor->name, peer, status->text);
   kv_message_fail(call, status);
}

void *kv_guard_request(struct kv_access *access, struct kv_call *call,
                       const ProtobufCMessageDescriptor *descriptor, struct kv_slice request)
{
   struct kv_status status;
   const struct kv_user *user = access ? identify(access, call, &status) : NULL;
   if (access && !user) {
      refuse(call, descriptor, &status);
      return NULL;
   }
   void *message = kv_message_decode(call, descriptor, request);
   if (!message)
      return NULL;
   kv_audit_note(call, user ? kv_user_name(user) : "", message);
   if (!access || kv_grants_check(user, message, &status) == KV_OK)
      return message;
   refuse(call, descriptor, &status);
   return NULL;
}
