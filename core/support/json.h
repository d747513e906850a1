/* Text as a JSON string. Threads: any. */
#ifndef KV_JSON_H
#define KV_JSON_H

#include "core/support/slice.h"

#include <stdio.h>

/* Writes the text, UTF-8, in quotes, with what must be escaped escaped. */
void kv_json_write(FILE *file, struct kv_slice text);
void kv_json_print_string(FILE *file, const char *text);

#endif
