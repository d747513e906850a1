/*
 * A connection, as far as the account and the look at the open calls need it. An engine embeds it
 * in its own.
 *
 * Threads: the worker's, but for kv_connection_peer.
 */
#ifndef KV_RPC_CONNECTION_H
#define KV_RPC_CONNECTION_H

#include "core/rpc/account.h"
#include "core/rpc/rpc.h"

#include <stdatomic.h>

struct kv_connection {
   struct kv_share *share;
   atomic_int fd;   /* only to ask the system about it; -1: none; any thread */
   uint64_t number; /* for kv_call_connection */
   struct kv_rpc_identity identity;
   void *note; /* see kv_call_set_peer_note */
   void (*release_note)(void *note);
   unsigned look;  /* number of the last look (stall.h) */
   unsigned still; /* looks in a row at which it had not moved */
   uint64_t given; /* turn.given when a slow call of it was begun or went on */
   uint64_t taken; /* by the client, in bytes, when it moved the last time */
};

/* At how many looks in a row, this one included, the client had taken nothing that counts. */
unsigned kv_connection_still(struct kv_connection *connection, unsigned look);
/* Asks the system who is at the other end of a Unix socket. */
void kv_connection_identify(struct kv_connection *connection);
/* Releases the note before, if there is one. */
void kv_connection_set_note(struct kv_connection *connection, void *note,
                            void (*release)(void *note));
/* As kv_call_network. Any thread. */
uint64_t kv_connection_network(const struct kv_connection *connection);
/* As kv_call_peer. Any thread. */
void kv_connection_peer(const struct kv_connection *connection, char text[KV_RPC_PEER_SIZE]);

#endif
