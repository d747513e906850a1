/*
 * What the peer says, from bytes of the input: by a client session of nghttp2, or frame by frame,
 * right ones and wrong ones.
 */
#ifndef FUZZ_HTTP2_SPEAKER_H
#define FUZZ_HTTP2_SPEAKER_H

#include "tests/fuzz/http2_peer.h"

/* The preface and the first SETTINGS. */
void speaker_begin(unsigned window);
/* Puts what the client session wants to say into frames. */
void speaker_flush(void);

/* ---- Both kinds of peer; `choices` are of the input ---- */

/* A new stream, with a message or without. */
void speaker_request(struct fuzz_input *input);
/* One more message of a stream. */
void speaker_message(struct fuzz_input *input);
/* Some of a stream's messages go into frames; the stream may end. */
void speaker_data(struct fuzz_input *input);
void speaker_reset(struct fuzz_input *input);
void speaker_ping(struct fuzz_input *input);
void speaker_settings(struct fuzz_input *input);
/* Gives windows back, or no more. */
void speaker_window(struct fuzz_input *input);
void speaker_go_away(struct fuzz_input *input);

/* ---- One that need not keep the rules: no effect on a client ---- */

void speaker_frame(struct fuzz_input *input);
void speaker_bytes(struct fuzz_input *input);
/* The same small frame many times. */
void speaker_flood(struct fuzz_input *input);

#endif
