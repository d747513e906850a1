#include "core/rpc/engine.h"

#include <stdio.h>
#include <string.h>

/* Those that the server was built with; the first one is the default. */
static const struct kv_engine *const engines[] = {
    &kv_engine_http2,
    &kv_engine_grpc,
};
#define ENGINE_COUNT (sizeof engines / sizeof engines[0])

const struct kv_engine *kv_engine_find(const char *name, struct kv_status *status)
{
   char names[KV_STATUS_TEXT_SIZE] = "";
   size_t used = 0;
   for (size_t i = 0; i < ENGINE_COUNT; i++) {
      if (!name || strcmp(engines[i]->name, name) == 0)
         return engines[i];
      used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "",
                               engines[i]->name);
   }
   kv_fail(status, KV_INVALID_ARGUMENT, "there is no engine \"%s\" for the wire; there is: %s",
           name, names);
   return NULL;
}
