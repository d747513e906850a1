/*
 * Requests from bytes of the input: header fields, right and wrong ones, and messages. A message
 * begins with a script, which says what the service does with it (http2_service.h).
 */
#ifndef FUZZ_HTTP2_MESSAGE_H
#define FUZZ_HTTP2_MESSAGE_H

#include "tests/fuzz/support.h"

#include <nghttp2/nghttp2.h>

#define MESSAGE_SCRIPT_SIZE 4
#define MESSAGE_FRAMED_MAX ((size_t)160 * 1024)
#define MESSAGE_FIELDS_MAX 40

struct message_fields {
   nghttp2_nv items[MESSAGE_FIELDS_MAX];
   size_t count;
   char text[8];
};

/* Those of a call; `wrong`: perhaps not as HTTP has them. */
void message_fields(struct fuzz_input *input, bool wrong, struct message_fields *fields);
/* A message with its prefix; returns its size. */
size_t message_make(struct fuzz_input *input, uint8_t to[MESSAGE_FRAMED_MAX]);
/* Before the first one. */
void message_init(void);

#endif
