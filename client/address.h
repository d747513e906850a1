/*
 * The addresses of servers as a user gives them: HOST:PORT or unix:PATH, or several separated by
 * commas.
 *
 * Pure functions, any thread.
 */
#ifndef CLIENT_ADDRESS_H
#define CLIENT_ADDRESS_H

#include "core/support/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Where the server listens by default. */
#define ADDRESS_DEFAULT "127.0.0.1:50051"

struct address {
   const char *text; /* as given */
   const char *host; /* without brackets; NULL for unix:PATH */
   const char *port; /* a number from 1 to 65535 */
   const char *path; /* of unix:PATH */
};

struct address_list {
   struct address *items;
   size_t count;
   char *storage;
};

/* Parses a list. KV_INVALID_ARGUMENT says which address is wrong, and how it should look; there is
 * nothing to deinit then. */
enum kv_code address_list_init(struct address_list *list, const char *text,
                               struct kv_status *status);
void address_list_deinit(struct address_list *list);

/* Whether a host, a number or a name, is this machine for certain: a loopback address, or
 * "localhost". */
bool address_is_loopback(const char *host);

#endif
