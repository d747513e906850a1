/* The file VERSIONS. */
#include "core/datadir/data_directory_internal.h"

#include "core/support/size.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VERSIONS "VERSIONS"
#define TEXT_SIZE_MAX 256
#define FORMAT "format=1\nreserved=%" PRIu64 "\nloaded=%" PRIu64 "\nfirst=%" PRIu64 "\n"

static int format_text(const struct kv_versions_record *record, char text[TEXT_SIZE_MAX])
{
   int size =
       snprintf(text, TEXT_SIZE_MAX, FORMAT, record->reserved, record->loaded, record->first);
   kv_active_checksum(text, (size_t)size, text + size);
   return size + (int)KV_ACTIVE_CHECKSUM_SIZE;
}

static bool take_number(char **text, const char *name, uint64_t *number)
{
   const char *value = kv_active_take_line(text, name);
   return value && kv_number_parse(value, number);
}

/* Only the one spelling that a content has is accepted. Changes `text`. */
static bool parse(char text[TEXT_SIZE_MAX], ssize_t size, struct kv_versions_record *record)
{
   char whole[TEXT_SIZE_MAX], again[TEXT_SIZE_MAX], *rest = text;
   uint64_t format;
   memcpy(whole, text, TEXT_SIZE_MAX);
   return take_number(&rest, "format=", &format) &&
          take_number(&rest, "reserved=", &record->reserved) &&
          take_number(&rest, "loaded=", &record->loaded) &&
          take_number(&rest, "first=", &record->first) && format_text(record, again) == size &&
          memcmp(again, whole, (size_t)size) == 0;
}

enum kv_code kv_data_directory_read_versions(const struct kv_data_directory *directory,
                                             struct kv_versions_record *record,
                                             struct kv_status *status)
{
   char text[TEXT_SIZE_MAX] = "";
   *record = (struct kv_versions_record){0};
   int fd = kv_data_directory_open_file(directory, VERSIONS, O_RDONLY);
   if (fd < 0 && errno == ENOENT)
      return KV_OK;
   if (fd < 0)
      return kv_data_directory_fail(directory, errno, "open", VERSIONS, status);
   ssize_t size = kv_data_directory_read_file(fd, text, sizeof text - 1);
   int error = errno;
   close(fd);
   if (size < 0)
      return kv_data_directory_fail(directory, error, "read", VERSIONS, status);
   if (parse(text, size, record))
      return KV_OK;
   return kv_fail(status, KV_DATA_LOSS,
                  "%s/" VERSIONS
                  ", which says up to where versions of keys may have been given out, "
                  "is damaged or has another format than 1",
                  directory->path);
}

enum kv_code kv_data_directory_write_versions(const struct kv_data_directory *directory,
                                              const struct kv_versions_record *record,
                                              struct kv_status *status)
{
   char text[TEXT_SIZE_MAX];
   const int size = format_text(record, text);
   enum kv_code code = kv_data_directory_write_temporary(directory, KV_VERSIONS_TEMPORARY, text,
                                                         (size_t)size, status);
   if (code != KV_OK)
      return code;
   if (renameat(directory->fd, KV_VERSIONS_TEMPORARY, directory->fd, VERSIONS) != 0) {
      code = kv_data_directory_fail(directory, errno, "put in place", VERSIONS, status);
      unlinkat(directory->fd, KV_VERSIONS_TEMPORARY, 0);
      return code;
   }
   return kv_data_directory_sync(directory, status);
}
