/*
 * The service behind the connection that fuzz_http2.c tests: a method of each kind. What it does
 * with a request its first bytes say: answer in the handler, at the turn's end, later or never, on
 * the worker's thread or on another one.
 *
 * It holds the engine to rpc.h: a handler gets whole messages, as they were sent, each once; `sent`
 * follows what was sent; `closed` is called exactly once for each stream that had a request, and
 * nothing after it; pieces are released exactly once.
 */
#ifndef FUZZ_HTTP2_SERVICE_H
#define FUZZ_HTTP2_SERVICE_H

#include "core/rpc/http2/worker.h"
#include "tests/fuzz/support.h"

#define SERVICE_METHODS 7
extern const struct kv_rpc_method service_methods[SERVICE_METHODS];

/* Before each input. The workers have this thread, but for what is done on "another". */
void service_begin(struct kv_http2_worker *const *workers, unsigned count);
/* For kv_rpc_options. */
void service_turn_end(void *context, unsigned worker);
/* Goes on with one of the calls that wait for it, as the input has it. */
void service_go_on(struct fuzz_input *input);
/* Answers the unary calls that are left, and ends the streams. */
void service_answer_all(void);
/* No call is left, and nothing of any. */
void service_check_end(void);

#endif
