#include "core/support/remove_tree.h"

#include <ftw.h>
#include <stdio.h>

#define OPEN_DIRECTORIES_MAX 16

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *position)
{
   (void)info, (void)type, (void)position;
   return remove(path);
}

bool kv_remove_tree(const char *path)
{
   return nftw(path, remove_entry, OPEN_DIRECTORIES_MAX, FTW_DEPTH | FTW_PHYS) == 0;
}
