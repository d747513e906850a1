/*
 * Says who holds an address, for the text of an error: "held by process 4711 (kvstore-server)".
 *
 * Reads /proc. Never fails: an owner that cannot be seen (another user's or another container's
 * process) is described as such. Any thread.
 */
#ifndef KV_PORT_OWNER_H
#define KV_PORT_OWNER_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#define KV_PORT_OWNER_TEXT_SIZE 96

/* Whose TCP socket listens on `address` (AF_INET or AF_INET6), or on one that excludes it. */
void kv_port_owner_of_address(const struct sockaddr *address, char text[KV_PORT_OWNER_TEXT_SIZE]);
/* Who serves the Unix socket that `fd` is connected to. */
void kv_port_owner_of_peer(int fd, char text[KV_PORT_OWNER_TEXT_SIZE]);

#endif
