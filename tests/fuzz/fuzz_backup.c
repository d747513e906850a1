/*
 * A backup file. Checking and loading agree, a file that is refused leaves nothing, and what was
 * loaded comes back the same from a backup made of it.
 *
 * Input: a byte of choices, the file.
 */
#include "core/backup/backup.h"
#include "core/backup/content.h"
#include "storage/backup_layout.h"
#include "storage/codec.h"
#include "tests/fuzz/support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { RIGHT_CHECKSUMS = 1, RIGHT_FOOTER = 2, OWN_SEQUENCES = 4 };

struct totals {
   uint64_t records, end;
};

/* Corrects the checksums of all blocks from `at` on. */
static struct totals repair_blocks(uint8_t *file, size_t size, size_t at)
{
   uint64_t records = 0;
   while (size - at >= STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE) {
      uint8_t *block = file + at;
      uint64_t payload = storage_get64(block + 8);
      if (storage_get32(block) != SNAPSHOT_BLOCK_MAGIC ||
          payload > size - at - STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE)
         break;
      storage_put32(block + 16,
                    snapshot_payload_crc(block + STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE, payload));
      storage_put32(block + 20, snapshot_place_crc(block, 20, at));
      records += storage_get32(block + 4);
      at += STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE + payload;
   }
   return (struct totals){records, at};
}

static void put_footer(uint8_t *file, const struct totals *totals)
{
   uint8_t *footer = file + totals->end;
   XXH128_canonical_t digest;
   memset(footer, 0, BACKUP_FOOTER_SIZE);
   storage_put32(footer, BACKUP_FOOTER_MAGIC);
   storage_put64(footer + 8, totals->records);
   storage_put64(footer + 16, totals->end);
   XXH128_canonicalFromHash(&digest, XXH3_128bits(file, totals->end));
   memcpy(footer + 24, digest.digest, sizeof digest.digest);
   storage_put32(footer + 44, snapshot_place_crc(footer, 44, totals->end));
}

/* `file` has space for a footer after its `size` bytes. Returns the new size. */
static size_t repair(uint8_t *file, size_t size, uint64_t choices)
{
   if (size < BACKUP_HEADER_SIZE + BACKUP_CHECKSUM_SIZE)
      return size;
   size_t mode = storage_get32(file + 12), most = size - BACKUP_HEADER_SIZE - BACKUP_CHECKSUM_SIZE;
   if (mode > most)
      mode = most;
   size_t begin = BACKUP_HEADER_SIZE + mode + BACKUP_CHECKSUM_SIZE;
   memcpy(file, BACKUP_MAGIC, BACKUP_MAGIC_SIZE);
   storage_put32(file + 8, choices & OWN_SEQUENCES ? BACKUP_VERSION : BACKUP_VERSION_PLAIN);
   storage_put32(file + 12, (uint32_t)mode);
   struct totals totals = repair_blocks(file, size, begin);
   if (choices & RIGHT_FOOTER)
      storage_put64(file + 48, totals.records);
   storage_put32(file + begin - BACKUP_CHECKSUM_SIZE,
                 storage_crc(0, file, begin - BACKUP_CHECKSUM_SIZE));
   if (!(choices & RIGHT_FOOTER))
      return size;
   put_footer(file, &totals);
   return totals.end + BACKUP_FOOTER_SIZE;
}

/* The same file loaded; NULL: it is refused. */
static struct kv_store *load(const char *name, struct kv_backup_content *content)
{
   char path[FUZZ_PATH_SIZE];
   struct kv_status status;
   const struct kv_backup_source source = {open(fuzz_path(name, path), O_RDONLY | O_CLOEXEC), name,
                                           NULL, NULL};
   REQUIRE(source.fd >= 0);
   enum kv_code checked = kv_backup_check(&source, content, &status);
   kv_backup_content_deinit(content);
   struct kv_store *store = kv_store_create();
   REQUIRE(store);
   enum kv_code code = kv_backup_load(&source, store, content, &status);
   REQUIRE(code == checked && (code == KV_OK || code == KV_DATA_LOSS));
   close(source.fd);
   struct kv_store_view *view = kv_store_view_create(store);
   REQUIRE(view);
   const struct kv_version *version = kv_store_view_version(view);
   REQUIRE(kv_version_count(version) == (code == KV_OK ? content->keys : 0));
   REQUIRE(kv_version_sequence(version) == (code == KV_OK ? content->sequence : 0));
   kv_store_view_destroy(view);
   if (code == KV_OK)
      return store;
   REQUIRE(status.text[0] != '\0');
   kv_store_destroy(store);
   return NULL;
}

static enum kv_code put(void *context, const void *data, size_t size, struct kv_status *status)
{
   (void)status;
   REQUIRE(write(*(int *)context, data, size) == (ssize_t)size);
   return KV_OK;
}

static void write_again(struct kv_store *store, const struct kv_backup_content *content)
{
   struct kv_status status;
   struct kv_backup *backup;
   uint8_t digest[KV_BACKUP_DIGEST_SIZE];
   char path[FUZZ_PATH_SIZE];
   int fd = open(fuzz_path("again", path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
   REQUIRE(fd >= 0);
   const struct kv_backup_sink sink = {put, &fd};
   REQUIRE(kv_backup_open(store, content->store_id, &content->active, &backup, &status) == KV_OK);
   REQUIRE(kv_backup_write(backup, &sink, digest, &status) == KV_OK);
   kv_backup_close(backup);
   close(fd);
}

static void require_same(struct kv_store *a, struct kv_store *b)
{
   struct kv_store_view *first = kv_store_view_create(a), *second = kv_store_view_create(b);
   struct kv_cursor one, other;
   const struct kv_entry *entry, *again;
   REQUIRE(first && second);
   kv_cursor_seek(&one, kv_store_view_version(first), kv_slice(NULL, 0));
   kv_cursor_seek(&other, kv_store_view_version(second), kv_slice(NULL, 0));
   do {
      entry = kv_cursor_next(&one);
      again = kv_cursor_next(&other);
      REQUIRE(!entry == !again);
      REQUIRE(!entry || (kv_slice_compare(kv_entry_key(entry), kv_entry_key(again)) == 0 &&
                         kv_slice_compare(kv_entry_value(entry), kv_entry_value(again)) == 0 &&
                         kv_entry_version(entry) == kv_entry_version(again) &&
                         kv_entry_expires_at(entry) == kv_entry_expires_at(again)));
   } while (entry);
   kv_store_view_destroy(first);
   kv_store_view_destroy(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct fuzz_input input = {data, size};
   struct kv_backup_content content, again;
   uint64_t choices = fuzz_take(&input, 1);
   uint8_t *file = malloc(input.size + BACKUP_FOOTER_SIZE);
   REQUIRE(file);
   if (input.size > 0)
      memcpy(file, input.data, input.size);
   size_t file_size = choices & RIGHT_CHECKSUMS ? repair(file, input.size, choices) : input.size;
   fuzz_write_file("backup", file, file_size);
   free(file);

   struct kv_store *store = load("backup", &content);
   if (store) {
      write_again(store, &content);
      struct kv_store *second = load("again", &again);
      REQUIRE(second && content.sequence == again.sequence && content.bytes == again.bytes);
      require_same(store, second);
      kv_backup_content_deinit(&again);
      kv_store_destroy(second);
      kv_store_destroy(store);
   }
   kv_backup_content_deinit(&content);
   return 0;
}
