#include "core/net/tls_session.h"

#include "core/net/tls_internal.h"
#include "core/support/invariant.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A client's name beyond this is none. */
#define CLIENT_MAX 255
/* What a client may say until its handshake is over: memory that nothing else bounds. */
#define HANDSHAKE_MAX ((size_t)32 * 1024)
/* Records that are no data (new keys, renegotiation, warnings) cost the server more than the
 * client. So many may come, and one more for so many bytes of data. */
#define OTHER_RECORDS_MAX 16
#define BYTES_AN_OTHER_RECORD ((uint64_t)64 * 1024)

struct kv_tls_session {
   struct kv_tls *tls;
   SSL *ssl;
   enum kv_tls_state state;
   bool ended;               /* our side has said so */
   struct kv_slice arrived;  /* and not taken yet */
   struct kv_tls_sink *sink; /* while OpenSSL runs */
   char *client, *error;     /* NULL: none */
   const char *refusal;      /* why nothing more is taken of the client; NULL: more is */
   size_t shaken;            /* bytes of the handshake that have arrived */
   uint64_t read, others;    /* plain bytes; records that were no data, since it is open */
};

/* ---- Limits ---- */

/* In 1.2 the type stands in the head of a record, in 1.3 inside it. */
static void note_record(int written, int version, int kind, const void *data, size_t size, SSL *ssl,
                        void *context)
{
   struct kv_tls_session *session = context;
   (void)version;
   if (written || !SSL_is_init_finished(ssl) || size == 0 ||
       (kind != SSL3_RT_HEADER && kind != SSL3_RT_INNER_CONTENT_TYPE) ||
       *(const unsigned char *)data == SSL3_RT_APPLICATION_DATA)
      return;
   if (++session->others > OTHER_RECORDS_MAX + session->read / BYTES_AN_OTHER_RECORD)
      session->refusal = "it sends too many records that are no data";
}

static void note_handshake(struct kv_tls_session *session, size_t size)
{
   if (session->state != KV_TLS_SHAKING || SSL_is_init_finished(session->ssl))
      return;
   session->shaken += size;
   if (session->shaken > HANDSHAKE_MAX)
      session->refusal = "its handshake is too large";
}

/* ---- What OpenSSL reads and writes ---- */

static int take(BIO *bio, char *data, int size)
{
   struct kv_tls_session *session = BIO_get_data(bio);
   size_t taken = session->arrived.size < (size_t)size ? session->arrived.size : (size_t)size;
   BIO_clear_retry_flags(bio);
   note_handshake(session, taken);
   if (session->refusal)
      return -1;
   if (taken == 0) {
      BIO_set_retry_read(bio);
      return -1;
   }
   memcpy(data, session->arrived.data, taken);
   session->arrived =
       kv_slice((const char *)session->arrived.data + taken, session->arrived.size - taken);
   return (int)taken;
}

static int give(BIO *bio, const char *data, int size)
{
   struct kv_tls_session *session = BIO_get_data(bio);
   BIO_clear_retry_flags(bio);
   return session->sink && session->sink->add(session->sink->context, data, (size_t)size) ? size
                                                                                          : -1;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
   (void)bio;
   (void)number;
   (void)pointer;
   return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *kv_tls_session_method(void)
{
   BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "kvstore");
   if (!method)
      return NULL;
   BIO_meth_set_read(method, take);
   BIO_meth_set_write(method, give);
   BIO_meth_set_ctrl(method, control);
   return method;
}

/* ---- Its life ---- */

static SSL *open_ssl(struct kv_tls *tls)
{
   pthread_mutex_lock(&tls->lock);
   SSL *ssl = SSL_new(tls->context);
   pthread_mutex_unlock(&tls->lock);
   return ssl;
}

struct kv_tls_session *kv_tls_session_create(struct kv_tls *tls)
{
   struct kv_tls_session *session = calloc(1, sizeof *session);
   SSL *ssl = session ? open_ssl(tls) : NULL;
   BIO *bio = ssl ? BIO_new(tls->method) : NULL;
   if (!bio) {
      SSL_free(ssl);
      free(session);
      ERR_clear_error();
      return NULL;
   }
   BIO_set_data(bio, session);
   BIO_set_init(bio, 1);
   SSL_set_bio(ssl, bio, bio);
   SSL_set_accept_state(ssl);
   SSL_set_msg_callback(ssl, note_record);
   SSL_set_msg_callback_arg(ssl, session);
   session->tls = tls;
   session->ssl = ssl;
   return session;
}

void kv_tls_session_destroy(struct kv_tls_session *session)
{
   if (session->state == KV_TLS_SHAKING && session->shaken > 0)
      atomic_fetch_add(&session->tls->failed_handshakes, 1);
   SSL_free(session->ssl);
   free(session->client);
   free(session->error);
   free(session);
}

enum kv_tls_state kv_tls_session_state(const struct kv_tls_session *session)
{
   return session->state;
}

struct kv_slice kv_tls_session_client(const struct kv_tls_session *session)
{
   return session->client ? kv_slice_of(session->client) : kv_slice(NULL, 0);
}

const char *kv_tls_session_error(const struct kv_tls_session *session)
{
   return session->error ? session->error : "unknown reason";
}

/* ---- The client's name ---- */

/* A name that could be taken for another one where it is printed or compared is none. */
static char *copy_name(const ASN1_STRING *string)
{
   const unsigned char *data = ASN1_STRING_get0_data(string);
   int size = ASN1_STRING_length(string);
   if (size < 1 || size > CLIENT_MAX)
      return NULL;
   for (int i = 0; i < size; i++)
      if (data[i] < 0x20 || data[i] == 0x7f)
         return NULL;
   return strndup((const char *)data, (size_t)size);
}

static char *alternative_name(const GENERAL_NAMES *names, int type)
{
   for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
      const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
      if (name->type == type)
         return copy_name(type == GEN_URI ? name->d.uniformResourceIdentifier : name->d.dNSName);
   }
   return NULL;
}

static char *common_name(const X509 *certificate)
{
   const X509_NAME *subject = X509_get_subject_name(certificate);
   int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
   unsigned char *text = NULL;
   if (at < 0)
      return NULL;
   const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
   int size = ASN1_STRING_to_UTF8(&text, value);
   ASN1_STRING *utf8 = size >= 0 ? ASN1_STRING_new() : NULL;
   char *name = NULL;
   if (utf8 && ASN1_STRING_set(utf8, text, size) == 1)
      name = copy_name(utf8);
   ASN1_STRING_free(utf8);
   OPENSSL_free(text);
   return name;
}

static char *name_of(const X509 *certificate)
{
   GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
   char *name = NULL;
   if (names)
      name = alternative_name(names, GEN_URI);
   if (names && !name)
      name = alternative_name(names, GEN_DNS);
   GENERAL_NAMES_free(names);
   return name ? name : common_name(certificate);
}

static void open_session(struct kv_tls_session *session)
{
   const X509 *certificate = SSL_get0_peer_certificate(session->ssl);
   session->state = KV_TLS_OPEN;
   atomic_fetch_add_explicit(&session->tls->handshakes, 1, memory_order_relaxed);
   if (certificate && SSL_get_verify_result(session->ssl) == X509_V_OK)
      session->client = name_of(certificate);
}

/* ---- Failures ---- */

static bool is_alert(int reason)
{
   return reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256;
}

static char *explain(const struct kv_tls_session *session)
{
   unsigned long error = ERR_peek_last_error();
   int reason = ERR_GET_REASON(error);
   long verified = SSL_get_verify_result(session->ssl);
   char *text = NULL;
   int size;
   if (session->refusal)
      size = asprintf(&text, "%s", session->refusal);
   else if (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_WRONG_VERSION_NUMBER ||
            reason == SSL_R_HTTPS_PROXY_REQUEST)
      size = asprintf(&text, "it does not speak TLS, which is needed here");
   else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
      size = asprintf(&text, "it showed no certificate, which tls-client-auth requires");
   else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
      size = asprintf(&text, "its certificate is refused: %s",
                      X509_verify_cert_error_string(verified));
   else if (reason == SSL_R_CALLBACK_FAILED || reason == SSL_R_NO_APPLICATION_PROTOCOL)
      size = asprintf(&text, "it does not offer HTTP/2 (ALPN \"h2\")");
   else
      size = asprintf(&text, "%s%s", is_alert(reason) ? "it has ended TLS: " : "",
                      error != 0 && ERR_reason_error_string(error) ? ERR_reason_error_string(error)
                                                                   : "unknown reason");
   return size < 0 ? NULL : text;
}

static void fail(struct kv_tls_session *session)
{
   if (session->state == KV_TLS_SHAKING)
      atomic_fetch_add(&session->tls->failed_handshakes, 1);
   session->state = KV_TLS_BROKEN;
   session->error = explain(session);
}

/* ---- Bytes ---- */

void kv_tls_session_arrived(struct kv_tls_session *session, struct kv_slice arrived)
{
   KV_INVARIANT(session->arrived.size == 0);
   session->arrived = arrived;
}

static void note_end_of_read(struct kv_tls_session *session, int result)
{
   int error = SSL_get_error(session->ssl, result);
   if (error == SSL_ERROR_ZERO_RETURN)
      session->state = KV_TLS_CLOSED;
   else if (error != SSL_ERROR_WANT_READ)
      fail(session);
   if (session->state != KV_TLS_OPEN && session->state != KV_TLS_SHAKING)
      session->arrived = kv_slice(NULL, 0);
}

size_t kv_tls_session_read(struct kv_tls_session *session, uint8_t *data, size_t size,
                           struct kv_tls_sink sink)
{
   size_t filled = 0, got;
   int result = 1;
   session->sink = &sink;
   while (result == 1 && filled < size && session->state <= KV_TLS_OPEN) {
      ERR_clear_error();
      result = SSL_read_ex(session->ssl, data + filled, size - filled, &got);
      if (session->state == KV_TLS_SHAKING && SSL_is_init_finished(session->ssl))
         open_session(session);
      if (result == 1)
         filled += got;
      else
         note_end_of_read(session, result);
   }
   session->sink = NULL;
   session->read += filled;
   return filled;
}

bool kv_tls_session_write(struct kv_tls_session *session, const void *data, size_t size,
                          struct kv_tls_sink sink)
{
   size_t written;
   KV_INVARIANT(session->state == KV_TLS_OPEN);
   if (size == 0)
      return true;
   session->sink = &sink;
   ERR_clear_error();
   if (SSL_write_ex(session->ssl, data, size, &written) != 1)
      fail(session);
   session->sink = NULL;
   return session->state == KV_TLS_OPEN;
}

void kv_tls_session_end(struct kv_tls_session *session, struct kv_tls_sink sink)
{
   if (session->ended || session->state == KV_TLS_BROKEN || session->state == KV_TLS_SHAKING)
      return;
   session->ended = true;
   session->sink = &sink;
   ERR_clear_error();
   if (SSL_shutdown(session->ssl) < 0)
      ERR_clear_error(); /* the end of the connection says the same */
   session->sink = NULL;
}
