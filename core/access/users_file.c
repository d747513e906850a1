#include "core/access/users_file.h"

#include "core/access/users.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_MODE 0644

/* ---- Reading ---- */

/* One byte more than there may be tells a file that is too large, or has grown. */
enum kv_code kv_users_file_read(int fd, const char *path, char **text, size_t *size,
                                struct kv_status *status)
{
   ssize_t got = 1;
   *size = 0;
   *text = malloc(KV_USERS_FILE_MAX + 2);
   if (!*text)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the users file %s", path);
   while (got > 0 && *size <= KV_USERS_FILE_MAX) {
      do
         got = read(fd, *text + *size, KV_USERS_FILE_MAX + 1 - *size);
      while (got < 0 && errno == EINTR);
      *size += got > 0 ? (size_t)got : 0;
   }
   (*text)[*size] = '\0';
   enum kv_code code = KV_OK;
   if (got < 0)
      code = kv_fail_errno(status, errno, "cannot read the users file %s", path);
   else if (*size > KV_USERS_FILE_MAX)
      code = kv_fail(status, KV_INVALID_ARGUMENT, "the users file %s has more than %zu bytes", path,
                     KV_USERS_FILE_MAX);
   if (code != KV_OK) {
      free(*text);
      *text = NULL;
   }
   return code;
}

/* ---- Editing ---- */

/* A file that is being edited. */
struct edit {
   char path[PATH_MAX]; /* without links, as the new file takes the place of the old one */
   int fd;              /* locked */
   char *text;
   size_t size;
};

/* The lock is that of the file which has the name: another editor may just have replaced it. */
static enum kv_code lock_file(struct edit *edit, int flags, struct kv_status *status)
{
   struct stat locked, named;
   for (;;) {
      edit->fd = open(edit->path, O_RDWR | O_CLOEXEC | O_NONBLOCK | flags, NEW_MODE);
      if (edit->fd < 0)
         return kv_fail_errno(status, errno, "cannot open the users file %s", edit->path);
      int result;
      do
         result = flock(edit->fd, LOCK_EX);
      while (result != 0 && errno == EINTR);
      if (result != 0 || fstat(edit->fd, &locked) != 0)
         return kv_fail_errno(status, errno, "cannot lock the users file %s", edit->path);
      if (!S_ISREG(locked.st_mode))
         return kv_fail(status, KV_INVALID_ARGUMENT, "the users file %s is not a file", edit->path);
      if (stat(edit->path, &named) == 0 && named.st_dev == locked.st_dev &&
          named.st_ino == locked.st_ino)
         return KV_OK;
      close(edit->fd);
      edit->fd = -1;
   }
}

static enum kv_code begin(struct edit *edit, const char *path, int flags, struct kv_status *status)
{
   *edit = (struct edit){.fd = -1};
   char *real = realpath(path, NULL);
   if (!real && errno == ENOENT)
      real = strdup(path); /* it may be made */
   if (!real)
      return kv_fail_errno(status, errno, "cannot open the users file %s", path);
   bool fits = strlen(real) < sizeof edit->path;
   if (fits)
      strcpy(edit->path, real);
   free(real);
   if (!fits)
      return kv_fail_errno(status, ENAMETOOLONG, "cannot open the users file %s", path);
   if (lock_file(edit, flags, status) != KV_OK)
      return status->code;
   return kv_users_file_read(edit->fd, path, &edit->text, &edit->size, status);
}

static void end(struct edit *edit)
{
   free(edit->text);
   if (edit->fd >= 0)
      close(edit->fd);
}

static bool write_all(int fd, const char *text, size_t size)
{
   while (size > 0) {
      ssize_t put = write(fd, text, size);
      if (put < 0 && errno != EINTR)
         return false;
      text += put > 0 ? put : 0;
      size -= put > 0 ? (size_t)put : 0;
   }
   return true;
}

/* The name is durable with its directory. */
static bool sync_directory(const char *path)
{
   char directory[PATH_MAX];
   strcpy(directory, path);
   char *slash = strrchr(directory, '/');
   if (slash)
      slash[slash == directory ? 1 : 0] = '\0';
   int fd = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
   bool good = fd >= 0 && fsync(fd) == 0;
   if (fd >= 0)
      close(fd);
   return good;
}

/* As the old file: with its owner, where the system allows it, and its mode. */
static bool write_new(const struct edit *edit, int fd, const char *text, size_t size)
{
   struct stat info;
   return fstat(edit->fd, &info) == 0 &&
          (fchown(fd, info.st_uid, info.st_gid) == 0 || errno == EPERM) &&
          fchmod(fd, info.st_mode & 07777) == 0 && write_all(fd, text, size) && fsync(fd) == 0;
}

static enum kv_code replace(const struct edit *edit, const char *text, size_t size,
                            struct kv_status *status)
{
   char path[PATH_MAX + 16];
   snprintf(path, sizeof path, "%s.XXXXXX", edit->path);
   int fd = mkostemp(path, O_CLOEXEC);
   if (fd < 0)
      return kv_fail_errno(status, errno, "cannot make a file beside the users file %s",
                           edit->path);
   bool good = write_new(edit, fd, text, size) && rename(path, edit->path) == 0 &&
               sync_directory(edit->path);
   if (!good) {
      kv_fail_errno(status, errno, "cannot write the users file %s anew", edit->path);
      unlink(path);
   }
   close(fd);
   return good ? KV_OK : status->code;
}

/* Whether it would be read as users. */
static enum kv_code check(const struct edit *edit, const char *text, size_t size,
                          struct kv_status *status)
{
   struct kv_status why;
   struct kv_users *users = kv_users_parse(kv_slice(text, size), &why);
   if (!users)
      return kv_fail(status, why.code, "the users file %s, %s", edit->path, why.text);
   kv_users_destroy(users);
   return KV_OK;
}

static enum kv_code add_line(const struct edit *edit, const char *line, struct kv_status *status)
{
   const char *gap = edit->size > 0 && edit->text[edit->size - 1] != '\n' ? "\n" : "";
   const size_t size = edit->size + strlen(gap) + strlen(line) + 1;
   char *text = malloc(size + 1);
   if (!text)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the users file");
   snprintf(text, size + 1, "%s%s%s\n", edit->text, gap, line);
   enum kv_code code = check(edit, edit->text, edit->size, status);
   if (code == KV_OK)
      code = check(edit, text, size, status);
   if (code == KV_OK)
      code = replace(edit, text, size, status);
   free(text);
   return code;
}

enum kv_code kv_users_file_add(const char *path, const char *line, struct kv_status *status)
{
   struct edit edit;
   enum kv_code code = begin(&edit, path, O_CREAT, status);
   if (code == KV_OK)
      code = add_line(&edit, line, status);
   end(&edit);
   return code;
}

/* The line that begins with the name; NULL when there is none. *size has its end. */
static char *find_line(char *text, const char *name, size_t *size)
{
   for (char *line = text, *next; *line; line = next) {
      char *stop = strchr(line, '\n');
      next = stop ? stop + 1 : line + strlen(line);
      char *word = line + strspn(line, " \t\r");
      *size = (size_t)(next - line);
      if (strcspn(word, " \t\r\n") == strlen(name) && memcmp(word, name, strlen(name)) == 0)
         return line;
   }
   return NULL;
}

static enum kv_code remove_line(struct edit *edit, const char *name, struct kv_status *status)
{
   size_t size;
   if (check(edit, edit->text, edit->size, status) != KV_OK)
      return status->code;
   char *line = find_line(edit->text, name, &size);
   if (!line)
      return kv_fail(status, KV_NOT_FOUND, "the users file %s has no user \"%.*s\"", edit->path,
                     (int)KV_USER_NAME_MAX, name);
   memmove(line, line + size, edit->size - (size_t)(line - edit->text) - size + 1);
   return replace(edit, edit->text, edit->size - size, status);
}

enum kv_code kv_users_file_remove(const char *path, const char *name, struct kv_status *status)
{
   struct edit edit;
   enum kv_code code = begin(&edit, path, 0, status);
   if (code == KV_OK)
      code = remove_line(&edit, name, status);
   end(&edit);
   return code;
}

/* ---- Tokens ---- */

#define PREFIX "kvs_"
#define WORD "token=sha256:"
#define RANDOM_SIZE 32

bool kv_token_create(char token[KV_TOKEN_SIZE], char word[KV_TOKEN_WORD_SIZE])
{
   enum { VARIANT = sodium_base64_VARIANT_URLSAFE_NO_PADDING };
   uint8_t bytes[RANDOM_SIZE], hash[crypto_hash_sha256_BYTES];
   _Static_assert(sizeof PREFIX - 1 + sodium_base64_ENCODED_LEN(RANDOM_SIZE, VARIANT) <=
                      KV_TOKEN_SIZE,
                  "a token has space");
   _Static_assert(sizeof WORD + 2 * sizeof hash <= KV_TOKEN_WORD_SIZE, "its word has space");
   if (sodium_init() < 0)
      return false;
   randombytes_buf(bytes, sizeof bytes);
   strcpy(token, PREFIX);
   sodium_bin2base64(token + strlen(PREFIX), KV_TOKEN_SIZE - strlen(PREFIX), bytes, sizeof bytes,
                     VARIANT);
   crypto_hash_sha256(hash, (const uint8_t *)token, strlen(token));
   strcpy(word, WORD);
   sodium_bin2hex(word + strlen(WORD), KV_TOKEN_WORD_SIZE - strlen(WORD), hash, sizeof hash);
   sodium_memzero(bytes, sizeof bytes);
   return true;
}
