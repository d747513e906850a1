/*
 * One segment file, read from front to back and examined after its last record. Records lie one
 * after another within the file and encode to the bytes from which they were read; the tail is kept
 * byte for byte; nothing is written into the segment itself.
 *
 * Input: a byte of choices, the file.
 */
#include "storage/codec.h"
#include "storage/segment.h"
#include "tests/fuzz/log_image.h"
#include "tests/fuzz/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RIGHT_CHECKSUMS = 1, KEEP_TORN = 2 };
#define NAME "segment/0000000001.log"

static void check_record(const struct storage_segment_reader *reader, const uint8_t *file,
                         uint64_t start, struct storage_record_header record)
{
   size_t size = STORAGE_RECORD_HEADER_SIZE + record.payload_size;
   struct storage_record_place place = {reader->salt, start};
   REQUIRE(reader->offset == start + size);
   REQUIRE(reader->offset <= reader->size);
   uint8_t *again = malloc(size);
   REQUIRE(again);
   REQUIRE(storage_record_encode(again, place, &record, reader->effects, record.effect_count) ==
           size);
   REQUIRE(memcmp(again, file + start, size) == 0);
   free(again);
}

static void check_tail(struct storage_segment_reader *reader, const uint8_t *file, bool keep,
                       kvs_error *error)
{
   struct storage_segment_tail tail;
   REQUIRE(storage_segment_examine_tail(reader, &tail, error) == KVS_OK);
   REQUIRE(tail.data_end >= reader->offset && tail.data_end <= reader->size);
   for (uint64_t i = tail.data_end; !tail.was_durable && i < reader->size; i++)
      REQUIRE(file[i] == 0);
   if (tail.was_durable) {
      struct storage_record_place place = {reader->salt, tail.proof_offset};
      struct storage_record_header proof;
      REQUIRE(tail.proof_offset >= reader->offset);
      REQUIRE(tail.proof_offset + STORAGE_RECORD_HEADER_SIZE <= reader->size);
      REQUIRE(storage_record_decode_header(file + tail.proof_offset, place, &proof));
      REQUIRE(proof.durable_end > reader->offset);
   } else if (keep && tail.data_end > reader->offset) {
      char directory[FUZZ_PATH_SIZE], torn_name[STORAGE_TORN_NAME_SIZE], name[FUZZ_PATH_SIZE];
      struct storage_folder folder;
      REQUIRE(storage_folder_open(fuzz_path("segment", directory), &folder, error) == KVS_OK);
      REQUIRE(storage_segment_keep_torn(&folder, reader, &tail, torn_name, error) == KVS_OK);
      storage_folder_close(&folder);
      size_t kept;
      snprintf(name, sizeof name, "segment/%s", torn_name);
      uint8_t *torn = fuzz_read_file(name, &kept);
      REQUIRE(kept == tail.data_end - reader->offset);
      REQUIRE(memcmp(torn, file + reader->offset, kept) == 0);
      free(torn);
   }
}

static void read_segment(const uint8_t *file, size_t size, bool keep)
{
   struct storage_segment_reader reader;
   char directory[FUZZ_PATH_SIZE];
   kvs_error error = {.size = sizeof error};
   struct storage_folder folder;
   REQUIRE(storage_folder_open(fuzz_path("segment", directory), &folder, &error) == KVS_OK);
   int code =
       storage_segment_open(&folder, 1, O_RDONLY, (const uint8_t *)FUZZ_STORE_ID, &reader, &error);
   storage_folder_close(&folder);
   if (code != KVS_OK) {
      REQUIRE(code == KVS_CORRUPT || code == KVS_INVALID);
      REQUIRE(strstr(error.text, NAME) != NULL);
      return;
   }
   REQUIRE(size >= STORAGE_SEGMENT_HEADER_SIZE && reader.size == size);
   REQUIRE(storage_get32(file + 76) == storage_crc(0, file, 76));
   uint32_t chain = reader.chain;
   for (bool found = true; found;) {
      struct storage_record_header record;
      uint64_t start = reader.offset;
      REQUIRE(storage_segment_next(&reader, &record, &found, &error) == KVS_OK);
      if (found) {
         check_record(&reader, file, start, record);
         chain = storage_record_chain(chain, file + start);
      } else {
         REQUIRE(reader.offset == start);
      }
      REQUIRE(reader.chain == chain);
   }
   check_tail(&reader, file, keep, &error);
   storage_segment_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct fuzz_input input = {data, size};
   uint64_t choices = fuzz_take(&input, 1);
   uint8_t *file = (uint8_t *)fuzz_text((kvs_bytes){input.data, input.size});
   if (choices & RIGHT_CHECKSUMS)
      log_image_repair(file, input.size, 1, NULL, NULL);
   fuzz_empty_directory("segment");
   fuzz_write_file(NAME, file, input.size);
   read_segment(file, input.size, choices & KEEP_TORN);
   size_t after_size;
   uint8_t *after = fuzz_read_file(NAME, &after_size);
   REQUIRE(after_size == input.size && memcmp(after, file, after_size) == 0);
   free(after);
   free(file);
   return 0;
}
