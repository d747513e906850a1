/*
 * Segment files made by a fuzzer: corrects their checksums, so that the code behind the checks is
 * reached.
 */
#ifndef FUZZ_LOG_IMAGE_H
#define FUZZ_LOG_IMAGE_H

#include <stddef.h>
#include <stdint.h>

/* What a segment's successor says about it. */
struct log_image_end {
   uint64_t last_sequence;
   uint64_t offset;
   uint32_t chain;
};

/* Makes `image` a segment `number` of FUZZ_STORE_ID: magic, version, identity and all checksums, of
 * the header and of every record from the first on that fits. `previous` (may be NULL) goes into
 * the link. *end becomes where its records end; may be NULL. */
void log_image_repair(uint8_t *image, size_t size, uint64_t number,
                      const struct log_image_end *previous, struct log_image_end *end);

#endif
