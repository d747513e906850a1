/*
 * A gRPC channel to a kvstore server, as all client programs open it: with TLS if the credentials
 * have it, a connection of its own, no limit on replies, no proxy. Any thread.
 */
#ifndef CLIENT_CHANNEL_H
#define CLIENT_CHANNEL_H

#include "client/credentials.h"

#include <grpc/grpc.h>

#define CHANNEL_MORE_MAX 8

/* Before everything else of gRPC's; its own log stays silent, unless GRPC_VERBOSITY is set. */
void channel_begin(void);

/* `address` is what gRPC connects to, HOST:PORT or unix:PATH; a Unix socket is always plain. `host`
 * is the name that the server's certificate must have where the credentials say nothing of it
 * (NULL: that of the address). `more` are up to CHANNEL_MORE_MAX further arguments. It connects
 * when it is first used or watched. The caller destroys it. */
grpc_channel *channel_create(const char *address, const struct credentials *credentials,
                             const char *host, const grpc_arg *more, size_t count);

/* Why a channel that has failed cannot connect, as gRPC says it: makes a call on it, which fails at
 * once. Leaves the text as it was when there is nothing to say. The queue is empty before and
 * after. */
#define CHANNEL_TEXT_SIZE ((size_t)400)
void channel_ask_why(grpc_channel *channel, grpc_completion_queue *queue,
                     char text[CHANNEL_TEXT_SIZE]);

#endif
