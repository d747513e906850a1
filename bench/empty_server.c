/*
 * kvstore-empty-server [--wire grpc|http2] [ADDR] [WORKERS]
 *
 * Answers calls with an empty message, directly on the library that carries them (gRPC's C core, or
 * nghttp2): the ceilings for benchmarks of the real server on each. Prints its port; runs until
 * SIGINT or SIGTERM. Default: grpc, 127.0.0.1:0, 2 workers.
 */
#include "bench/empty/wire.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS_MAX 64

static const struct empty_wire *wire_named(const char *name)
{
   static const struct empty_wire *const wires[] = {&empty_grpc, &empty_http2};
   for (size_t i = 0; i < sizeof wires / sizeof wires[0]; i++)
      if (strcmp(wires[i]->name, name) == 0)
         return wires[i];
   return NULL;
}

static int refuse_usage(void)
{
   fprintf(stderr, "usage: kvstore-empty-server [--wire grpc|http2] [ADDR] [WORKERS, 1 to %d]\n",
           WORKERS_MAX);
   return 2;
}

/* The threads that are started later inherit what is blocked here. */
static void block_signals(sigset_t *signals)
{
   sigemptyset(signals);
   sigaddset(signals, SIGINT);
   sigaddset(signals, SIGTERM);
   pthread_sigmask(SIG_BLOCK, signals, NULL);
}

int main(int argc, char **argv)
{
   static const struct option flags[] = {{"wire", required_argument, NULL, 'w'}, {0}};
   const struct empty_wire *wire = &empty_grpc;
   for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
      wire = flag == 'w' ? wire_named(optarg) : NULL;
      if (!wire)
         return refuse_usage();
   }
   const char *address = argc > optind ? argv[optind] : "127.0.0.1:0";
   unsigned long workers = argc > optind + 1 ? strtoul(argv[optind + 1], NULL, 10) : 2;
   if (argc > optind + 2 || workers < 1 || workers > WORKERS_MAX)
      return refuse_usage();

   sigset_t signals;
   int port, signal_number;
   block_signals(&signals);
   struct empty_server *server = wire->start(address, (unsigned)workers, &port);
   if (!server)
      return 1;
   printf("%d\n", port);
   fflush(stdout);
   sigwait(&signals, &signal_number);
   wire->stop(server);
   return 0;
}
