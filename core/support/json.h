/* Text as a JSON string. Threads: any. */
#ifndef KV_JSON_H
#define KV_JSON_H

#include <stdio.h>

/* Writes `text`, UTF-8, in quotes, with what must be escaped escaped. */
void kv_json_print_string(FILE *file, const char *text);

#endif
