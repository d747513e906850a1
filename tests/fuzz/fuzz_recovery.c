/*
 * A log of one to three segments, recovered. Whatever the outcome, no byte is lost: a file is
 * unchanged, or was cut where only zeroes followed, or where what followed has been kept in another
 * file. What is accepted comes back in order, and is the same when recovered again.
 *
 * Input: a byte of choices, the number of segments, snapshot sequence (2), required sequence (2);
 * for each segment but the last its size (2) and bytes, then the last one's bytes.
 */
#include "storage/recovery.h"
#include "tests/fuzz/log_image.h"
#include "tests/fuzz/support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RIGHT_CHECKSUMS = 1, SNAPSHOT_LOADED = 2 };
#define SEGMENTS_MAX 3

struct image {
   uint8_t *bytes;
   size_t size;
};

static void name_of(size_t number, const char *ending, char name[FUZZ_PATH_SIZE])
{
   snprintf(name, FUZZ_PATH_SIZE, "log/%010zu%s", number, ending);
}

static void build_log(struct fuzz_input *input, size_t count, bool right_checksums,
                      struct image *images)
{
   struct log_image_end ends[SEGMENTS_MAX];
   fuzz_empty_directory("log");
   for (size_t i = 0; i < count; i++) {
      size_t size = i + 1 < count ? (size_t)fuzz_take(input, 2) : input->size;
      kvs_bytes bytes = fuzz_take_bytes(input, size);
      images[i] = (struct image){(uint8_t *)fuzz_text(bytes), bytes.size};
      if (right_checksums)
         log_image_repair(images[i].bytes, images[i].size, i + 1, i > 0 ? &ends[i - 1] : NULL,
                          &ends[i]);
      char name[FUZZ_PATH_SIZE];
      name_of(i + 1, ".log", name);
      fuzz_write_file(name, images[i].bytes, images[i].size);
   }
}

static bool exists(const char *name)
{
   char path[FUZZ_PATH_SIZE];
   struct stat info;
   return lstat(fuzz_path(name, path), &info) == 0;
}

/* The newest may have been cut: what was removed were zeroes, or is kept. */
static void check_cut(const struct image *image, size_t number, size_t left)
{
   char ending[64], name[FUZZ_PATH_SIZE];
   size_t kept = 0;
   uint8_t *torn = NULL;
   snprintf(ending, sizeof ending, "-%zu.torn", left);
   name_of(number, ending, name);
   if (exists(name))
      torn = fuzz_read_file(name, &kept);
   REQUIRE(kept <= image->size - left);
   REQUIRE(kept == 0 || memcmp(torn, image->bytes + left, kept) == 0);
   for (size_t i = left + kept; i < image->size; i++)
      REQUIRE(image->bytes[i] == 0);
   free(torn);
}

static void check_files(const struct image *images, size_t count, int code)
{
   for (size_t i = 0; i < count; i++) {
      char name[FUZZ_PATH_SIZE];
      size_t size;
      name_of(i + 1, ".log", name);
      uint8_t *now = fuzz_read_file(name, &size);
      REQUIRE(size <= images[i].size);
      REQUIRE(memcmp(now, images[i].bytes, size) == 0);
      if (size < images[i].size) {
         REQUIRE(i + 1 == count && code != KVS_INVALID);
         check_cut(&images[i], i + 1, size);
      }
      free(now);
   }
}

static int recover(const struct storage_snapshot_found *base, struct fuzz_host *host,
                   struct storage_recovered *recovered)
{
   char directory[FUZZ_PATH_SIZE];
   kvs_error error = {.size = sizeof error};
   fuzz_host_init(host);
   struct storage_folder folder;
   REQUIRE(storage_folder_open(fuzz_path("log", directory), &folder, &error) == KVS_OK);
   int code = storage_recovery_read(&host->host, &folder, base, false, recovered, &error);
   if (code == KVS_OK)
      code = storage_recovery_settle(&host->host, &folder, recovered, &error);
   storage_folder_close(&folder);
   REQUIRE(code == KVS_OK || code == KVS_CORRUPT || code == KVS_INVALID);
   if (code != KVS_OK) {
      REQUIRE(strstr(error.text, "log") != NULL);
      REQUIRE(strstr(error.text, "offset") || strstr(error.text, "sequence"));
   }
   return code;
}

static void check_records(const struct storage_snapshot_found *base, const struct fuzz_host *host,
                          const struct storage_recovered *recovered)
{
   uint64_t previous = 0;
   for (size_t i = 0; i < host->count; i++) {
      REQUIRE(host->records[i].sequence > previous);
      previous = host->records[i].sequence;
   }
   if (host->count > 0) {
      REQUIRE(previous > base->sequence && previous == recovered->last_sequence);
      REQUIRE(host->records[host->count - 1].flags == 0);
   }
   REQUIRE(recovered->last_sequence >= base->newest_sequence ||
           base->sequence >= base->newest_sequence);
}

static void check_again(const struct storage_snapshot_found *base, const struct fuzz_host *first,
                        const struct storage_recovered *recovered)
{
   struct fuzz_host host;
   struct storage_recovered again;
   REQUIRE(recover(base, &host, &again) == KVS_OK);
   REQUIRE(fuzz_same_records(first, &host));
   REQUIRE(again.count == recovered->count && again.last_sequence == recovered->last_sequence);
   REQUIRE(again.bytes == recovered->bytes);
   REQUIRE(again.newest_link.end == recovered->newest_link.end);
   REQUIRE(again.newest_link.chain == recovered->newest_link.chain);
   free(again.segments);
   fuzz_host_deinit(&host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct fuzz_input input = {data, size};
   struct image images[SEGMENTS_MAX];
   struct fuzz_host host;
   struct storage_recovered recovered;
   uint64_t choices = fuzz_take(&input, 1);
   size_t count = 1 + (size_t)fuzz_take(&input, 1) % SEGMENTS_MAX;
   struct storage_snapshot_found base = {.loaded = choices & SNAPSHOT_LOADED};
   base.sequence = base.loaded ? fuzz_take(&input, 2) : 0;
   base.newest_sequence = base.loaded ? fuzz_take(&input, 2) : 0;
   build_log(&input, count, choices & RIGHT_CHECKSUMS, images);
   int code = recover(&base, &host, &recovered);
   check_files(images, count, code);
   if (code == KVS_OK) {
      check_records(&base, &host, &recovered);
      check_again(&base, &host, &recovered);
      free(recovered.segments);
   }
   fuzz_host_deinit(&host);
   for (size_t i = 0; i < count; i++)
      free(images[i].bytes);
   return 0;
}
