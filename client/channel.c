#include "client/channel.h"

#include <grpc/grpc_security.h>
#include <string.h>

static grpc_arg integer(const char *key, int value)
{
   return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

grpc_channel *channel_create(const char *address, const grpc_arg *more, size_t count)
{
   /* A local subchannel pool: no back-off is inherited from an earlier channel to the address. A
    * web proxy is not for a store. */
   grpc_arg args[3 + CHANNEL_MORE_MAX] = {
       integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, -1),
       integer(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
       integer(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
   };
   if (count > 0)
      memcpy(args + 3, more, count * sizeof *more);
   grpc_channel_args list = {3 + count, args};
   grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
   grpc_channel *channel = grpc_channel_create(address, credentials, &list);
   grpc_channel_credentials_release(credentials);
   return channel;
}
