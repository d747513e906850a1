/* The command line of kvstore-bench, parsed and checked. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "bench/load/driver.h"

#include <stdio.h>

#define OPTIONS_SERVICE "/kvstore.v1.KeyValueService/"
#define OPTIONS_CONNECTIONS_MAX 10000
#define OPTIONS_STREAMS_MAX 100000
#define OPTIONS_BATCH_MAX 100000
#define OPTIONS_TRANSACTION_MAX 10000
#define OPTIONS_WATCHERS_MAX 100000

struct options {
   struct driver_target target;
   struct driver_load load;
   bool fill, scan, by_requests, json, help, version;
   const char *csv; /* file name, or NULL */
   struct credentials_options credentials;
};

/* False after a message on standard error. Strings point into `argv` or the environment. */
bool options_read(struct options *options, int argc, char **argv);
void options_print_help(FILE *file);

#endif
