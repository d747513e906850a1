/*
 * The sockets that an acceptor listens on: one for each address of the system, as a name may stand
 * for several.
 *
 * Threads: one at a time.
 */
#ifndef KV_LISTENERS_H
#define KV_LISTENERS_H

#include "core/net/address.h"
#include "core/net/admission.h"

#include <netinet/in.h>
#include <sys/types.h>
#include <sys/un.h>

#define KV_LISTENERS_MAX 64

struct kv_listener {
   int fd;
   union {
      struct sockaddr any;
      struct sockaddr_in v4;
      struct sockaddr_in6 v6;
      struct sockaddr_un local;
   } address;
   /* Identify a Unix socket's file, so that nobody else's is removed in its place. */
   dev_t device;
   ino_t inode;
};

struct kv_listeners {
   struct kv_admission admission;
   struct kv_listener items[KV_LISTENERS_MAX];
   unsigned count;
};

/* Listens on the address `text`; does nothing where it is listened on already. Port 0 takes a free
 * one; *port (may be NULL) is the port taken. "systemd:N" is the socket N, from 0, that the service
 * manager handed over (sd_listen_fds(3)). */
enum kv_code kv_listeners_add(struct kv_listeners *listeners, const char *text, int *port,
                              struct kv_status *status);
/* Closes the sockets and removes their files. */
void kv_listeners_close(struct kv_listeners *listeners);

/* For kv_listeners_add. The file of the socket never lets in more than `mode` does. */
enum kv_code kv_listener_open_unix(struct kv_listener *listener, const char *path, mode_t mode,
                                   struct kv_status *status);
/* Unless the file has been replaced. */
void kv_listener_remove_file(const struct kv_listener *listener);

#endif
