/* The directories of the generations: gen-000001 and so on. */
#include "core/host/data_directory_internal.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_FORMAT "gen-%06" PRIu64
#define NAME_SIZE sizeof "gen-18446744073709551615"

/* Only the one spelling that the server writes counts as a generation. */
static bool parse_name(const char *name, uint64_t *number)
{
   char again[NAME_SIZE];
   if (sscanf(name, "gen-%" SCNu64, number) != 1 || *number == 0)
      return false;
   snprintf(again, sizeof again, NAME_FORMAT, *number);
   return strcmp(name, again) == 0;
}

static enum kv_code read_names(const struct kv_data_directory *directory, DIR *entries,
                               struct kv_generations *found, struct kv_status *status)
{
   for (;;) {
      errno = 0;
      const struct dirent *entry = readdir(entries);
      if (!entry && errno != 0)
         return kv_fail_errno(status, errno, "cannot list the data directory %s", directory->path);
      if (!entry)
         return KV_OK;
      uint64_t number;
      if (!parse_name(entry->d_name, &number))
         continue;
      uint64_t *grown = realloc(found->numbers, (found->count + 1) * sizeof *grown);
      if (!grown)
         return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the data directory");
      found->numbers = grown;
      found->numbers[found->count++] = number;
   }
}

enum kv_code kv_data_directory_find_generations(const struct kv_data_directory *directory,
                                                struct kv_generations *found,
                                                struct kv_status *status)
{
   *found = (struct kv_generations){0};
   DIR *entries = opendir(directory->path);
   if (!entries)
      return kv_fail_errno(status, errno, "cannot list the data directory %s", directory->path);
   enum kv_code code = read_names(directory, entries, found, status);
   closedir(entries);
   return code;
}

void kv_data_directory_generation_path(const struct kv_data_directory *directory,
                                       uint64_t generation, char *path)
{
   snprintf(path, KV_GENERATION_PATH_SIZE, "%s/" NAME_FORMAT, directory->path, generation);
}

enum kv_code kv_data_directory_create_generation(struct kv_data_directory *directory,
                                                 uint64_t above, uint64_t *generation,
                                                 struct kv_status *status)
{
   struct kv_generations existing;
   enum kv_code code = kv_data_directory_find_generations(directory, &existing, status);
   for (size_t i = 0; i < existing.count; i++)
      if (existing.numbers[i] > above)
         above = existing.numbers[i];
   free(existing.numbers);
   if (code == KV_OK && directory->fresh)
      code = kv_data_directory_mark_starting(directory, status);
   if (code != KV_OK)
      return code;

   char path[KV_GENERATION_PATH_SIZE];
   kv_data_directory_generation_path(directory, above + 1, path);
   bool created;
   code = kv_data_directory_make(path, &created, status);
   if (code == KV_OK && !created)
      code = kv_fail(status, KV_ALREADY_EXISTS,
                     "%s exists already; keep other programs out of the data directory", path);
   if (code == KV_OK) {
      code = kv_data_directory_sync(directory, status);
      if (code != KV_OK)
         (void)rmdir(path); /* or every attempt would leave one */
   }
   if (code == KV_OK)
      *generation = above + 1;
   return code;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *position)
{
   (void)info;
   (void)type;
   (void)position;
   return remove(path);
}

enum kv_code kv_data_directory_remove_generation(struct kv_data_directory *directory,
                                                 uint64_t generation, struct kv_status *status)
{
   enum { OPEN_DIRECTORIES_MAX = 16 };
   char path[KV_GENERATION_PATH_SIZE];
   kv_data_directory_generation_path(directory, generation, path);
   if (nftw(path, remove_entry, OPEN_DIRECTORIES_MAX, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
      return kv_fail_errno(status, errno, "cannot remove %s", path);
   return kv_data_directory_sync(directory, status);
}

enum kv_code kv_data_directory_remove_stale(struct kv_data_directory *directory,
                                            const struct kv_active *active,
                                            struct kv_status *status)
{
   struct kv_generations existing;
   enum kv_code code = kv_data_directory_find_generations(directory, &existing, status);
   for (size_t i = 0; code == KV_OK && i < existing.count; i++)
      if (existing.numbers[i] != active->generation)
         code = kv_data_directory_remove_generation(directory, existing.numbers[i], status);
   free(existing.numbers);
   return code;
}
