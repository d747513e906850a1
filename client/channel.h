/*
 * A gRPC channel to a kvstore server, as all client programs open it: without encryption, with a
 * connection of its own, no limit on replies, no proxy. Any thread.
 */
#ifndef CLIENT_CHANNEL_H
#define CLIENT_CHANNEL_H

#include <grpc/grpc.h>

#define CHANNEL_MORE_MAX 8

/* `address` is HOST:PORT or unix:PATH; `more` are up to CHANNEL_MORE_MAX further arguments. It
 * connects when it is first used or watched. The caller destroys it. */
grpc_channel *channel_create(const char *address, const grpc_arg *more, size_t count);

#endif
