#include "tests/support/tls_files.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define MONTH_S (30L * 86400)

static EVP_PKEY *create_key(enum tls_key_kind kind)
{
   EVP_PKEY *key = kind == TLS_EC        ? EVP_EC_gen("P-256")
                   : kind == TLS_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                         : EVP_RSA_gen(kind == TLS_RSA ? 2048 : 1024);
   assert_non_null(key);
   return key;
}

static void add_extension(X509 *certificate, int kind, const char *value)
{
   X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
   assert_non_null(extension);
   assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
   X509_EXTENSION_free(extension);
}

/* Not signed. */
static struct tls_pair create_pair(enum tls_key_kind kind, const char *name)
{
   static long serial = 1;
   struct tls_pair pair = {X509_new(), create_key(kind)};
   X509_NAME *subject = X509_get_subject_name(pair.certificate);
   X509_set_version(pair.certificate, X509_VERSION_3);
   ASN1_INTEGER_set(X509_get_serialNumber(pair.certificate), serial++);
   X509_gmtime_adj(X509_getm_notBefore(pair.certificate), -MONTH_S);
   X509_gmtime_adj(X509_getm_notAfter(pair.certificate), MONTH_S);
   assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                               (const unsigned char *)name, -1, -1, 0),
                    1);
   X509_set_pubkey(pair.certificate, pair.key);
   return pair;
}

static void sign(struct tls_pair *pair, const struct tls_pair *authority)
{
   X509_set_issuer_name(pair->certificate, X509_get_subject_name(authority->certificate));
   assert_true(X509_sign(pair->certificate, authority->key, EVP_sha256()) > 0);
}

static struct tls_pair create_authority(const char *name)
{
   struct tls_pair pair = create_pair(TLS_EC, name);
   add_extension(pair.certificate, NID_basic_constraints, "critical,CA:TRUE");
   return pair;
}

struct tls_pair tls_authority(const char *name)
{
   struct tls_pair pair = create_authority(name);
   sign(&pair, &pair);
   return pair;
}

struct tls_pair tls_sub_authority(const struct tls_pair *authority, const char *name)
{
   struct tls_pair pair = create_authority(name);
   sign(&pair, authority);
   return pair;
}

struct tls_pair tls_sign(const struct tls_pair *authority, enum tls_key_kind kind, const char *name,
                         const char *names, const char *usage)
{
   struct tls_pair pair = create_pair(kind, name);
   if (names)
      add_extension(pair.certificate, NID_subject_alt_name, names);
   if (usage)
      add_extension(pair.certificate, NID_ext_key_usage, usage);
   sign(&pair, authority);
   return pair;
}

void tls_pair_free(struct tls_pair *pair)
{
   X509_free(pair->certificate);
   EVP_PKEY_free(pair->key);
   *pair = (struct tls_pair){NULL, NULL};
}

/* ---- Files ---- */

static FILE *open_file(const struct temporary *folder, const char *name, const char *mode)
{
   char path[TEMPORARY_PATH_SIZE];
   FILE *file = fopen(temporary_path(folder, name, path), mode);
   assert_non_null(file);
   return file;
}

void tls_write_certificates(const struct temporary *folder, const char *name, ...)
{
   FILE *file = open_file(folder, name, "w");
   X509 *certificate;
   va_list all;
   va_start(all, name);
   while ((certificate = va_arg(all, X509 *)))
      assert_int_equal(PEM_write_X509(file, certificate), 1);
   va_end(all);
   assert_int_equal(fclose(file), 0);
}

void tls_write_key(const struct temporary *folder, const char *name, const struct tls_pair *pair,
                   const char *passphrase)
{
   FILE *file = open_file(folder, name, "w");
   assert_int_equal(fchmod(fileno(file), 0600), 0);
   assert_int_equal(PEM_write_PKCS8PrivateKey(file, pair->key,
                                              passphrase ? EVP_aes_256_cbc() : NULL, passphrase,
                                              passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
                    1);
   assert_int_equal(fclose(file), 0);
}

void tls_append_revocations(const struct temporary *folder, const char *name,
                            const struct tls_pair *authority, ...)
{
   FILE *file = open_file(folder, name, "a");
   X509_CRL *list = X509_CRL_new();
   ASN1_TIME *time = ASN1_TIME_new();
   const X509 *certificate;
   va_list all;
   X509_CRL_set_version(list, X509_CRL_VERSION_2);
   X509_CRL_set_issuer_name(list, X509_get_subject_name(authority->certificate));
   X509_CRL_set1_lastUpdate(list, X509_gmtime_adj(time, -MONTH_S));
   va_start(all, authority);
   while ((certificate = va_arg(all, const X509 *))) {
      X509_REVOKED *revoked = X509_REVOKED_new();
      X509_REVOKED_set_serialNumber(revoked, (ASN1_INTEGER *)X509_get0_serialNumber(certificate));
      X509_REVOKED_set_revocationDate(revoked, time);
      assert_int_equal(X509_CRL_add0_revoked(list, revoked), 1);
   }
   va_end(all);
   X509_CRL_set1_nextUpdate(list, X509_gmtime_adj(time, MONTH_S));
   ASN1_TIME_free(time);
   assert_true(X509_CRL_sign(list, authority->key, EVP_sha256()) > 0);
   assert_int_equal(PEM_write_X509_CRL(file, list), 1);
   X509_CRL_free(list);
   assert_int_equal(fclose(file), 0);
}

void tls_world_create(struct tls_world *world)
{
   *world = (struct tls_world){.authority = tls_authority("authority")};
   temporary_create(&world->folder);
   world->server = tls_sign(&world->authority, TLS_EC, "server", "DNS:localhost", NULL);
   tls_write_certificates(&world->folder, "server.pem", world->server.certificate, NULL);
   tls_write_key(&world->folder, "server.key", &world->server, NULL);
   world->options = (struct kv_tls_options){
       .certificate = temporary_path(&world->folder, "server.pem", world->certificate),
       .key = temporary_path(&world->folder, "server.key", world->key)};
   temporary_path(&world->folder, "clients.pem", world->client_ca);
}

void tls_world_destroy(struct tls_world *world)
{
   tls_pair_free(&world->server);
   tls_pair_free(&world->authority);
   temporary_remove(&world->folder);
}
