/*
 * What it means for the user when gRPC cannot connect. gRPC says it as a text alone; what is known
 * of that is told here by a few words in it, and by what the client was asked to do.
 *
 * Pure function, any thread.
 */
#ifndef CLIENT_TLS_FAILURE_H
#define CLIENT_TLS_FAILURE_H

#include "client/credentials.h"

/* What was wrong and what to do; NULL: nothing that has to do with TLS. `text` is gRPC's. */
const char *tls_failure_explain(const char *text, const struct credentials *credentials);

#endif
