/* Where this installation of the server has its files, wherever it was put. Any thread. */
#ifndef KV_INSTALLATION_H
#define KV_INSTALLATION_H

#include <limits.h>

/* The directory of the installed plug-ins. It is found beside that of the program, so that a tree
 * works that was moved, or installed under another prefix than it was built for. Where there is
 * none, it is the one that the build was given. `path` may hold it. */
const char *kv_installation_plugin_dir(char path[PATH_MAX]);

#endif
