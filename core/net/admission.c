#include "core/net/admission.h"

#include "core/net/address.h"
#include "core/support/log.h"

#include <netinet/in.h>

static const char *what_it_lacks(const struct kv_admission *admission)
{
   if (admission->has_tls)
      return "TLS, but no users (--users): whoever reaches it can read, change and reconfigure "
             "everything";
   if (admission->has_users)
      return "users, but no TLS (--tls-cert, --tls-key): who is on the way can read the tokens and "
             "the "
             "data";
   return "neither TLS (--tls-cert, --tls-key) nor users (--users): whoever reaches it can read, "
          "change "
          "and reconfigure everything";
}

enum kv_code kv_admission_check(const struct kv_admission *admission,
                                const struct sockaddr *address, struct kv_status *status)
{
   if (kv_address_is_local(address) || (admission->has_tls && admission->has_users))
      return KV_OK;
   char text[KV_ADDRESS_TEXT_SIZE];
   socklen_t size =
       address->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
   kv_address_print(address, size, text);
   if (admission->metrics_only) {
      kv_log(KV_LOG_WARNING,
             "whoever reaches %s can read the metrics there: they need no password; listen on "
             "127.0.0.1 unless a firewall decides who may",
             text);
      return KV_OK;
   }
   if (!admission->insecure)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "cannot listen on %s: other machines reach it, and the server has %s; add "
                     "what is missing, or listen on 127.0.0.1, [::1] or unix:PATH, or take the "
                     "risk with --insecure",
                     text, what_it_lacks(admission));
   kv_log(KV_LOG_WARNING, "insecure: other machines reach %s, and the server has %s", text,
          what_it_lacks(admission));
   return KV_OK;
}
