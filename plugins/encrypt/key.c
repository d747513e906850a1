#include "plugins/encrypt/key.h"

#include "storage/file.h"
#include "storage/key_check.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX_SIZE ((size_t)2 * SEAL_MASTER_SIZE)
#define TEXT_SIZE_MAX (HEX_SIZE + 2) /* with the end of the line */

/* A long path must not push the remedy out of the text. */
#define SHOWN "%.160s"

/* ---- The key file ---- */

static int refuse(kvs_error *error, const char *path, const char *why)
{
   return storage_fail(error, KVS_INVALID, "key_file " SHOWN " %s", path, why);
}

static int check_trust(int fd, const char *path, kvs_error *error)
{
   struct stat info;
   if (fstat(fd, &info) != 0)
      return storage_fail_errno(error, errno, "cannot examine key_file " SHOWN, path);
   if (!S_ISREG(info.st_mode))
      return refuse(error, path, "is not a regular file");
   if (info.st_uid != 0 && info.st_uid != geteuid())
      return storage_fail(error, KVS_INVALID,
                          "key_file " SHOWN " belongs to user id %u; it must belong to root or to "
                          "the server's user (id %u): use chown",
                          path, (unsigned)info.st_uid, (unsigned)geteuid());
   if (info.st_mode & (S_IRWXG | S_IRWXO))
      return storage_fail(error, KVS_INVALID,
                          "key_file " SHOWN
                          " is accessible to others than its owner (mode %04o); use "
                          "chmod 600, and if others may have read it, a new key",
                          path, (unsigned)(info.st_mode & 07777));
   return KVS_OK;
}

/* The content in raw bytes, whichever way it is written. */
static bool decode(const uint8_t *text, size_t size, uint8_t master[SEAL_MASTER_SIZE])
{
   size_t got;
   if (size == SEAL_MASTER_SIZE) {
      memcpy(master, text, size);
      return true;
   }
   if (size > HEX_SIZE && text[size - 1] == '\n')
      size--;
   if (size > HEX_SIZE && text[size - 1] == '\r')
      size--;
   return size == HEX_SIZE &&
          sodium_hex2bin(master, SEAL_MASTER_SIZE, (const char *)text, size, NULL, &got, NULL) ==
              0 &&
          got == SEAL_MASTER_SIZE;
}

/* Where the key is while it is read; locked, and wiped when it is freed. */
struct reading {
   uint8_t text[TEXT_SIZE_MAX + 1], master[SEAL_MASTER_SIZE];
};

static int read_open(int fd, const char *path, const uint8_t store_id[16], struct seal **seal,
                     kvs_error *error)
{
   int code = check_trust(fd, path, error);
   if (code != KVS_OK)
      return code;
   struct reading *reading = sodium_malloc(sizeof *reading);
   if (!reading)
      return storage_fail(error, KVS_NO_SPACE, "no memory for the key");
   size_t size;
   code = storage_read_all(fd, path, reading->text, sizeof reading->text, 0, &size, error);
   if (code == KVS_OK && !decode(reading->text, size, reading->master))
      code = refuse(error, path,
                    "must hold exactly 32 raw bytes, or 64 hexadecimal digits and the end of the "
                    "line; make one with: (umask 077; openssl rand -hex 32 >FILE)");
   if (code == KVS_OK) {
      *seal = seal_create(reading->master, store_id);
      if (!*seal)
         code = storage_fail(error, KVS_NO_SPACE, "no memory for the key");
   }
   sodium_free(reading);
   return code;
}

/* Opens nothing but a regular file: anything else could block or have side effects. */
static int open_file(const char *path, int *fd, kvs_error *error)
{
   struct stat info;
   *fd = -1;
   if (stat(path, &info) == 0) {
      if (!S_ISREG(info.st_mode))
         return refuse(error, path, "is not a regular file");
      *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
   }
   if (*fd < 0)
      return storage_fail(error, KVS_INVALID,
                          "cannot open key_file " SHOWN " (%s); the server must be able to read it "
                          "whenever it starts or changes its mode",
                          path, strerror(errno));
   return KVS_OK;
}

int key_read(const kvs_host *host, const char *path, struct seal **seal, kvs_error *error)
{
   if (path[0] != '/')
      return storage_fail(error, KVS_INVALID,
                          "option key_file must be the absolute path of a file with the key, not "
                          "\"" SHOWN "\"; make one with: (umask 077; openssl rand -hex 32 >FILE)",
                          path);
   int fd;
   int code = open_file(path, &fd, error);
   if (code == KVS_OK) {
      code = read_open(fd, path, host->store_id, seal, error);
      close(fd);
   }
   if (code == KVS_OK || code == KVS_NO_SPACE)
      return code;
   host->log(host, KVS_LOG_ERROR, error->text);
   return storage_fail(error, code,
                       "the file that key_file names holds no key that the server can use; the "
                       "server's log says why");
}

/* ---- The file that checks the key ---- */

_Static_assert(SEAL_PROOF_SIZE == STORAGE_KEY_CHECK_PROOF_SIZE, "a proof is what the file holds");

static void prove(const struct seal *seal, uint8_t file[STORAGE_KEY_CHECK_SIZE])
{
   seal_prove(seal, file, STORAGE_KEY_CHECK_PROVEN_SIZE, file + STORAGE_KEY_CHECK_PROVEN_SIZE);
}

int key_check(const kvs_host *host, const struct seal *seal, const char *path, bool *known,
              kvs_error *error)
{
   uint8_t found[STORAGE_KEY_CHECK_SIZE], own[STORAGE_KEY_CHECK_SIZE];
   int code = storage_key_check_read(host->directory, host->store_id, found, known, error);
   if (code != KVS_OK || !*known)
      return code;
   memcpy(own, found, sizeof own);
   prove(seal, own);
   if (sodium_memcmp(own, found, sizeof own) != 0)
      return storage_fail(error, KVS_INVALID,
                          "the key in key_file " SHOWN
                          " is not the one that the data was encrypted "
                          "with; put the right key there",
                          path);
   return KVS_OK;
}

int key_record(const kvs_host *host, const struct seal *seal, kvs_error *error)
{
   uint8_t file[STORAGE_KEY_CHECK_SIZE];
   storage_key_check_begin(file, host->store_id);
   prove(seal, file);
   return storage_key_check_write(host->directory, file, error);
}
