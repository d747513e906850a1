/*
 * The connections that an HTTP server has: at most KV_HTTP_CONNECTIONS_MAX, each for at most
 * KV_HTTP_LIFE_MS.
 *
 * libmicrohttpd 0.9.75 has a limit of its own, but is stuck for good where it is reached, and none
 * on a connection's life. It must not be given more than what has a place here.
 *
 * Threads: any; the socket that is given up must still be open.
 */
#ifndef KV_HTTP_PLACES_H
#define KV_HTTP_PLACES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define KV_HTTP_CONNECTIONS_MAX 32
/* A page takes far less, but for who reads it byte by byte. */
#define KV_HTTP_LIFE_MS 30000

struct kv_http_place {
   int fd;      /* -1: free */
   ino_t inode; /* of the socket */
   uint64_t since_ms;
};

struct kv_http_places {
   pthread_mutex_t lock; /* for what follows */
   struct kv_http_place places[KV_HTTP_CONNECTIONS_MAX];
};

void kv_http_places_init(struct kv_http_places *places);
void kv_http_places_deinit(struct kv_http_places *places);

/* False: there is none left. */
bool kv_http_places_take(struct kv_http_places *places, int fd);
/* The socket is about to be closed. */
void kv_http_places_give_up(struct kv_http_places *places, int fd);
/* Shuts down those that are too old. Frees the places of sockets that were closed unheard. */
void kv_http_places_look(struct kv_http_places *places);

#endif
