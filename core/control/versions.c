#include "core/control/versions.h"

#include "core/support/log.h"

#include <inttypes.h>

/* Reserved at a time: some ten seconds of writes at full speed, and few enough to lose as many with
 * every crash for years on end. */
#define STEP ((uint64_t)1 << 24)
/* Until it is tried again where the disk has failed. */
#define RETRY_AFTER ((uint64_t)1 << 16)

enum kv_code kv_versions_begin(struct kv_versions *versions, struct kv_data_directory *directory,
                               struct kv_versions_start *start, struct kv_status *status)
{
   *versions = (struct kv_versions){.directory = directory};
   struct kv_versions_record *record = &versions->record;
   enum kv_code code = kv_data_directory_read_versions(directory, record, status);
   if (code == KV_DATA_LOSS) {
      kv_log_event(KV_LOG_WARNING, "%s", status->text);
      *record = (struct kv_versions_record){.reserved = start->loaded + STEP};
   } else if (code != KV_OK) {
      return code;
   }
   start->known = record->first > start->loaded && record->loaded == start->loaded ? record->first
                                                                                   : start->loaded;
   /* One above what no change can have had: whoever has seen the one before has lost nothing. */
   start->first = start->known + 1 < record->reserved ? record->reserved + 1 : start->known;
   if (start->first > start->known)
      kv_log_event(KV_LOG_INFO,
                   "versions go on above %" PRIu64 ": changes after %" PRIu64
                   " may have been made before the start, and lost",
                   start->first, start->known);
   *record = (struct kv_versions_record){start->first + STEP, start->loaded, start->first};
   return kv_data_directory_write_versions(directory, record, status);
}

uint64_t kv_versions_reserve(void *context, uint64_t sequence)
{
   struct kv_versions *versions = context;
   struct kv_versions_record record = versions->record;
   struct kv_status status;
   if (sequence < record.reserved)
      return record.reserved - 1;
   record.reserved = sequence + STEP;
   if (kv_data_directory_write_versions(versions->directory, &record, &status) == KV_OK) {
      versions->failing = false;
      versions->record = record;
      return record.reserved - 1;
   }
   if (!versions->failing)
      kv_log_event(KV_LOG_ERROR,
                   "%s; if a crash loses changes now, their versions may be given out once more",
                   status.text);
   versions->failing = true;
   return sequence + RETRY_AFTER;
}

enum kv_code kv_versions_end(struct kv_versions *versions, struct kv_store *store,
                             struct kv_status *status)
{
   struct kv_store_view *view = kv_store_view_create(store);
   if (!view)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a view of the data");
   versions->record.reserved = kv_version_sequence(kv_store_view_version(view)) + 1;
   kv_store_view_destroy(view);
   return kv_data_directory_write_versions(versions->directory, &versions->record, status);
}
