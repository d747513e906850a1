/*
 * The text of ACTIVE. Each content has a single form: what is read is written back byte for byte.
 *
 * Input: a byte of choices, the text.
 */
#include "core/datadir/active_text.h"
#include "tests/fuzz/support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { RIGHT_CHECKSUM = 1 };
#define CHECKSUM_LINE "checksum=%016" PRIx64 "\n"
#define CHECKSUM_LINE_SIZE 26

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct fuzz_input input = {data, size};
   uint64_t choices = fuzz_take(&input, 1);
   size_t text_size = input.size;
   char *text = malloc(text_size + CHECKSUM_LINE_SIZE + 1);
   REQUIRE(text);
   if (text_size > 0)
      memcpy(text, input.data, text_size);
   if (choices & RIGHT_CHECKSUM)
      text_size += (size_t)snprintf(text + text_size, CHECKSUM_LINE_SIZE + 1, CHECKSUM_LINE,
                                    (uint64_t)XXH3_64bits(text, text_size));
   text[text_size] = '\0';
   char *original = fuzz_text((kvs_bytes){text, text_size});

   struct kv_active active;
   struct kv_status status;
   uint8_t store_id[KV_STORE_ID_SIZE];
   if (kv_active_decode(text, text_size, &active, store_id, &status) == KV_OK) {
      char *again;
      size_t again_size;
      REQUIRE(active.generation > 0 && active.option_count <= KV_OPTION_COUNT_MAX);
      REQUIRE(kv_active_encode(&active, store_id, &again, &again_size, &status) == KV_OK);
      REQUIRE(again_size == text_size && memcmp(again, original, text_size) == 0);
      free(again);
      kv_active_deinit(&active);
   } else {
      REQUIRE(status.code == KV_DATA_LOSS && status.text[0] != '\0');
   }
   free(original);
   free(text);
   return 0;
}
