/*
 * What every engine holds its clients to, so that they meet the same limits whichever carries their
 * calls. docs/protocol.md tells clients of them.
 */
#ifndef KV_RPC_LIMITS_H
#define KV_RPC_LIMITS_H

/* Calls in flight on one connection; a client waits with those beyond. */
#define KV_RPC_CONCURRENT_STREAMS_MAX 1024

/* Bytes of the names and values of a call's headers: 16 KiB of values, and some for the names. */
#define KV_RPC_METADATA_MAX (17 * 1024)
/* What the server's SETTINGS say. More than is taken: some clients look at this number themselves
 * and report an internal error, where the server says what is wrong. */
#define KV_RPC_METADATA_ADVISED (2 * KV_RPC_METADATA_MAX)

/* Detects clients that vanished without a FIN: one of which nothing was heard for so long is
 * pinged, and given up when it does not answer. */
#define KV_RPC_KEEPALIVE_MS 120000
#define KV_RPC_KEEPALIVE_ANSWER_MS 20000
/* How often clients may send keepalive pings, with or without calls. None of gRPC's sends one more
 * often than every 10 s unless it is told to. */
#define KV_RPC_PING_INTERVAL_MIN_MS 1000

/* Where calls were in flight at a stop: how long their replies have to reach the clients before the
 * connections are closed. If requests are still unread then, the system resets the connections and
 * drops what is in flight to the client. */
#define KV_RPC_FAREWELL_MS 100
/* How long calls that follow others may take to end, once those have. */
#define KV_RPC_FOLLOWERS_MS 1000

#endif
