/*
 * gRPC's own log, forwarded to the server's. gRPC reports some faults of clients only there, such
 * as a header that cannot be read, so that a client can cause a line with each of its calls. Of
 * each kind (a place in gRPC's code) few lines are written in a minute; the others are counted.
 *
 * gRPC has one log in a process, and so has this one state.
 *
 * Threads: any.
 */
#ifndef KV_RPC_GRPC_LOG_H
#define KV_RPC_GRPC_LOG_H

#include <stdbool.h>

/* From now on gRPC's lines go to the server's log. */
void kv_grpc_log_begin(void);
/* Whether a client has named an encoding that gRPC does not know. Only its log says so. */
bool kv_grpc_log_saw_unknown_encoding(void);

#endif
