/*
 * Reads the fields of a protobuf message in place. Pure functions, any thread.
 */
#ifndef BENCH_FIELDS_H
#define BENCH_FIELDS_H

#include "core/support/slice.h"

#include <stdint.h>

struct field {
   uint64_t number;
   uint64_t integer;        /* of a varint */
   struct kv_slice content; /* of a field with a length */
};

struct field_reader {
   const uint8_t *at, *end;
   bool broken; /* the message is malformed */
};

struct field_reader field_reader_of(struct kv_slice message);
/* False at the end, or when the message is malformed. */
bool field_read(struct field_reader *reader, struct field *field);

#endif
