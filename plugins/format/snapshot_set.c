#include "plugins/format/snapshot_set.h"

#include "plugins/format/file.h"
#include "plugins/format/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".snapshot"
#define TEMPORARY_SUFFIX ".tmp"
#define SEQUENCE_DIGITS 20
#define NAME_SIZE 40
#define PATH_SIZE 4096

struct format_snapshot_set {
   const kvs_host *host;
   size_t kept;
   char directory[PATH_SIZE - NAME_SIZE];
   uint64_t *sequences; /* ascending */
   size_t count, capacity;
};

static void name_of(uint64_t sequence, char name[NAME_SIZE])
{
   snprintf(name, NAME_SIZE, "%0*" PRIu64 SUFFIX, SEQUENCE_DIGITS, sequence);
}

static void path_of(const struct format_snapshot_set *set, uint64_t sequence, char path[PATH_SIZE])
{
   char name[NAME_SIZE];
   name_of(sequence, name);
   snprintf(path, PATH_SIZE, "%s/%s", set->directory, name);
}

static void warn(const struct format_snapshot_set *set, const char *text)
{
   set->host->log(set->host, KVS_LOG_WARNING, text);
}

/* ---- What is there ---- */

static bool make_room(struct format_snapshot_set *set)
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
   char expected[NAME_SIZE];
   *sequence = strtoull(name, NULL, 10);
   name_of(*sequence, expected);
   return strcmp(name, expected) == 0;
}

static int take_entry(struct format_snapshot_set *set, const char *name, kvs_error *error)
{
   uint64_t sequence;
   size_t length = strlen(name);
   const size_t suffix = strlen(TEMPORARY_SUFFIX);
   if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
      return KVS_OK;
   if (length > suffix && strcmp(name + length - suffix, TEMPORARY_SUFFIX) == 0) {
      char path[PATH_SIZE + 256];
      snprintf(path, sizeof path, "%s/%s", set->directory, name);
      return unlink(path) == 0 ? KVS_OK : format_fail_errno(error, errno, "cannot remove %s", path);
   }
   if (!parse_name(name, &sequence)) {
      char text[PATH_SIZE + 256];
      snprintf(text, sizeof text, "%s/%s is no snapshot's name and is left alone", set->directory,
               name);
      warn(set, text);
      return KVS_OK;
   }
   if (!make_room(set))
      return format_fail(error, KVS_NO_SPACE, "no memory for the list of snapshots");
   set->sequences[set->count++] = sequence;
   return KVS_OK;
}

static int compare_sequences(const void *left, const void *right)
{
   uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
   return (a > b) - (a < b);
}

static int list_directory(struct format_snapshot_set *set, kvs_error *error)
{
   DIR *directory = opendir(set->directory);
   if (!directory)
      return format_fail_errno(error, errno, "cannot read %s", set->directory);
   int code = KVS_OK;
   while (code == KVS_OK) {
      errno = 0;
      const struct dirent *entry = readdir(directory);
      if (entry)
         code = take_entry(set, entry->d_name, error);
      else if (errno != 0)
         code = format_fail_errno(error, errno, "cannot read %s", set->directory);
      else
         break;
   }
   closedir(directory);
   if (set->count > 1)
      qsort(set->sequences, set->count, sizeof *set->sequences, compare_sequences);
   return code;
}

int format_snapshot_set_create(const kvs_host *host, size_t kept, struct format_snapshot_set **set,
                               kvs_error *error)
{
   struct format_snapshot_set *created = calloc(1, sizeof *created);
   if (!created)
      return format_fail(error, KVS_NO_SPACE, "no memory for the snapshots");
   created->host = host;
   created->kept = kept;
   int length =
       snprintf(created->directory, sizeof created->directory, "%s/snapshots", host->directory);
   int code = KVS_OK;
   if ((size_t)length >= sizeof created->directory)
      code = format_fail(error, KVS_INVALID, "the path %s is too long", host->directory);
   if (code == KVS_OK)
      code = format_make_directory(created->directory, error);
   if (code == KVS_OK)
      code = list_directory(created, error);
   if (code != KVS_OK) {
      format_snapshot_set_destroy(created);
      return code;
   }
   *set = created;
   return KVS_OK;
}

void format_snapshot_set_destroy(struct format_snapshot_set *set)
{
   free(set->sequences);
   free(set);
}

uint64_t format_snapshot_set_newest(const struct format_snapshot_set *set)
{
   return set->count > 0 ? set->sequences[set->count - 1] : 0;
}

uint64_t format_snapshot_set_oldest(const struct format_snapshot_set *set)
{
   return set->count > 0 ? set->sequences[0] : 0;
}

/* ---- Loading ---- */

/* Loads one. What lies behind it must not have been handed on when it proves damaged, so it is
 * checked as a whole first wherever there is another to go back to. */
static int load_one(const struct format_snapshot_set *set, size_t index, kvs_error *error)
{
   char path[PATH_SIZE];
   path_of(set, set->sequences[index], path);
   int code = KVS_OK;
   if (index > 0)
      code = format_snapshot_read(set->host, path, set->sequences[index], true, error);
   if (code == KVS_OK)
      code = format_snapshot_read(set->host, path, set->sequences[index], false, error);
   return code;
}

int format_snapshot_set_load(struct format_snapshot_set *set, struct format_snapshot_found *found,
                             kvs_error *error)
{
   *found = (struct format_snapshot_found){.newest_sequence = format_snapshot_set_newest(set)};
   for (size_t i = set->count; i > 0; i--) {
      int code = load_one(set, i - 1, error);
      if (code == KVS_OK) {
         found->loaded = true;
         found->sequence = set->sequences[i - 1];
         return KVS_OK;
      }
      if (code != KVS_CORRUPT || i == 1)
         return code;
      warn(set, error->text);
   }
   return KVS_OK;
}

int format_snapshot_set_load_newest(struct format_snapshot_set *set,
                                    struct format_snapshot_found *found, kvs_error *error)
{
   *found = (struct format_snapshot_found){.newest_sequence = format_snapshot_set_newest(set)};
   if (set->count == 0)
      return KVS_OK;
   char path[PATH_SIZE];
   path_of(set, found->newest_sequence, path);
   int code = format_snapshot_read(set->host, path, found->newest_sequence, false, error);
   if (code == KVS_OK) {
      found->loaded = true;
      found->sequence = found->newest_sequence;
   } else if (code == KVS_CORRUPT && set->count > 1) {
      char older[NAME_SIZE];
      name_of(set->sequences[set->count - 2], older);
      size_t length = strlen(error->text);
      snprintf(error->text + length, sizeof error->text - length,
               ", or move it away to start from %s and lose what came after that", older);
   }
   return code;
}

/* ---- Writing ---- */

static void tell_saved(const kvs_host *host, uint64_t sequence)
{
   if (host->size >= offsetof(kvs_host, saved) + sizeof host->saved)
      host->saved(host, sequence);
}

/* An old snapshot that cannot be removed is tried again after the next one. */
static void remove_oldest(struct format_snapshot_set *set)
{
   while (set->count > set->kept) {
      char path[PATH_SIZE], text[PATH_SIZE + 64];
      path_of(set, set->sequences[0], path);
      if (unlink(path) != 0 && errno != ENOENT) {
         snprintf(text, sizeof text, "cannot remove %s: %s", path, strerror(errno));
         warn(set, text);
         return;
      }
      set->count--;
      memmove(set->sequences, set->sequences + 1, set->count * sizeof *set->sequences);
   }
}

int format_snapshot_set_write(struct format_snapshot_set *set, const kvs_tick *tick,
                              kvs_error *error)
{
   if (!make_room(set))
      return format_fail(error, KVS_NO_SPACE, "no memory for the list of snapshots");
   char name[NAME_SIZE], temporary[NAME_SIZE + sizeof TEMPORARY_SUFFIX], path[PATH_SIZE + 16];
   name_of(tick->view_sequence, name);
   snprintf(temporary, sizeof temporary, "%s" TEMPORARY_SUFFIX, name);
   snprintf(path, sizeof path, "%s/%s", set->directory, temporary);
   int code = format_snapshot_write(set->host, tick, path, error);
   if (code != KVS_OK)
      return code;
   code = format_rename_durably(set->directory, temporary, name, error);
   if (code != KVS_OK) {
      unlink(path); /* gone already when only the directory could not be synced */
      return code;
   }
   if (format_snapshot_set_newest(set) != tick->view_sequence || set->count == 0)
      set->sequences[set->count++] = tick->view_sequence;
   tell_saved(set->host, tick->view_sequence);
   remove_oldest(set);
   return KVS_OK;
}
