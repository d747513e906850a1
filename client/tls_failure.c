#include "client/tls_failure.h"

#include <string.h>

static bool has(const char *text, const char *words)
{
   return strcasestr(text, words) != NULL;
}

const char *tls_failure_explain(const char *text, const struct credentials *credentials)
{
   if (!credentials_use_tls(credentials))
      return has(text, "socket closed") || has(text, "connection reset")
                 ? "it ended the connection; it may want TLS (--tls)"
                 : NULL;
   if (has(text, "certificate verify failed") || has(text, "certificate_verify_failed"))
      return "its certificate is not trusted: it has expired, is not valid yet, or is not signed "
             "by the authority that --tls-ca FILE names (without it: one of the system's)";
   if (has(text, "not in peer certificate"))
      return "its certificate is for another name; if that is meant to be so, name it with "
             "--tls-server-name NAME";
   if (has(text, "wrong version number") || has(text, "wrong_version_number"))
      return "it does not speak TLS; leave out --tls (KVSTORE_CLIENT_TLS)";
   if (has(text, "empty address list"))
      return "the files of --tls-ca, --tls-cert and --tls-key cannot be used: one holds no valid "
             "certificate or key, or the key is that of another certificate";
   if (!has(text, "endpoint read failed") && !has(text, "alert") && !has(text, "socket closed"))
      return NULL;
   return credentials_certificate(credentials)
              ? "it ended the connection; it may refuse the certificate of --tls-cert: its log "
                "says "
                "why"
              : "it ended the connection; it may require a certificate (--tls-cert FILE, --tls-key "
                "FILE)";
}
