/* Where this installation of the server has its files, wherever it was put. Any thread. */
#ifndef KV_INSTALLATION_H
#define KV_INSTALLATION_H

#include <limits.h>

/* The directory of the installed plug-ins: it lies beside that of the program, so that a tree that
 * was installed at another prefix than it was built for, or was moved, works. Where there is none,
 * the one that the build was told. `path` may hold it. */
const char *kv_installation_plugin_dir(char path[PATH_MAX]);

#endif
