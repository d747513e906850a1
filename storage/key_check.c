#include "storage/key_check.h"

#include "storage/codec.h"
#include "storage/file.h"
#include "storage/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEMPORARY_NAME STORAGE_KEY_CHECK_NAME STORAGE_TEMPORARY_SUFFIX

enum {
   VERSION = 1,
   OFFSET_VERSION = 8,
   OFFSET_SIZE = 12,
   OFFSET_STORE = 16,
   OFFSET_CRC = 64,
};

static const uint8_t magic[8] = {'K', 'V', 'E', 'N', 'C', 0x89, '\r', '\n'};

void storage_key_check_begin(uint8_t file[STORAGE_KEY_CHECK_SIZE], const uint8_t store_id[16])
{
   memcpy(file, magic, sizeof magic);
   storage_put32(file + OFFSET_VERSION, VERSION);
   storage_put32(file + OFFSET_SIZE, STORAGE_KEY_CHECK_SIZE);
   memcpy(file + OFFSET_STORE, store_id, 16);
}

/* ---- Writing ---- */

int storage_key_check_write(const char *directory, uint8_t file[STORAGE_KEY_CHECK_SIZE],
                            kvs_error *error)
{
   struct storage_folder folder;
   int fd;
   storage_put32(file + OFFSET_CRC, storage_crc(0, file, OFFSET_CRC));
   int code = storage_folder_open(directory, &folder, error);
   if (code != KVS_OK)
      return code;
   code = storage_create_with(&folder, TEMPORARY_NAME, file, STORAGE_KEY_CHECK_SIZE, &fd, error);
   if (code == KVS_OK && close(fd) != 0)
      code = storage_fail_errno(error, errno, "%s: cannot close", TEMPORARY_NAME);
   if (code == KVS_OK)
      code = storage_rename_durably(&folder, TEMPORARY_NAME, STORAGE_KEY_CHECK_NAME, error);
   storage_folder_close(&folder);
   return code;
}

/* ---- Reading ---- */

static int fail_damaged(kvs_error *error, const char *path, const char *what)
{
   return storage_fail(
       error, KVS_CORRUPT,
       "%.250s: damaged, %s; restore it from a backup, or remove it: the key is then "
       "checked against the data alone",
       path, what);
}

static int verify(const uint8_t store_id[16], const char *path, const uint8_t *file, size_t size,
                  kvs_error *error)
{
   if (size < OFFSET_STORE || memcmp(file, magic, sizeof magic) != 0)
      return fail_damaged(error, path, "at offset 0 it does not begin as it must");
   uint32_t version = storage_get32(file + OFFSET_VERSION);
   bool whole = size == STORAGE_KEY_CHECK_SIZE &&
                storage_get32(file + OFFSET_CRC) == storage_crc(0, file, OFFSET_CRC);
   if (!whole && (size <= STORAGE_KEY_CHECK_SIZE || version <= VERSION))
      return fail_damaged(error, path, "the checksum at offset 64 does not fit");
   if (version != VERSION)
      return storage_fail(
          error, KVS_INVALID,
          "%.300s has format version %u, and this program knows %d; use a newer one", path, version,
          VERSION);
   if (memcmp(file + OFFSET_STORE, store_id, 16) != 0)
      return storage_fail(error, KVS_INVALID, "%.300s belongs to another store", path);
   return KVS_OK;
}

static int read_file(const uint8_t store_id[16], const struct storage_folder *folder,
                     const char *path, uint8_t file[STORAGE_KEY_CHECK_SIZE], kvs_error *error)
{
   uint8_t content[STORAGE_KEY_CHECK_SIZE + 1];
   size_t size;
   int fd;
   int code = storage_open(folder, STORAGE_KEY_CHECK_NAME, O_RDONLY, &fd, NULL, error);
   if (code != KVS_OK)
      return code;
   code = storage_read_all(fd, path, content, sizeof content, 0, &size, error);
   close(fd);
   if (code == KVS_OK)
      code = verify(store_id, path, content, size, error);
   if (code == KVS_OK)
      memcpy(file, content, STORAGE_KEY_CHECK_SIZE);
   return code;
}

int storage_key_check_read(const char *directory, const uint8_t store_id[16],
                           uint8_t file[STORAGE_KEY_CHECK_SIZE], bool *found, kvs_error *error)
{
   struct storage_folder folder;
   *found = false;
   int code = storage_folder_open(directory, &folder, error);
   if (code != KVS_OK)
      return code;
   if (storage_folder_has(&folder, STORAGE_KEY_CHECK_NAME)) {
      char path[PATH_MAX];
      storage_folder_path(&folder, STORAGE_KEY_CHECK_NAME, path);
      code = read_file(store_id, &folder, path, file, error);
      *found = code == KVS_OK;
   }
   storage_folder_close(&folder);
   return code;
}
