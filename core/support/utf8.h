/*
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * Threads: any.
 */
#ifndef KV_UTF8_H
#define KV_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define KV_UTF8_SIZE_MAX 4 /* of one character */

/* The size of the character that `text` begins with, and its code point; 0 when there is none. It
 * reads at most `size` bytes, and none behind one that cannot be part of the character: a NUL ends
 * it like the end of the text. */
size_t kv_utf8_decode(const void *text, size_t size, uint32_t *point);

/* The offset of the first byte that is not part of a character; `size` when all are. */
size_t kv_utf8_valid_size(const void *text, size_t size);

#endif
