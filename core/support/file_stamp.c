#include "core/support/file_stamp.h"

#include <string.h>

struct kv_file_stamp kv_file_stamp_take(const char *path)
{
   struct kv_file_stamp stamp;
   if (!path || stat(path, &stamp.info) != 0)
      memset(&stamp, 0, sizeof stamp);
   return stamp;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
   return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* A new owner or mode shows in the time of the change. */
bool kv_file_stamp_is_same(const struct kv_file_stamp *a, const struct kv_file_stamp *b)
{
   return a->info.st_dev == b->info.st_dev && a->info.st_ino == b->info.st_ino &&
          a->info.st_size == b->info.st_size && is_same_time(&a->info.st_mtim, &b->info.st_mtim) &&
          is_same_time(&a->info.st_ctim, &b->info.st_ctim);
}
