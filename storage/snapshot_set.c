#include "storage/snapshot_set.h"

#include "storage/file.h"
#include "storage/layout.h"
#include "storage/note.h"
#include "storage/reserve.h"
#include "storage/snapshot.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEQUENCE_DIGITS 20
/* Space is held for an eighth more than the next snapshot needs now, and for this: so that it need
 * not be enlarged at each tick, and a segment begun beside the snapshot finds space, too. */
#define SPACE_STEP ((uint64_t)256 << 10)

struct storage_snapshot_set {
   const kvs_host *host;
   struct storage_snapshot_settings settings; /* 0 kept: for reading alone */
   struct storage_folder folder;
   uint64_t *sequences; /* ascending */
   size_t count, capacity;
   bool sound; /* the following one is known to be */
   uint64_t sound_sequence, sound_bytes;
   struct storage_reserve next; /* space for the next one */
};

void storage_snapshot_name(uint64_t sequence, char name[STORAGE_SNAPSHOT_NAME_SIZE])
{
   snprintf(name, STORAGE_SNAPSHOT_NAME_SIZE, "%0*" PRIu64 STORAGE_SNAPSHOT_SUFFIX, SEQUENCE_DIGITS,
            sequence);
}

/* ---- What is there ---- */

static bool reserve_sequence(struct storage_snapshot_set *set)
{
   if (set->count < set->capacity)
      return true;
   size_t capacity = set->capacity ? set->capacity * 2 : 16;
   uint64_t *sequences = reallocarray(set->sequences, capacity, sizeof *sequences);
   if (!sequences)
      return false;
   set->sequences = sequences;
   set->capacity = capacity;
   return true;
}

static bool parse_name(const char *name, uint64_t *sequence)
{
   char expected[STORAGE_SNAPSHOT_NAME_SIZE];
   *sequence = strtoull(name, NULL, 10);
   storage_snapshot_name(*sequence, expected);
   return strcmp(name, expected) == 0;
}

static int take_entry(void *context, const char *name, kvs_error *error)
{
   struct storage_snapshot_set *set = context;
   uint64_t sequence;
   if (storage_ends_in(name, STORAGE_TEMPORARY_SUFFIX))
      return set->settings.kept == 0 ? KVS_OK : storage_remove(&set->folder, name, error);
   if (!parse_name(name, &sequence)) {
      storage_warn(set->host, "%s/%s is not the name of a snapshot and is left alone",
                   set->folder.path, name);
      return KVS_OK;
   }
   if (!reserve_sequence(set))
      return storage_fail(error, KVS_NO_SPACE, "no memory for the list of snapshots");
   set->sequences[set->count++] = sequence;
   return KVS_OK;
}

static int compare_sequences(const void *left, const void *right)
{
   uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
   return (a > b) - (a < b);
}

static int list_directory(struct storage_snapshot_set *set, kvs_error *error)
{
   int code = storage_folder_each(&set->folder, take_entry, set, error);
   if (set->count > 1)
      qsort(set->sequences, set->count, sizeof *set->sequences, compare_sequences);
   return code;
}

static int create(const kvs_host *host, const struct storage_snapshot_settings *settings,
                  struct storage_snapshot_set **set, kvs_error *error)
{
   struct storage_snapshot_set *created = calloc(1, sizeof *created);
   if (!created)
      return storage_fail(error, KVS_NO_SPACE, "no memory for the snapshots");
   created->host = host;
   created->settings = *settings;
   storage_reserve_init(&created->next);
   int code = settings->kept > 0
                  ? storage_folder_make(host, STORAGE_SNAPSHOT_DIRECTORY, &created->folder, error)
                  : storage_folder_find(host, STORAGE_SNAPSHOT_DIRECTORY, &created->folder, error);
   if (code == KVS_OK)
      code = list_directory(created, error);
   if (code != KVS_OK) {
      storage_snapshot_set_destroy(created);
      return code;
   }
   *set = created;
   return KVS_OK;
}

int storage_snapshot_set_create(const kvs_host *host,
                                const struct storage_snapshot_settings *settings,
                                struct storage_snapshot_set **set, kvs_error *error)
{
   assert(settings->kept > 0);
   return create(host, settings, set, error);
}

int storage_snapshot_set_open(const kvs_host *host, struct storage_snapshot_set **set,
                              kvs_error *error)
{
   const struct storage_snapshot_settings reading = {0};
   return create(host, &reading, set, error);
}

void storage_snapshot_set_destroy(struct storage_snapshot_set *set)
{
   storage_reserve_drop(&set->next);
   storage_folder_close(&set->folder);
   free(set->sequences);
   free(set);
}

uint64_t storage_snapshot_set_newest(const struct storage_snapshot_set *set)
{
   return set->count > 0 ? set->sequences[set->count - 1] : 0;
}

uint64_t storage_snapshot_set_oldest(const struct storage_snapshot_set *set)
{
   return set->count > 0 ? set->sequences[0] : 0;
}

uint64_t storage_snapshot_set_bytes(const struct storage_snapshot_set *set)
{
   return set->sound ? set->sound_bytes : 0;
}

int storage_snapshot_set_check(const struct storage_snapshot_set *set, kvs_error *error)
{
   char name[STORAGE_SNAPSHOT_NAME_SIZE];
   int code = storage_folder_check(&set->folder, error);
   if (code != KVS_OK || set->count == 0)
      return code;
   storage_snapshot_name(set->sequences[set->count - 1], name);
   return storage_folder_check_file(&set->folder, name, -1, error) == KVS_OK ? KVS_OK : KVS_CORRUPT;
}

/* ---- Loading ---- */

/* Loads one. With `check` it is checked as a whole first, so that nothing of it has been handed on
 * when it proves damaged and an older one is loaded instead. */
static int load_one(const struct storage_snapshot_set *set, size_t index, bool check,
                    kvs_error *error)
{
   char name[STORAGE_SNAPSHOT_NAME_SIZE];
   uint64_t sequence = set->sequences[index];
   storage_snapshot_name(sequence, name);
   int code = KVS_OK;
   if (check)
      code = storage_snapshot_read(set->host, &set->folder, name, sequence, true, error);
   if (code == KVS_OK)
      code = storage_snapshot_read(set->host, &set->folder, name, sequence, false, error);
   return code;
}

/* The snapshot at `sequence` was loaded or written. */
static void note_sound(struct storage_snapshot_set *set, uint64_t sequence)
{
   char name[STORAGE_SNAPSHOT_NAME_SIZE];
   storage_snapshot_name(sequence, name);
   set->sound = true;
   set->sound_sequence = sequence;
   set->sound_bytes = storage_folder_size_of(&set->folder, name);
}

static void pass_over(const struct storage_snapshot_set *set, size_t index, const kvs_error *error)
{
   char name[STORAGE_SNAPSHOT_NAME_SIZE], path[PATH_MAX];
   storage_snapshot_name(set->sequences[index], name);
   storage_folder_path(&set->folder, name, path);
   storage_warn(set->host, "%s", error->text);
   storage_note(set->host, (kvs_load_note){.kind = KVS_LOAD_PASSED_OVER,
                                           .file = path,
                                           .text = error->text,
                                           .sequence = set->sequences[index]});
}

/* Loads the newest sound one of those from `first` on. `prefix`: none has to be sound. */
static int load(struct storage_snapshot_set *set, size_t first, bool prefix,
                struct storage_snapshot_found *found, kvs_error *error)
{
   *found = (struct storage_snapshot_found){.newest_sequence = storage_snapshot_set_newest(set)};
   for (size_t i = set->count; i > first; i--) {
      bool last = i == first + 1 && !prefix;
      int code = load_one(set, i - 1, !last, error);
      if (code == KVS_OK) {
         found->loaded = true;
         found->sequence = set->sequences[i - 1];
         note_sound(set, found->sequence);
      }
      if (code != KVS_CORRUPT || last)
         return code;
      pass_over(set, i - 1, error);
   }
   return KVS_OK;
}

int storage_snapshot_set_load(struct storage_snapshot_set *set, bool prefix,
                              struct storage_snapshot_found *found, kvs_error *error)
{
   return storage_remedy(set->host, load(set, 0, prefix, found, error), error);
}

int storage_snapshot_set_load_newest(struct storage_snapshot_set *set,
                                     struct storage_snapshot_found *found, kvs_error *error)
{
   if (set->count == 0 && storage_resumed(set->host))
      return storage_fail(
          error, KVS_CORRUPT,
          "%s: all snapshots are missing (from offset 0 of the first); restore them "
          "from a backup",
          set->folder.path);
   int code = load(set, set->count > 0 ? set->count - 1 : 0, false, found, error);
   if (code == KVS_CORRUPT && set->count > 1) {
      char older[STORAGE_SNAPSHOT_NAME_SIZE];
      storage_snapshot_name(set->sequences[set->count - 2], older);
      size_t length = strlen(error->text);
      snprintf(error->text + length, sizeof error->text - length, "; the one before it is %s",
               older);
   }
   return storage_remedy(set->host, code, error);
}

/* ---- Writing ---- */

static bool remove_oldest(struct storage_snapshot_set *set)
{
   char name[STORAGE_SNAPSHOT_NAME_SIZE];
   kvs_error error = {.size = sizeof error};
   storage_snapshot_name(set->sequences[0], name);
   if (storage_remove(&set->folder, name, &error) != KVS_OK) {
      storage_warn(set->host, "%s", error.text);
      return false;
   }
   set->count--;
   memmove(set->sequences, set->sequences + 1, set->count * sizeof *set->sequences);
   return true;
}

bool storage_snapshot_set_drop_oldest(struct storage_snapshot_set *set)
{
   return set->sound && set->count > 1 && set->sequences[0] < set->sound_sequence &&
          remove_oldest(set);
}

int storage_snapshot_set_keep_space(struct storage_snapshot_set *set, const kvs_tick *tick,
                                    int64_t *missing, kvs_error *error)
{
   const uint64_t needed = storage_snapshot_size_limit(tick);
   int code = storage_reserve_keep(&set->next, &set->folder, needed,
                                   needed + needed / 8 + SPACE_STEP, error);
   *missing = set->next.unsupported ? INT64_MIN : (int64_t)(needed - set->next.size);
   return code;
}

static int write_one(struct storage_snapshot_set *set, const kvs_tick *tick, kvs_error *error)
{
   if (!reserve_sequence(set))
      return storage_fail(error, KVS_NO_SPACE, "no memory for the list of snapshots");
   char name[STORAGE_SNAPSHOT_NAME_SIZE],
       temporary[STORAGE_SNAPSHOT_NAME_SIZE + sizeof STORAGE_TEMPORARY_SUFFIX];
   int code = storage_folder_check(&set->folder, error);
   if (code != KVS_OK)
      return code;
   storage_snapshot_name(tick->view_sequence, name);
   snprintf(temporary, sizeof temporary, "%s" STORAGE_TEMPORARY_SUFFIX, name);
   code = storage_snapshot_write(set->host, tick, set->settings.rate, &set->next, &set->folder,
                                 temporary, error);
   if (code != KVS_OK)
      return code;
   code = storage_rename_durably(&set->folder, temporary, name, error);
   if (code != KVS_OK) {
      kvs_error ignored = {.size = sizeof ignored};
      (void)storage_remove(&set->folder, temporary, &ignored); /* unless only the sync failed */
      return code;
   }
   if (storage_snapshot_set_newest(set) != tick->view_sequence || set->count == 0)
      set->sequences[set->count++] = tick->view_sequence;
   note_sound(set, tick->view_sequence);
   return KVS_OK;
}

int storage_snapshot_set_write(struct storage_snapshot_set *set, const kvs_tick *tick,
                               kvs_error *error)
{
   int code = write_one(set, tick, error);
   if (code != KVS_OK)
      return code;
   if (set->host->size >= offsetof(kvs_host, saved) + sizeof set->host->saved)
      set->host->saved(set->host, tick->view_sequence);
   /* An old snapshot that cannot be removed is tried again after the next one. */
   while (set->count > set->settings.kept && remove_oldest(set)) {
   }
   return KVS_OK;
}

int storage_snapshot_set_begin(struct storage_snapshot_set *set, kvs_error *error)
{
   const kvs_tick nothing = {.size = sizeof nothing};
   return write_one(set, &nothing, error);
}
