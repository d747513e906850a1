#include "core/access/access.h"

#include "core/access/users_file.h"
#include "core/support/file_stamp.h"
#include "core/support/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Users as they were read once. */
struct edition {
   atomic_uint references;
   uint64_t number;
   struct kv_users *users;
};

struct kv_access {
   char *path;
   pthread_mutex_t lock; /* of `current` */
   struct edition *current;
   atomic_uint_fast64_t number; /* of `current` */
   struct kv_file_stamp stamp;  /* of the file read the last time, good or bad */
};

struct kv_known {
   struct edition *edition;
   const struct kv_user *user;
   size_t size;
   uint8_t token[];
};

static void let_go(struct edition *edition)
{
   if (!edition || atomic_fetch_sub(&edition->references, 1) != 1)
      return;
   kv_users_destroy(edition->users);
   free(edition);
}

/* ---- The file ---- */

static enum kv_code check_file(int fd, const char *path, struct kv_status *status)
{
   struct stat info;
   if (fstat(fd, &info) != 0)
      return kv_fail_errno(status, errno, "cannot look at the users file %s", path);
   if (!S_ISREG(info.st_mode))
      return kv_fail(status, KV_INVALID_ARGUMENT, "the users file %s is not a file", path);
   if ((info.st_mode & S_IWOTH) != 0 || (info.st_uid != 0 && info.st_uid != geteuid()))
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "others may write the users file %s (owner %u, mode %04o): give it to root or "
                     "to the server's user, and chmod o-w",
                     path, info.st_uid, info.st_mode & 07777);
   return KV_OK;
}

static struct kv_users *read_users(int fd, const char *path, struct kv_status *status)
{
   char *text;
   size_t size;
   struct kv_status why;
   if (kv_users_file_read(fd, path, &text, &size, status) != KV_OK)
      return NULL;
   struct kv_users *users = kv_users_parse(kv_slice(text, size), &why);
   if (!users)
      kv_fail(status, why.code, "the users file %s, %s", path, why.text);
   free(text);
   return users;
}

static struct kv_users *load(const char *path, struct kv_status *status)
{
   int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
   if (fd < 0) {
      kv_fail_errno(status, errno,
                    "cannot open the users file %s, which the server's user must be able to read",
                    path);
      return NULL;
   }
   struct kv_users *users =
       check_file(fd, path, status) == KV_OK ? read_users(fd, path, status) : NULL;
   close(fd);
   return users;
}

enum kv_code kv_access_reload(struct kv_access *access, struct kv_status *status)
{
   access->stamp = kv_file_stamp_take(access->path);
   struct kv_users *users = load(access->path, status);
   struct edition *edition = users ? malloc(sizeof *edition) : NULL;
   if (!users)
      return status->code;
   if (!edition) {
      kv_users_destroy(users);
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the users");
   }
   atomic_init(&edition->references, 1);
   edition->users = users;
   edition->number = atomic_load(&access->number) + 1;
   pthread_mutex_lock(&access->lock);
   struct edition *old = access->current;
   access->current = edition;
   atomic_store(&access->number, edition->number);
   pthread_mutex_unlock(&access->lock);
   let_go(old);
   return KV_OK;
}

void kv_access_look(struct kv_access *access, bool again)
{
   struct kv_status status;
   struct kv_file_stamp stamp = kv_file_stamp_take(access->path);
   if (!again && kv_file_stamp_is_same(&stamp, &access->stamp))
      return;
   if (kv_access_reload(access, &status) == KV_OK)
      kv_log(KV_LOG_INFO, "read the users file %s again: %zu users", access->path,
             kv_users_count(access->current->users));
   else
      kv_log(KV_LOG_ERROR, "THE NEW USERS ARE NOT USED, those read before stay in force: %s",
             status.text);
}

struct kv_access *kv_access_create(const char *path, struct kv_status *status)
{
   struct kv_access *access = calloc(1, sizeof *access);
   char *copy = access ? strdup(path) : NULL;
   if (!copy) {
      free(access);
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the users");
      return NULL;
   }
   access->path = copy;
   pthread_mutex_init(&access->lock, NULL);
   if (kv_access_reload(access, status) == KV_OK)
      return access;
   kv_access_destroy(access);
   return NULL;
}

void kv_access_destroy(struct kv_access *access)
{
   let_go(access->current);
   pthread_mutex_destroy(&access->lock);
   free(access->path);
   free(access);
}

/* ---- Who it is ---- */

/* In a time that tells nothing of the bytes. Each call of a connection pays for it, so it takes
 * eight at a time, where sodium_memcmp takes one. */
static bool is_same_secret(const uint8_t *a, const uint8_t *b, size_t size)
{
   uint64_t difference = 0, x, y;
   for (; size >= sizeof x; a += sizeof x, b += sizeof y, size -= sizeof x) {
      memcpy(&x, a, sizeof x);
      memcpy(&y, b, sizeof y);
      difference |= x ^ y;
      /* The compiler must not see when it is no longer 0. */
      __asm__("" : "+r"(difference));
   }
   for (; size > 0; size--)
      difference |= (uint64_t)(*a++ ^ *b++);
   return difference == 0;
}

bool kv_access_still_knows(const struct kv_access *access, const struct kv_proof *proof,
                           const struct kv_known *known)
{
   const struct kv_slice token = proof->token;
   return known && known->edition->number == atomic_load(&access->number) &&
          known->size == token.size && is_same_secret(known->token, token.data, token.size);
}

uint64_t kv_access_edition(const struct kv_access *access)
{
   return atomic_load(&access->number);
}

static const struct kv_user *find(const struct kv_users *users, const struct kv_proof *proof)
{
   const struct kv_user *user = NULL;
   if (proof->token.size > 0)
      return kv_users_of_token(users, proof->token);
   if (proof->certificate.size > 0)
      user = kv_users_of_certificate(users, proof->certificate);
   if (!user && proof->is_local)
      user = kv_users_of_uid(users, proof->uid);
   return user;
}

static struct edition *hold_current(struct kv_access *access)
{
   pthread_mutex_lock(&access->lock);
   struct edition *edition = access->current;
   atomic_fetch_add(&edition->references, 1);
   pthread_mutex_unlock(&access->lock);
   return edition;
}

enum kv_code kv_access_refuse_token(struct kv_status *status)
{
   return kv_fail_reason(status, KV_UNAUTHENTICATED, KV_TOKEN_UNKNOWN,
                         "the token is not one of this server's users; it may have been replaced");
}

static void refuse(const struct kv_proof *proof, struct kv_status *status)
{
   if (proof->token.size > 0)
      kv_access_refuse_token(status);
   else
      kv_fail_reason(status, KV_UNAUTHENTICATED, "UNAUTHENTICATED",
                     "this server wants to know who calls: send a token as \"authorization: Bearer "
                     "TOKEN\", or use a client certificate that its users file names");
}

const struct kv_user *kv_access_identify(struct kv_access *access, const struct kv_proof *proof,
                                         struct kv_known **known, struct kv_status *status)
{
   if (kv_access_still_knows(access, proof, *known))
      return (*known)->user;
   struct edition *edition = hold_current(access);
   const struct kv_user *user = find(edition->users, proof);
   struct kv_known *found = user ? malloc(sizeof *found + proof->token.size) : NULL;
   if (!found) {
      let_go(edition);
      if (user)
         kv_fail(status, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this call");
      else
         refuse(proof, status);
      return NULL;
   }
   *found = (struct kv_known){edition, user, proof->token.size};
   if (found->size > 0)
      memcpy(found->token, proof->token.data, found->size);
   *known = found;
   return user;
}

void kv_known_destroy(struct kv_known *known)
{
   if (!known)
      return;
   let_go(known->edition);
   sodium_memzero(known->token, known->size);
   free(known);
}
