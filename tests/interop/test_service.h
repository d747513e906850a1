/*
 * grpc.testing.TestService, against which gRPC's own interop clients test a server, as methods of
 * rpc.h: what an engine carries is tested by programs that do not know this project.
 *
 * Not served: intervals between the replies of a stream (there is no timer below), and compressed
 * replies. UnimplementedCall and UnimplementedService are not to be.
 *
 * Threads: as for the handlers of rpc.h. It has no state but that of its calls.
 */
#ifndef TESTS_INTEROP_TEST_SERVICE_H
#define TESTS_INTEROP_TEST_SERVICE_H

#include "core/rpc/rpc.h"

#define TEST_SERVICE_METHODS 7

extern const struct kv_rpc_method test_service_methods[TEST_SERVICE_METHODS];

#endif
