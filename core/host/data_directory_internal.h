/* What the files behind data_directory.h share. */
#ifndef KV_DATA_DIRECTORY_INTERNAL_H
#define KV_DATA_DIRECTORY_INTERNAL_H

#include "core/host/active_text.h"
#include "core/host/data_directory.h"

struct kv_data_directory {
   char *path; /* real path */
   int fd, lock_fd;
   uint8_t store_id[KV_STORE_ID_SIZE];
   bool fresh; /* there has been no ACTIVE yet */
   bool active_in_doubt;
};

/* Makes names created, renamed or removed in the directory durable. */
enum kv_code kv_data_directory_sync(const struct kv_data_directory *directory,
                                    struct kv_status *status);
/* openat with O_CLOEXEC that goes on when it is interrupted; -1 with errno. */
int kv_data_directory_open_at(int directory_fd, const char *name, int flags);
/* Opens a file in the directory to be written, with mode 0600 whatever the umask; -1 with errno. */
int kv_data_directory_open_file(const struct kv_data_directory *directory, const char *name,
                                int flags);
/* False with errno. */
bool kv_data_directory_write_file(int fd, const char *data, size_t size);
/* Creates a directory with mode 0700 whatever the umask; *created is false when it was there. */
enum kv_code kv_data_directory_make(const char *path, bool *created, struct kv_status *status);

/* generation.c: the generations that exist, in no order. The caller frees found->numbers, also
 * after a failure. */
struct kv_generations {
   uint64_t *numbers;
   size_t count;
};
enum kv_code kv_data_directory_find_generations(const struct kv_data_directory *directory,
                                                struct kv_generations *found,
                                                struct kv_status *status);

/* active.c: makes the marker STARTING durable. */
enum kv_code kv_data_directory_mark_starting(const struct kv_data_directory *directory,
                                             struct kv_status *status);

#endif
