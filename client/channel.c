#include "client/channel.h"

#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long the call may take that asks why there is no connection. */
#define ASK_MS 50
/* Arguments of channel_create itself. */
#define OWN_MAX 8
/* Else a call to a server whose machine has gone without a word never ends. */
#define KEEPALIVE_MS 10000
#define KEEPALIVE_ANSWER_MS 10000

static grpc_arg integer(const char *key, int value)
{
   return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

static grpc_arg string(const char *key, const char *value)
{
   return (grpc_arg){.type = GRPC_ARG_STRING, .key = (char *)key, .value.string = (char *)value};
}

static grpc_channel_credentials *create_credentials(const struct credentials *credentials)
{
   grpc_ssl_pem_key_cert_pair pair = {credentials_key(credentials),
                                      credentials_certificate(credentials)};
   return grpc_ssl_credentials_create_ex(credentials_ca(credentials),
                                         pair.private_key ? &pair : NULL, NULL, NULL);
}

void channel_begin(void)
{
   setenv("GRPC_VERBOSITY", "NONE", 0);
   setenv("GRPC_DNS_RESOLVER", "native", 0); /* the system's own */
   grpc_init();
}

grpc_channel *channel_create(const char *address, const struct credentials *credentials,
                             const char *host, const grpc_arg *more, size_t count)
{
   const bool tls =
       credentials_use_tls(credentials) && strncmp(address, "unix:", strlen("unix:")) != 0;
   const char *name = credentials_server_name(credentials);
   /* A local subchannel pool: no back-off is inherited from an earlier channel to the address. A
    * web proxy is not for a store. */
   grpc_arg args[OWN_MAX + CHANNEL_MORE_MAX] = {
       integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, -1),
       integer(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
       integer(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
       integer(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS),
       integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_ANSWER_MS),
       integer(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0), /* as many as it takes */
   };
   size_t used = 6;
   if (tls && (name || host))
      args[used++] = string(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, name ? name : host);
   if (tls && name) /* gRPC compares what a call is sent to with the certificate, too */
      args[used++] = string(GRPC_ARG_DEFAULT_AUTHORITY, name);
   for (size_t i = 0; i < count; i++)
      if (!(tls && name && strcmp(more[i].key, GRPC_ARG_DEFAULT_AUTHORITY) == 0))
         args[used++] = more[i];
   grpc_channel_args list = {used, args};
   grpc_channel_credentials *made =
       tls ? create_credentials(credentials) : grpc_insecure_credentials_create();
   grpc_channel *channel = grpc_channel_create(address, made, &list);
   grpc_channel_credentials_release(made);
   return channel;
}

void channel_ask_why(grpc_channel *channel, grpc_completion_queue *queue,
                     char text[CHANNEL_TEXT_SIZE])
{
   const gpr_timespec until =
       gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ASK_MS, GPR_TIMESPAN));
   grpc_metadata_array trailers;
   grpc_metadata_array_init(&trailers);
   grpc_status_code code = GRPC_STATUS_UNKNOWN;
   grpc_slice details = grpc_empty_slice();
   grpc_call *call = grpc_channel_create_call(
       channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
       grpc_slice_from_static_string("/grpc.health.v1.Health/Check"), NULL, until, NULL);
   const grpc_op ops[] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                          {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                           .data.recv_status_on_client = {.trailing_metadata = &trailers,
                                                          .status = &code,
                                                          .status_details = &details}}};
   if (grpc_call_start_batch(call, ops, sizeof ops / sizeof *ops, NULL, NULL) != GRPC_CALL_OK)
      abort();
   grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
   char *said = grpc_slice_to_c_string(details);
   if (code == GRPC_STATUS_UNAVAILABLE)
      snprintf(text, CHANNEL_TEXT_SIZE, "%s", said);
   gpr_free(said);
   grpc_slice_unref(details);
   grpc_metadata_array_destroy(&trailers);
   grpc_call_unref(call);
}
