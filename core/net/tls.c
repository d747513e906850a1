#include "core/net/tls_internal.h"

#include "core/support/clock.h"
#include "core/support/log.h"

#include <openssl/asn1.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A certificate that ends within this time is warned of, */
#define SOON_S (14 * 86400)
/* so often. */
#define WARN_MS ((uint64_t)86400 * 1000)

#define TIME_TEXT_SIZE 32

/* ---- Files ---- */

static struct kv_tls_stamp stamp_now(const struct kv_tls_options *options)
{
   return (struct kv_tls_stamp){.files = {kv_file_stamp_take(options->certificate),
                                          kv_file_stamp_take(options->key),
                                          kv_file_stamp_take(options->client_ca)}};
}

static bool is_same(const struct kv_tls_stamp *a, const struct kv_tls_stamp *b)
{
   for (size_t i = 0; i < sizeof a->files / sizeof a->files[0]; i++)
      if (!kv_file_stamp_is_same(&a->files[i], &b->files[i]))
         return false;
   return true;
}

/* ---- The certificate's time ---- */

static int64_t unix_time(const ASN1_TIME *time)
{
   struct tm parts;
   return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

static const char *show_time(int64_t time_s, char text[TIME_TEXT_SIZE])
{
   struct tm parts;
   time_t time = (time_t)time_s;
   if (!gmtime_r(&time, &parts) ||
       strftime(text, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
      text[0] = '\0';
   return text;
}

static void warn_of_end(struct kv_tls *tls)
{
   char end[TIME_TEXT_SIZE];
   uint64_t now_ms = kv_clock_monotonic_ms();
   int64_t left_s = tls->not_after_s - kv_clock_unix_ms() / 1000;
   if (left_s > SOON_S || (tls->warned_ms != 0 && now_ms - tls->warned_ms < WARN_MS))
      return;
   tls->warned_ms = now_ms;
   show_time(tls->not_after_s, end);
   if (left_s <= 0)
      kv_log(KV_LOG_WARNING,
             "THE CERTIFICATE IN %s EXPIRED ON %s: clients refuse it; replace it and its key",
             tls->options.certificate, end);
   else
      kv_log(KV_LOG_WARNING, "the certificate in %s expires on %s; replace it and its key before",
             tls->options.certificate, end);
}

static void warn_of_begin(const struct kv_tls *tls, const X509 *certificate)
{
   char begin[TIME_TEXT_SIZE];
   int64_t begin_s = unix_time(X509_get0_notBefore(certificate));
   if (begin_s > kv_clock_unix_ms() / 1000)
      kv_log(KV_LOG_WARNING,
             "THE CERTIFICATE IN %s IS NOT VALID BEFORE %s: clients refuse it until then; check "
             "the clock, or replace the certificate",
             tls->options.certificate, show_time(begin_s, begin));
}

/* ---- Loading ---- */

static void put_in_use(struct kv_tls *tls, SSL_CTX *context)
{
   const X509 *certificate = SSL_CTX_get0_certificate(context);
   pthread_mutex_lock(&tls->lock);
   SSL_CTX *old = tls->context;
   tls->context = context;
   tls->not_after_s = unix_time(X509_get0_notAfter(certificate));
   pthread_mutex_unlock(&tls->lock);
   SSL_CTX_free(old);
   tls->warned_ms = 0;
   warn_of_begin(tls, certificate);
   warn_of_end(tls);
}

void kv_tls_reload(struct kv_tls *tls)
{
   char end[TIME_TEXT_SIZE];
   struct kv_status status;
   /* What changes after this is seen by the next look. */
   tls->stamp = stamp_now(&tls->options);
   SSL_CTX *context = kv_tls_context_create(&tls->options, &status);
   if (!context) {
      atomic_fetch_add(&tls->failed_reloads, 1);
      kv_log_event(KV_LOG_ERROR,
                   "THE NEW CERTIFICATES ARE NOT USED, those read before stay in use: %s",
                   status.text);
      return;
   }
   put_in_use(tls, context);
   atomic_fetch_add(&tls->reloads, 1);
   kv_log_event(KV_LOG_INFO, "read the certificate in %s again; it is valid until %s",
                tls->options.certificate, show_time(tls->not_after_s, end));
}

void kv_tls_look(struct kv_tls *tls)
{
   struct kv_tls_stamp stamp = stamp_now(&tls->options);
   if (!is_same(&stamp, &tls->stamp))
      kv_tls_reload(tls);
   warn_of_end(tls);
}

/* ---- Its life ---- */

struct kv_tls *kv_tls_create(const struct kv_tls_options *options, struct kv_status *status)
{
   struct kv_tls *tls = calloc(1, sizeof *tls);
   BIO_METHOD *method = tls ? kv_tls_session_method() : NULL;
   if (!method) {
      free(tls);
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for TLS");
      return NULL;
   }
   tls->options = *options;
   tls->method = method;
   pthread_mutex_init(&tls->lock, NULL);
   tls->stamp = stamp_now(options);
   SSL_CTX *context = kv_tls_context_create(options, status);
   if (context) {
      put_in_use(tls, context);
      return tls;
   }
   kv_tls_destroy(tls);
   return NULL;
}

void kv_tls_destroy(struct kv_tls *tls)
{
   SSL_CTX_free(tls->context);
   BIO_meth_free(tls->method);
   pthread_mutex_destroy(&tls->lock);
   free(tls);
}

void kv_tls_statistics(struct kv_tls *tls, struct kv_tls_statistics *statistics)
{
   *statistics = (struct kv_tls_statistics){
       .handshakes = atomic_load(&tls->handshakes),
       .failed_handshakes = atomic_load(&tls->failed_handshakes),
       .reloads = atomic_load(&tls->reloads),
       .failed_reloads = atomic_load(&tls->failed_reloads),
   };
   pthread_mutex_lock(&tls->lock);
   statistics->not_after_s = tls->not_after_s;
   pthread_mutex_unlock(&tls->lock);
}
