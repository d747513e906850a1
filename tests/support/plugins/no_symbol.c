/* A shared object that is not a plug-in. */
#include "kvstore/plugin.h"

KVS_EXPORT int kvstore_plugin_of_another_kind(void);

int kvstore_plugin_of_another_kind(void)
{
   return KVS_OK;
}
