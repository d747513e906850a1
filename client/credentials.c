#include "client/credentials.h"

#include "client/address.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX ((size_t)1 << 20)
#define TOKEN_SIZE_MAX ((size_t)512)
#define SCHEME "Bearer "
/* Where Debian and most others have the authorities that the system trusts. */
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

struct credentials {
   bool tls;
   char *ca, *certificate, *key; /* PEM */
   char *server_name;
   char *authorization;
};

/* ---- Options ---- */

static const char *variable(const char *name)
{
   const char *value = getenv(name);
   return value && value[0] ? value : NULL;
}

void credentials_read_environment(struct credentials_options *options)
{
   const char *tls = variable("KVSTORE_CLIENT_TLS");
   *options = (struct credentials_options){
       .tls = tls && strcmp(tls, "0") != 0,
       .ca = variable("KVSTORE_CLIENT_TLS_CA"),
       .certificate = variable("KVSTORE_CLIENT_TLS_CERT"),
       .key = variable("KVSTORE_CLIENT_TLS_KEY"),
       .server_name = variable("KVSTORE_CLIENT_TLS_SERVER_NAME"),
       .token_file = variable("KVSTORE_TOKEN_FILE"),
   };
}

bool credentials_take_option(struct credentials_options *options, int option, const char *value)
{
   switch (option) {
   case CREDENTIALS_TLS:
      return options->tls = true;
   case CREDENTIALS_CA:
      return (options->ca = value) != NULL;
   case CREDENTIALS_CERTIFICATE:
      return (options->certificate = value) != NULL;
   case CREDENTIALS_KEY:
      return (options->key = value) != NULL;
   case CREDENTIALS_SERVER_NAME:
      return (options->server_name = value) != NULL;
   case CREDENTIALS_TOKEN_FILE:
      return (options->token_file = value) != NULL;
   default:
      return false;
   }
}

/* ---- Files ---- */

/* As libpq has it: a secret of one's own has mode 0600; one of root's may be for a group, too. */
static enum kv_code check_secret(const char *what, const char *path, const struct stat *info,
                                 struct kv_status *status)
{
   const mode_t refused = info->st_uid == 0 ? S_IRWXO | S_IWGRP | S_IXGRP : S_IRWXO | S_IRWXG;
   if (info->st_uid != 0 && info->st_uid != geteuid())
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "%s: %s belongs to another user (%u); make a copy that is yours, with mode "
                     "0600",
                     what, path, info->st_uid);
   if (info->st_mode & refused)
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "%s: others can read or change %s (mode %04o); run: chmod 600 %s", what, path,
                     (unsigned)info->st_mode & 07777, path);
   return KV_OK;
}

static enum kv_code read_open(int fd, const char *what, const char *path, bool secret, char **text,
                              struct kv_status *status)
{
   struct stat info;
   size_t size = 0;
   ssize_t got = 1;
   if (fstat(fd, &info) != 0)
      return kv_fail_errno(status, errno, "%s: cannot look at %s", what, path);
   if (!S_ISREG(info.st_mode))
      return kv_fail(status, KV_INVALID_ARGUMENT, "%s: %s is not a file", what, path);
   if (secret && check_secret(what, path, &info, status) != KV_OK)
      return status->code;
   *text = calloc(1, FILE_SIZE_MAX + 1); /* a text whatever fails */
   if (!*text)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
   while (size < FILE_SIZE_MAX && (got = read(fd, *text + size, FILE_SIZE_MAX - size)) != 0) {
      if (got < 0 && errno != EINTR)
         return kv_fail_errno(status, errno, "%s: cannot read %s", what, path);
      size += got > 0 ? (size_t)got : 0;
   }
   if (size == FILE_SIZE_MAX)
      return kv_fail(status, KV_INVALID_ARGUMENT, "%s: %s has %zu bytes or more", what, path,
                     FILE_SIZE_MAX);
   (*text)[size] = '\0';
   return strlen(*text) == size
              ? KV_OK
              : kv_fail(status, KV_INVALID_ARGUMENT, "%s: %s is not a text", what, path);
}

/* *text is the caller's to free, also after a failure. */
static enum kv_code read_text(const char *what, const char *path, bool secret, char **text,
                              struct kv_status *status)
{
   int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
   if (fd < 0)
      return kv_fail_errno(status, errno, "%s: cannot open %s", what, path);
   enum kv_code code = read_open(fd, what, path, secret, text, status);
   close(fd);
   return code;
}

static enum kv_code read_pem(const char *what, const char *path, bool secret, char **text,
                             struct kv_status *status)
{
   if (read_text(what, path, secret, text, status) != KV_OK)
      return status->code;
   return strstr(*text, "-----BEGIN ")
              ? KV_OK
              : kv_fail(status, KV_INVALID_ARGUMENT, "%s: %s is not in PEM format", what, path);
}

/* ---- The token ---- */

/* The characters of RFC 6750. */
static bool is_token(const char *text, size_t size)
{
   static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789-._~+/=";
   return size > 0 && size <= TOKEN_SIZE_MAX && strspn(text, letters) == size;
}

static enum kv_code take_token(struct credentials *credentials, const char *path, const char *text,
                               struct kv_status *status)
{
   size_t size = strcspn(text, " \t\r\n");
   bool alone = text[size + strspn(text + size, " \t\r\n")] == '\0';
   if (alone && size == 0)
      return kv_fail(status, KV_INVALID_ARGUMENT, "token-file: %s is empty", path);
   if (!alone || !is_token(text, size)) /* without the text, which may be a token */
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "token-file: %s is not one line with a token, as kvstore-cli user add prints "
                     "it",
                     path);
   if (asprintf(&credentials->authorization, SCHEME "%.*s", (int)size, text) >= 0)
      return KV_OK;
   credentials->authorization = NULL;
   return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
}

static enum kv_code read_token(struct credentials *credentials, const char *path,
                               struct kv_status *status)
{
   char *text = NULL;
   enum kv_code code = read_text("token-file", path, true, &text, status);
   if (!text)
      return code;
   if (code == KV_OK)
      code = take_token(credentials, path, text, status);
   explicit_bzero(text, strlen(text));
   free(text);
   return code;
}

/* Where it is looked for; false when there is none, or the place is not one of the user's: after su
 * it is often that of somebody else. */
static bool default_token(char path[PATH_MAX])
{
   const char *config = variable("XDG_CONFIG_HOME"), *home = variable("HOME");
   int size = -1;
   if (config && config[0] == '/')
      size = snprintf(path, PATH_MAX, "%s/" CREDENTIALS_TOKEN_DEFAULT, config);
   else if (home)
      size = snprintf(path, PATH_MAX, "%s/.config/" CREDENTIALS_TOKEN_DEFAULT, home);
   return size > 0 && size < PATH_MAX && access(path, F_OK) == 0;
}

/* ---- Reading them ---- */

static enum kv_code read_authorities(struct credentials *credentials, const char *path,
                                     struct kv_status *status)
{
   struct kv_status why;
   if (path)
      return read_pem("tls-ca", path, false, &credentials->ca, status);
   return read_pem("tls-ca", SYSTEM_CA, false, &credentials->ca, &why) == KV_OK
              ? KV_OK
              : kv_fail(status, why.code,
                        "%s; install the system's authorities (package ca-certificates), or name "
                        "that of the server with --tls-ca FILE",
                        why.text);
}

static enum kv_code read_key(struct credentials *credentials, const char *path,
                             struct kv_status *status)
{
   if (read_pem("tls-key", path, true, &credentials->key, status) != KV_OK)
      return status->code;
   /* Of both forms: in the first line of PKCS #8, in a header of the older ones. */
   return strstr(credentials->key, "ENCRYPTED")
              ? kv_fail(status, KV_INVALID_ARGUMENT,
                        "tls-key: %s is encrypted, and its passphrase is not asked for; give the "
                        "key without one: openssl pkey -in %s -out KEY",
                        path, path)
              : KV_OK;
}

static enum kv_code read_tls(struct credentials *credentials,
                             const struct credentials_options *options, struct kv_status *status)
{
   if (!options->certificate != !options->key)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "%s is given without %s; give both: the certificate and its key",
                     options->key ? "tls-key" : "tls-cert", options->key ? "tls-cert" : "tls-key");
   if (options->server_name && !(credentials->server_name = strdup(options->server_name)))
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
   if (read_authorities(credentials, options->ca, status) != KV_OK)
      return status->code;
   if (options->certificate && read_pem("tls-cert", options->certificate, false,
                                        &credentials->certificate, status) != KV_OK)
      return status->code;
   return options->key ? read_key(credentials, options->key, status) : KV_OK;
}

static enum kv_code read_all(struct credentials *credentials,
                             const struct credentials_options *options, struct kv_status *status)
{
   char path[PATH_MAX];
   const char *token = options->token_file;
   credentials->tls =
       options->tls || options->ca || options->certificate || options->key || options->server_name;
   if (credentials->tls && read_tls(credentials, options, status) != KV_OK)
      return status->code;
   if (!token && default_token(path))
      token = path;
   return token && token[0] ? read_token(credentials, token, status) : KV_OK;
}

struct credentials *credentials_create(const struct credentials_options *options,
                                       struct kv_status *status)
{
   struct credentials *credentials = calloc(1, sizeof *credentials);
   if (!credentials) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
      return NULL;
   }
   if (read_all(credentials, options, status) == KV_OK)
      return credentials;
   credentials_destroy(credentials);
   return NULL;
}

static void forget(char *secret)
{
   if (secret)
      explicit_bzero(secret, strlen(secret));
   free(secret);
}

void credentials_destroy(struct credentials *credentials)
{
   if (!credentials)
      return;
   forget(credentials->key);
   forget(credentials->authorization);
   free(credentials->ca);
   free(credentials->certificate);
   free(credentials->server_name);
   free(credentials);
}

/* ---- What they are ---- */

bool credentials_use_tls(const struct credentials *credentials)
{
   return credentials->tls;
}

const char *credentials_ca(const struct credentials *credentials)
{
   return credentials->ca;
}

const char *credentials_certificate(const struct credentials *credentials)
{
   return credentials->certificate;
}

const char *credentials_key(const struct credentials *credentials)
{
   return credentials->key;
}

const char *credentials_server_name(const struct credentials *credentials)
{
   return credentials->server_name;
}

const char *credentials_authorization(const struct credentials *credentials)
{
   return credentials->authorization;
}

bool credentials_may_send_token(const struct credentials *credentials, const char *host)
{
   return !credentials->authorization || credentials->tls || !host || address_is_loopback(host);
}
