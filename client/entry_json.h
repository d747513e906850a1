/*
 * Entries as JSON, for programs: an object a line, with the names of the API. Values may be any
 * bytes, which JSON cannot say: they are in base64, as protobuf's JSON has them.
 *
 * The caller checks the stream for errors.
 */
#ifndef CLIENT_ENTRY_JSON_H
#define CLIENT_ENTRY_JSON_H

#include "core/support/slice.h"

#include <kvstore/v1/key_value.pb-c.h>
#include <stdbool.h>
#include <stdio.h>

/* A line with version, key (which the entry need not have), expireTimeMs (0: never) and, if asked
 * for, value. Of a value that was left out for its size only that: omittedValueSize. */
void entry_json_line(FILE *out, struct kv_slice key, const Kvstore__V1__Entry *entry,
                     bool with_value);
/* A line of a watch: with the kind of the change, and what was there before if the event has it:
 * its version and, if values are asked for, its value. */
void entry_json_event(FILE *out, const char *kind, const Kvstore__V1__Event *event,
                      bool with_value);

#endif
