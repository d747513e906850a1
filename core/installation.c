#include "core/installation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef KVSTORE_PLUGIN_DIR
#error "KVSTORE_PLUGIN_DIR must name the default plug-in directory"
#endif
#ifndef KVSTORE_PLUGIN_DIR_FROM_PROGRAM
#error "KVSTORE_PLUGIN_DIR_FROM_PROGRAM must name it from the program's directory; empty: nowhere"
#endif

const char *kv_installation_plugin_dir(char path[PATH_MAX])
{
   char program[PATH_MAX], beside[2 * PATH_MAX];
   ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
   char *slash = size > 0 ? memrchr(program, '/', (size_t)size) : NULL;
   if (!slash || !KVSTORE_PLUGIN_DIR_FROM_PROGRAM[0])
      return KVSTORE_PLUGIN_DIR;
   *slash = '\0';
   snprintf(beside, sizeof beside, "%s/%s", program, KVSTORE_PLUGIN_DIR_FROM_PROGRAM);
   return realpath(beside, path) ? path : KVSTORE_PLUGIN_DIR;
}
