/*
 * A snapshot file. Checking and loading agree, checking hands nothing on, and what was loaded comes
 * back the same from a snapshot written of it.
 *
 * Input: a byte of choices, the file.
 */
#include "storage/codec.h"
#include "storage/snapshot.h"
#include "storage/snapshot_layout.h"
#include "tests/fuzz/support.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { RIGHT_CHECKSUMS = 1, RIGHT_FOOTER = 2, OWN_SEQUENCES = 4 };
#define SEQUENCE 77

static void repair_header(uint8_t *file, uint32_t version)
{
   memcpy(file, SNAPSHOT_MAGIC, SNAPSHOT_MAGIC_SIZE);
   storage_put32(file + 8, version);
   memcpy(file + 16, FUZZ_STORE_ID, 16);
   storage_put64(file + 32, SEQUENCE);
   storage_put32(file + 60, storage_crc(0, file, 60));
}

/* Corrects the checksums of all blocks; returns where the blocks end. */
static size_t repair_blocks(uint8_t *file, size_t size, uint64_t *records)
{
   size_t at = STORAGE_SNAPSHOT_HEADER_SIZE;
   *records = 0;
   while (size - at >= STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE) {
      uint8_t *block = file + at;
      uint64_t payload = storage_get64(block + 8);
      if (storage_get32(block) != SNAPSHOT_BLOCK_MAGIC ||
          payload > size - at - STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE)
         break;
      storage_put32(block + 16,
                    snapshot_payload_crc(block + STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE, payload));
      storage_put32(block + 20, snapshot_place_crc(block, 20, at));
      *records += storage_get32(block + 4);
      at += STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE + payload;
   }
   return at;
}

/* `file` has space for a footer after its `size` bytes. Returns the new size. */
static size_t repair(uint8_t *file, size_t size, uint64_t choices)
{
   if (size < STORAGE_SNAPSHOT_HEADER_SIZE)
      return size;
   uint64_t records;
   repair_header(file, choices & OWN_SEQUENCES ? SNAPSHOT_VERSION : SNAPSHOT_VERSION_PLAIN);
   size_t end = repair_blocks(file, size, &records);
   if (!(choices & RIGHT_FOOTER))
      return size;
   uint8_t *footer = file + end;
   memset(footer, 0, STORAGE_SNAPSHOT_FOOTER_SIZE);
   storage_put32(footer, SNAPSHOT_FOOTER_MAGIC);
   storage_put64(footer + 8, records);
   storage_put64(footer + 16, end);
   storage_put64(footer + 24, XXH3_64bits(file, end));
   storage_put32(footer + 36, snapshot_place_crc(footer, 36, end));
   return end + STORAGE_SNAPSHOT_FOOTER_SIZE;
}

static int read_snapshot(const char *name, bool check_only, struct fuzz_host *host)
{
   struct storage_folder folder;
   kvs_error error = {.size = sizeof error};
   fuzz_host_init(host);
   REQUIRE(storage_folder_open(fuzz_directory(), &folder, &error) == KVS_OK);
   int code = storage_snapshot_read(&host->host, &folder, name, SEQUENCE, check_only, &error);
   storage_folder_close(&folder);
   REQUIRE(code == KVS_OK || code == KVS_CORRUPT);
   if (code != KVS_OK)
      REQUIRE(strstr(error.text, name) != NULL);
   return code;
}

static void check_rewritten(struct fuzz_host *loaded)
{
   struct storage_folder folder;
   struct fuzz_host again;
   kvs_error error = {.size = sizeof error};
   kvs_tick tick = {.size = sizeof tick,
                    .view = (kvs_view *)(void *)loaded,
                    .view_sequence = SEQUENCE,
                    .view_count = loaded->count};
   REQUIRE(storage_folder_open(fuzz_directory(), &folder, &error) == KVS_OK);
   REQUIRE(storage_snapshot_write(&loaded->host, &tick, 0, NULL, &folder, "rewritten", &error) ==
           KVS_OK);
   storage_folder_close(&folder);
   REQUIRE(read_snapshot("rewritten", false, &again) == KVS_OK);
   REQUIRE(fuzz_same_records(loaded, &again));
   fuzz_host_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct fuzz_input input = {data, size};
   struct fuzz_host checked, loaded;
   uint64_t choices = fuzz_take(&input, 1);
   uint8_t *file = malloc(input.size + STORAGE_SNAPSHOT_FOOTER_SIZE);
   REQUIRE(file);
   if (input.size > 0)
      memcpy(file, input.data, input.size);
   size_t file_size = choices & RIGHT_CHECKSUMS ? repair(file, input.size, choices) : input.size;
   fuzz_write_file("snapshot", file, file_size);
   free(file);

   int code = read_snapshot("snapshot", true, &checked);
   REQUIRE(checked.count == 0);
   REQUIRE(read_snapshot("snapshot", false, &loaded) == code);
   if (code == KVS_OK) {
      for (size_t i = 0; i < loaded.count; i++) {
         const kvs_record *record = &loaded.records[i];
         REQUIRE(record->sequence > 0 && record->sequence <= SEQUENCE);
         REQUIRE(record->kind == KVS_SET && record->flags == 0);
         REQUIRE(record->key.size > 0);
      }
      check_rewritten(&loaded);
   }
   fuzz_host_deinit(&checked);
   fuzz_host_deinit(&loaded);
   return 0;
}
