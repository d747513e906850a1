/* From files to a context of OpenSSL's that serves HTTP/2. */
#include "core/net/tls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <unistd.h>

/* What HTTP/2 allows of TLS 1.2 (RFC 9113, 9.2.2). */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
/* Who may not touch the key: its group may read it, as Debian's ssl-cert does. */
#define KEY_MODE_REFUSED (S_IRWXO | S_IWGRP)

const char *kv_tls_reason(void)
{
   unsigned long error = ERR_peek_last_error();
   const char *reason = NULL;
   if (error != 0)
      reason = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error))
                                       : ERR_reason_error_string(error);
   ERR_clear_error();
   return reason ? reason : "unknown reason";
}

/* ---- Files ---- */

static enum kv_code check_readable(const char *setting, const char *path, mode_t refused,
                                   struct kv_status *status)
{
   struct stat file;
   int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
   if (fd < 0)
      return kv_fail_errno(status, errno,
                           "cannot read the file of %s, %s, which the server's user must be able "
                           "to read",
                           setting, path);
   enum kv_code code = KV_OK;
   if (fstat(fd, &file) != 0)
      code = kv_fail_errno(status, errno, "cannot look at the file of %s, %s", setting, path);
   else if (!S_ISREG(file.st_mode))
      code = kv_fail(status, KV_INVALID_ARGUMENT, "%s: %s is not a file", setting, path);
   else if (file.st_mode & refused)
      code = kv_fail(status, KV_PERMISSION_DENIED,
                     "%s: %s has mode %04o, so that others can read or change the key; run: chmod "
                     "600 %s",
                     setting, path, (unsigned)file.st_mode & 07777, path);
   close(fd);
   return code;
}

static enum kv_code bad(const char *setting, const char *path, const char *wanted,
                        struct kv_status *status)
{
   return kv_fail(status, KV_INVALID_ARGUMENT, "%s: %s holds no usable %s in PEM format (%s)",
                  setting, path, wanted, kv_tls_reason());
}

/* A key with a passphrase must not have OpenSSL ask for it on a terminal. */
static int no_passphrase(char *text, int size, int writing, void *context)
{
   (void)writing;
   if (size > 0)
      text[0] = '\0';
   *(bool *)context = true;
   return -1;
}

static enum kv_code bad_key(const struct kv_tls_options *options, bool encrypted,
                            struct kv_status *status)
{
   int reason = ERR_GET_REASON(ERR_peek_last_error());
   if (encrypted)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "tls-key: %s is encrypted, and there is nobody to ask for its passphrase; "
                     "give the key without one: openssl pkey -in %s -out KEY",
                     options->key, options->key);
   if (reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "tls-key: %s is not the key of the certificate in %s; give the two files that "
                     "were made together",
                     options->key, options->certificate);
   return bad("tls-key", options->key, "private key", status);
}

static enum kv_code load_pair(SSL_CTX *context, const struct kv_tls_options *options,
                              struct kv_status *status)
{
   bool encrypted = false;
   enum kv_code code = check_readable("tls-cert", options->certificate, 0, status);
   if (code == KV_OK && SSL_CTX_use_certificate_chain_file(context, options->certificate) != 1)
      code = bad("tls-cert", options->certificate, "certificate", status);
   if (code == KV_OK)
      code = check_readable("tls-key", options->key, KEY_MODE_REFUSED, status);
   SSL_CTX_set_default_passwd_cb(context, no_passphrase);
   SSL_CTX_set_default_passwd_cb_userdata(context, &encrypted);
   if (code == KV_OK && SSL_CTX_use_PrivateKey_file(context, options->key, SSL_FILETYPE_PEM) != 1)
      code = bad_key(options, encrypted, status);
   SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
   return code;
}

/* An intermediate CA may stand in the file without its root. */
static enum kv_code load_client_ca(SSL_CTX *context, const struct kv_tls_options *options,
                                   struct kv_status *status)
{
   if (check_readable("tls-client-ca", options->client_ca, 0, status) != KV_OK)
      return status->code;
   STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(options->client_ca);
   if (!names || SSL_CTX_load_verify_file(context, options->client_ca) != 1) {
      sk_X509_NAME_pop_free(names, X509_NAME_free);
      return bad("tls-client-ca", options->client_ca, "certificate", status);
   }
   SSL_CTX_set_client_CA_list(context, names);
   X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
   SSL_CTX_set_verify(
       context,
       SSL_VERIFY_PEER | (options->client_may_be_none ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT), NULL);
   SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
   return SSL_CTX_set_num_tickets(context, 0) == 1
              ? KV_OK
              : kv_fail(status, KV_INTERNAL, "TLS: %s", kv_tls_reason());
}

/* ---- Policy ---- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *in, unsigned in_size, void *context)
{
   static const unsigned char h2[] = {2, 'h', '2'};
   unsigned char *chosen;
   (void)ssl;
   (void)context;
   if (SSL_select_next_proto(&chosen, out_size, h2, sizeof h2, in, in_size) !=
       OPENSSL_NPN_NEGOTIATED)
      return SSL_TLSEXT_ERR_ALERT_FATAL;
   *out = chosen;
   return SSL_TLSEXT_ERR_OK;
}

/* choose_protocol is asked only where the client offers something. */
static int check_hello(SSL *ssl, int *alert, void *context)
{
   const unsigned char *offered;
   size_t size;
   (void)context;
   if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &offered,
                                 &size) == 1)
      return SSL_CLIENT_HELLO_SUCCESS;
   *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
   return SSL_CLIENT_HELLO_ERROR;
}

static bool set_policy(SSL_CTX *context)
{
   SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
   SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
   SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
   SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
   SSL_CTX_set_client_hello_cb(context, check_hello, NULL);
   return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
          SSL_CTX_set_cipher_list(context, CIPHERS) == 1 &&
          SSL_CTX_set_num_tickets(context, 1) == 1;
}

SSL_CTX *kv_tls_context_create(const struct kv_tls_options *options, struct kv_status *status)
{
   ERR_clear_error();
   SSL_CTX *context = SSL_CTX_new(TLS_server_method());
   enum kv_code code = KV_OK;
   if (!context || !set_policy(context))
      code = kv_fail(status, KV_RESOURCE_EXHAUSTED, "cannot prepare TLS: %s", kv_tls_reason());
   if (code == KV_OK)
      code = load_pair(context, options, status);
   if (code == KV_OK && options->client_ca)
      code = load_client_ca(context, options, status);
   if (code == KV_OK)
      return context;
   SSL_CTX_free(context);
   return NULL;
}
