#include "plugins/encrypt/key.h"

#include "plugins/format/codec.h"
#include "plugins/format/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX_SIZE ((size_t)2 * SEAL_MASTER_SIZE)
#define TEXT_SIZE_MAX (HEX_SIZE + 2) /* with the end of the line */

/* Long paths must leave room for what is to be done about them. */
#define SHOWN "%.160s"

/* ---- The key file ---- */

static int refuse(kvs_error *error, const char *path, const char *why)
{
   return format_fail(error, KVS_INVALID, "key_file " SHOWN " %s", path, why);
}

static int check_trust(int fd, const char *path, kvs_error *error)
{
   struct stat info;
   if (fstat(fd, &info) != 0)
      return format_fail_errno(error, errno, "cannot look at key_file " SHOWN, path);
   if (!S_ISREG(info.st_mode))
      return refuse(error, path, "is not a regular file");
   if (info.st_uid != 0 && info.st_uid != geteuid())
      return format_fail(error, KVS_INVALID,
                         "key_file " SHOWN " belongs to user id %u; it must belong to root or to "
                         "the server's user (id %u): use chown",
                         path, (unsigned)info.st_uid, (unsigned)geteuid());
   if (info.st_mode & (S_IRWXG | S_IRWXO))
      return format_fail(error, KVS_INVALID,
                         "key_file " SHOWN " is open to others than its owner (mode %04o); use "
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
      return format_fail(error, KVS_NO_SPACE, "no memory for the key");
   size_t size;
   code = format_read_all(fd, path, reading->text, sizeof reading->text, 0, &size, error);
   if (code == KVS_OK && !decode(reading->text, size, reading->master))
      code = refuse(error, path,
                    "must hold exactly 32 raw bytes, or 64 hexadecimal digits and the end of the "
                    "line; make one with: (umask 077; openssl rand -hex 32 >FILE)");
   if (code == KVS_OK) {
      *seal = seal_create(reading->master, store_id);
      if (!*seal)
         code = format_fail(error, KVS_NO_SPACE, "no memory for the key");
   }
   sodium_free(reading);
   return code;
}

int key_read(const char *path, const uint8_t store_id[16], struct seal **seal, kvs_error *error)
{
   if (path[0] != '/')
      return format_fail(error, KVS_INVALID,
                         "option key_file must be the absolute path of a file with the key, not "
                         "\"" SHOWN "\"; make one with: (umask 077; openssl rand -hex 32 >FILE)",
                         path);
   /* Without waiting, should it be a pipe. */
   int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
   if (fd < 0)
      return format_fail(error, KVS_INVALID,
                         "cannot open key_file " SHOWN " (%s); the server must be able to read it "
                         "whenever it starts or changes its mode",
                         path, strerror(errno));
   int code = read_open(fd, path, store_id, seal, error);
   close(fd);
   return code;
}

/* ---- The file that knows the key ---- */

static const char file_name[] = "encrypt.check", temporary_name[] = "encrypt.check.tmp";
static const uint8_t magic[8] = {'K', 'V', 'E', 'N', 'C', 0x89, '\r', '\n'};

enum {
   VERSION = 1,
   OFFSET_VERSION = 8,
   OFFSET_SIZE = 12,
   OFFSET_STORE = 16,
   OFFSET_PROOF = 32,
   OFFSET_CRC = 64,
   FILE_SIZE = 68,
};

static void fill_file(const struct seal *seal, const uint8_t store_id[16], uint8_t file[FILE_SIZE])
{
   memcpy(file, magic, sizeof magic);
   format_put32(file + OFFSET_VERSION, VERSION);
   format_put32(file + OFFSET_SIZE, FILE_SIZE);
   memcpy(file + OFFSET_STORE, store_id, 16);
   seal_prove(seal, file, OFFSET_PROOF, file + OFFSET_PROOF);
   format_put32(file + OFFSET_CRC, format_crc(0, file, OFFSET_CRC));
}

static int path_of(const kvs_host *host, const char *name, char path[4096], kvs_error *error)
{
   if (snprintf(path, 4096, "%s/%s", host->directory, name) >= 4096)
      return format_fail(error, KVS_INVALID, "the path " SHOWN "... is too long", host->directory);
   return KVS_OK;
}

static int fail_damaged(kvs_error *error, const char *path, const char *what)
{
   return format_fail(error, KVS_CORRUPT,
                      "%.300s %s; restore it from a backup, or remove it: the key is then checked "
                      "against the data alone",
                      path, what);
}

static int compare(const kvs_host *host, const struct seal *seal, const char *key_path,
                   const char *path, const uint8_t *found, size_t size, kvs_error *error)
{
   uint8_t expected[FILE_SIZE];
   if (size < OFFSET_STORE || memcmp(found, magic, sizeof magic) != 0)
      return fail_damaged(error, path, "is damaged at offset 0: it does not begin as it must");
   if (format_get32(found + OFFSET_VERSION) > VERSION && size > FILE_SIZE)
      return format_fail(error, KVS_INVALID,
                         "%.300s is of a newer version (%u); use one that reads it", path,
                         format_get32(found + OFFSET_VERSION));
   if (size != FILE_SIZE || format_get32(found + OFFSET_CRC) != format_crc(0, found, OFFSET_CRC))
      return fail_damaged(error, path, "is damaged: its checksum at offset 64 does not fit");
   if (format_get32(found + OFFSET_VERSION) != VERSION)
      return format_fail(error, KVS_INVALID, "%.300s is of version %u, and this program knows %d",
                         path, format_get32(found + OFFSET_VERSION), VERSION);
   if (memcmp(found + OFFSET_STORE, host->store_id, sizeof host->store_id) != 0)
      return format_fail(error, KVS_INVALID, "%.300s is of another store", path);
   fill_file(seal, host->store_id, expected);
   if (sodium_memcmp(expected + OFFSET_PROOF, found + OFFSET_PROOF, SEAL_PROOF_SIZE) != 0)
      return format_fail(error, KVS_INVALID,
                         "the key in key_file " SHOWN " is not the one that %.160s was encrypted "
                         "with; put the right key there",
                         key_path, host->directory);
   return KVS_OK;
}

int key_check(const kvs_host *host, const struct seal *seal, const char *path, bool *known,
              kvs_error *error)
{
   char own[4096];
   uint8_t found[FILE_SIZE + 1];
   size_t size;
   int fd;
   *known = false;
   int code = path_of(host, file_name, own, error);
   if (code != KVS_OK || (access(own, F_OK) != 0 && errno == ENOENT))
      return code;
   code = format_open(own, O_RDONLY, &fd, error);
   if (code != KVS_OK)
      return code;
   code = format_read_all(fd, own, found, sizeof found, 0, &size, error);
   close(fd);
   if (code == KVS_OK)
      code = compare(host, seal, path, own, found, size, error);
   *known = code == KVS_OK;
   return code;
}

static int write_temporary(const char *path, const uint8_t file[FILE_SIZE], kvs_error *error)
{
   int fd;
   int code = format_open(path, O_WRONLY | O_CREAT | O_TRUNC, &fd, error);
   if (code != KVS_OK)
      return code;
   struct iovec part = {(void *)(uintptr_t)file, FILE_SIZE};
   code = format_write_all(fd, path, &part, 1, 0, error);
   if (code == KVS_OK)
      code = format_sync(fd, path, error);
   if (close(fd) != 0 && code == KVS_OK)
      code = format_fail_errno(error, errno, "cannot close %s", path);
   return code;
}

int key_record(const kvs_host *host, const struct seal *seal, kvs_error *error)
{
   char temporary[4096];
   uint8_t file[FILE_SIZE];
   fill_file(seal, host->store_id, file);
   int code = path_of(host, temporary_name, temporary, error);
   if (code == KVS_OK)
      code = write_temporary(temporary, file, error);
   return code == KVS_OK ? format_rename_durably(host->directory, temporary_name, file_name, error)
                         : code;
}
