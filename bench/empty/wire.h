/*
 * A server that answers each call with an empty message and does nothing else: on each library that
 * can carry calls, the fastest that a server on it can be.
 *
 * Promises
 *  - It looks at no request's content, so that what it takes is the library's and the kernel's.
 *  - Its addresses are those of core/net/address.h for `http2`, and gRPC's own for `grpc`.
 *
 * Threads: start and stop on one thread; it serves on threads of its own, WORKERS of them.
 */
#ifndef BENCH_EMPTY_WIRE_H
#define BENCH_EMPTY_WIRE_H

struct empty_server; /* each wire has its own */

struct empty_wire {
   const char *name;
   /* NULL after a line on standard error. *port is the one taken, 0 for a Unix socket. */
   struct empty_server *(*start)(const char *address, unsigned workers, int *port);
   /* Ends all connections, and frees it. */
   void (*stop)(struct empty_server *server);
};

extern const struct empty_wire empty_grpc, empty_http2;

#endif
