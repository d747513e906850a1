/*
 * Addresses to listen on, as a user writes them ("host:port", "[v6]:port", "unix:PATH"), and as the
 * system has them.
 *
 * Pure functions, any thread. They never resolve a name.
 */
#ifndef KV_ADDRESS_H
#define KV_ADDRESS_H

#include "core/support/status.h"

#include <stdbool.h>
#include <sys/socket.h>

#define KV_ADDRESS_HOST_SIZE 256 /* DNS allows 253 bytes */
#define KV_ADDRESS_TEXT_SIZE 80  /* "[address%scope]:port" */

struct kv_address {
   const char *path;                /* of unix:PATH, within the text that was parsed; else NULL */
   char host[KV_ADDRESS_HOST_SIZE]; /* without brackets */
   unsigned port;
};

/* INVALID_ARGUMENT says how an address is written. */
enum kv_code kv_address_parse(const char *text, struct kv_address *address,
                              struct kv_status *status);

/* ---- Of the system: AF_INET or AF_INET6 ---- */

unsigned kv_address_port(const struct sockaddr *address);
void kv_address_set_port(struct sockaddr *address, unsigned port);
/* "address:port", the address as a number. */
void kv_address_print(const struct sockaddr *address, socklen_t size,
                      char text[KV_ADDRESS_TEXT_SIZE]);
/* Whether nobody but this machine reaches it: loopback, or (also) AF_UNIX. */
bool kv_address_is_local(const struct sockaddr *address);
/* Whether `a` takes the port of `b`: the same address, or all of its family. */
bool kv_address_covers(const struct sockaddr *a, const struct sockaddr *b);

#endif
