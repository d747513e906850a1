/*
 * interop_server --wire ENGINE [CERTIFICATE KEY]
 *
 * Serves grpc.testing.TestService (test_service.h) on that engine of core/rpc, on a free port of
 * loopback, which it prints; with TLS where it is given the files for it. SIGTERM and SIGINT stop
 * it as they stop the real server: it waits for the calls in flight, at most GRACE_MS.
 */
#include "core/net/tls.h"
#include "tests/interop/test_service.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define WORKERS 2
#define REQUEST_MAX ((size_t)16 << 20)
#define MEMORY_MAX ((size_t)1 << 30)
#define READER_TIMEOUT_MS 30000
#define GRACE_MS 30000

static int fail(const struct kv_status *status)
{
   fprintf(stderr, "interop_server: %s\n", status->text);
   return 1;
}

static int serve(struct kv_rpc *rpc, const sigset_t *signals)
{
   struct kv_status status;
   int port, number;
   if (kv_rpc_listen(rpc, "127.0.0.1:0", &port, &status) != KV_OK ||
       kv_rpc_start(rpc, &status) != KV_OK)
      return fail(&status);
   printf("%d\n", port);
   fflush(stdout);
   sigwait(signals, &number);
   kv_rpc_stop(rpc, GRACE_MS);
   return 0;
}

static int serve_on(const char *wire, struct kv_tls *tls, const sigset_t *signals)
{
   const struct kv_rpc_options options = {.wire = wire,
                                          .workers = WORKERS,
                                          .receive_message_max = REQUEST_MAX,
                                          .memory_max = MEMORY_MAX,
                                          .reader_timeout_ms = READER_TIMEOUT_MS,
                                          .tls = tls};
   struct kv_status status;
   struct kv_rpc *rpc =
       kv_rpc_create(&options, test_service_methods, TEST_SERVICE_METHODS, &status);
   if (!rpc)
      return fail(&status);
   int code = serve(rpc, signals);
   kv_rpc_destroy(rpc);
   return code;
}

static int serve_with_tls(const char *wire, char **files, const sigset_t *signals)
{
   const struct kv_tls_options options = {.certificate = files[0], .key = files[1]};
   struct kv_status status;
   struct kv_tls *tls = kv_tls_create(&options, &status);
   if (!tls)
      return fail(&status);
   int code = serve_on(wire, tls, signals);
   kv_tls_destroy(tls);
   return code;
}

int main(int argc, char **argv)
{
   if ((argc != 3 && argc != 5) || strcmp(argv[1], "--wire") != 0) {
      fprintf(stderr, "usage: interop_server --wire ENGINE [CERTIFICATE KEY]\n");
      return 2;
   }
   sigset_t signals;
   sigemptyset(&signals);
   sigaddset(&signals, SIGINT);
   sigaddset(&signals, SIGTERM);
   pthread_sigmask(SIG_BLOCK, &signals, NULL);
   return argc == 5 ? serve_with_tls(argv[2], argv + 3, &signals)
                    : serve_on(argv[2], NULL, &signals);
}
