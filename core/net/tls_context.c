/* From files to a context of OpenSSL's that serves HTTP/2. */
#include "core/net/tls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <unistd.h>

/* What HTTP/2 allows of TLS 1.2 (RFC 9113, 9.2.2). */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
/* None in which a client could have the server compute for milliseconds, as in DHE of 8192 bits. */
#define GROUPS "X25519:P-256:P-384"
/* Keys and signatures of 112 bits at least: RSA of 2048 bits, no SHA-1. */
#define SECURITY_LEVEL 2
/* Of a client's certificate with those that lead to its authority. */
#define CERTIFICATES_MAX (24 * 1024)
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

static enum kv_code check_file(int fd, const char *setting, const char *path, mode_t refused,
                               struct kv_status *status)
{
   struct stat file;
   if (fstat(fd, &file) != 0)
      return kv_fail_errno(status, errno, "cannot look at the file of %s, %s", setting, path);
   if (!S_ISREG(file.st_mode))
      return kv_fail(status, KV_INVALID_ARGUMENT, "%s: %s is not a file", setting, path);
   if (file.st_mode & refused)
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "%s: %s has mode %04o, so that others can read or change the key; run: chmod "
                     "600 %s",
                     setting, path, (unsigned)file.st_mode & 07777, path);
   return KV_OK;
}

/* What is read from it is the file that was looked at. NULL with `status`. */
static BIO *open_file(const char *setting, const char *path, mode_t refused,
                      struct kv_status *status)
{
   int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
   if (fd < 0) {
      kv_fail_errno(status, errno,
                    "cannot read the file of %s, %s, which the server's user must be able to read",
                    setting, path);
      return NULL;
   }
   FILE *stream = NULL;
   if (check_file(fd, setting, path, refused, status) == KV_OK) {
      stream = fdopen(fd, "r");
      if (!stream)
         kv_fail_errno(status, errno, "cannot read the file of %s, %s", setting, path);
   }
   BIO *file = stream ? BIO_new_fp(stream, BIO_CLOSE) : NULL;
   if (file)
      return file;
   if (stream) {
      fclose(stream);
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory to read the file of %s, %s", setting, path);
   } else {
      close(fd);
   }
   return NULL;
}

static enum kv_code check_readable(const char *setting, const char *path, struct kv_status *status)
{
   BIO *file = open_file(setting, path, 0, status);
   BIO_free(file);
   return file ? KV_OK : status->code;
}

static enum kv_code bad(const char *setting, const char *path, const char *wanted,
                        struct kv_status *status)
{
   return kv_fail(status, KV_INVALID_ARGUMENT, "%s: %s holds no usable %s in PEM format (%s)",
                  setting, path, wanted, kv_tls_reason());
}

/* What has a passphrase must not have OpenSSL ask for it on a terminal. */
static int no_passphrase(char *text, int size, int writing, void *context)
{
   (void)writing;
   if (size > 0)
      text[0] = '\0';
   if (context)
      *(bool *)context = true;
   return -1;
}

static enum kv_code load_chain(SSL_CTX *context, const char *path, struct kv_status *status)
{
   SSL_CTX_set_default_passwd_cb(context, no_passphrase);
   if (check_readable("tls-cert", path, status) != KV_OK)
      return status->code;
   return SSL_CTX_use_certificate_chain_file(context, path) == 1
              ? KV_OK
              : bad("tls-cert", path, "certificate", status);
}

static EVP_PKEY *read_key(const char *path, struct kv_status *status)
{
   bool encrypted = false;
   BIO *file = open_file("tls-key", path, KEY_MODE_REFUSED, status);
   if (!file)
      return NULL;
   EVP_PKEY *key = PEM_read_bio_PrivateKey(file, NULL, no_passphrase, &encrypted);
   BIO_free(file);
   if (!key && encrypted)
      kv_fail(status, KV_INVALID_ARGUMENT,
              "tls-key: %s is encrypted, and there is nobody to ask for its passphrase; give the "
              "key without one: openssl pkey -in %s -out KEY",
              path, path);
   else if (!key)
      bad("tls-key", path, "private key", status);
   ERR_clear_error();
   return key;
}

static enum kv_code load_pair(SSL_CTX *context, const struct kv_tls_options *options,
                              struct kv_status *status)
{
   enum kv_code code = load_chain(context, options->certificate, status);
   EVP_PKEY *key = code == KV_OK ? read_key(options->key, status) : NULL;
   if (!key)
      return status->code;
   /* A key of another kind would be taken beside the certificate. */
   if (X509_check_private_key(SSL_CTX_get0_certificate(context), key) != 1)
      code = kv_fail(status, KV_INVALID_ARGUMENT,
                     "tls-key: %s is not the key of the certificate in %s; give the two files that "
                     "were made together",
                     options->key, options->certificate);
   else if (SSL_CTX_use_PrivateKey(context, key) != 1)
      code = bad("tls-key", options->key, "private key", status);
   EVP_PKEY_free(key);
   return code;
}

/* ---- Certificates of clients ---- */

/* Names the authorities to clients, which choose a certificate by them. */
static bool name_authorities(SSL_CTX *context, X509_STORE *store)
{
   STACK_OF(X509) *authorities = X509_STORE_get1_all_certs(store);
   bool good = sk_X509_num(authorities) > 0;
   for (int i = 0; good && i < sk_X509_num(authorities); i++)
      good = SSL_CTX_add_client_CA(context, sk_X509_value(authorities, i)) == 1;
   sk_X509_pop_free(authorities, X509_free);
   return good;
}

static bool has_revocations(const X509_STORE *store)
{
   const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
   for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
      if (X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_CRL)
         return true;
   return false;
}

/* An intermediate CA may stand in the file without its root. */
static enum kv_code load_client_ca(SSL_CTX *context, const struct kv_tls_options *options,
                                   struct kv_status *status)
{
   X509_STORE *store = SSL_CTX_get_cert_store(context);
   if (check_readable("tls-client-ca", options->client_ca, status) != KV_OK)
      return status->code;
   if (SSL_CTX_load_verify_file(context, options->client_ca) != 1 ||
       !name_authorities(context, store))
      return bad("tls-client-ca", options->client_ca, "certificate", status);
   X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context),
                               X509_V_FLAG_PARTIAL_CHAIN |
                                   (has_revocations(store) ? X509_V_FLAG_CRL_CHECK : 0));
   SSL_CTX_set_verify(
       context,
       SSL_VERIFY_PEER | (options->client_may_be_none ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT), NULL);
   SSL_CTX_set_max_cert_list(context, CERTIFICATES_MAX);
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

/* choose_protocol is asked only where the client offers something. In 1.2 whoever learns the key of
 * the tickets can read what was said on all connections that had one. */
static int check_hello(SSL *ssl, int *alert, void *context)
{
   const unsigned char *offered;
   size_t size;
   (void)context;
   if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &offered, &size) != 1)
      SSL_set_options(ssl, SSL_OP_NO_TICKET);
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
   if (SSL_CTX_get_security_level(context) < SECURITY_LEVEL)
      SSL_CTX_set_security_level(context, SECURITY_LEVEL);
   return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
          SSL_CTX_set_cipher_list(context, CIPHERS) == 1 &&
          SSL_CTX_set1_groups_list(context, GROUPS) == 1 &&
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
