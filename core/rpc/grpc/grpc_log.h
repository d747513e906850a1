/*
 * gRPC's own log, as lines of the server's. What nobody else hears of is written there, such as a
 * header that cannot be read, and so a client can have a line written for each of its calls. So of
 * each kind (a place in gRPC's code) few lines are written, and the others are counted.
 *
 * gRPC has one log in a process; what this keeps about it is the process's, too.
 *
 * Threads: any.
 */
#ifndef KV_RPC_GRPC_LOG_H
#define KV_RPC_GRPC_LOG_H

#include <stdbool.h>

/* From now on gRPC's lines go to the server's log. */
void kv_grpc_log_begin(void);
/* Whether a client has named an encoding that gRPC does not know. Only this log tells of it. */
bool kv_grpc_log_saw_unknown_encoding(void);

#endif
