/* The bytes of a message as gRPC hands it over. Any thread. */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include "core/support/slice.h"

#include <grpc/grpc.h>

/* Calls `use` with the bytes of the message, which stay valid until it returns, and returns what it
 * does; false when they cannot be had. */
bool message_read(grpc_byte_buffer *message, bool (*use)(void *context, struct kv_slice bytes),
                  void *context);

#endif
