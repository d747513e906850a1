/*
 * A gRPC channel to a kvstore server, as every program of the client's side opens it: without
 * encryption, a connection of its own, no limit on replies, no proxy. Any thread.
 */
#ifndef CLIENT_CHANNEL_H
#define CLIENT_CHANNEL_H

#include <grpc/grpc.h>

#define CHANNEL_MORE_MAX 8

/* `address` is HOST:PORT or unix:PATH; `count` further arguments, at most CHANNEL_MORE_MAX, are
 * added. Connects when it is first used or watched. The caller destroys it. */
grpc_channel *channel_create(const char *address, const grpc_arg *more, size_t count);

#endif
