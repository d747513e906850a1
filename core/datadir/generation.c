/* The directories of the generations: gen-000001 and so on. */
#include "core/datadir/data_directory_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_FORMAT "gen-%06" PRIu64
/* Of directories in a generation's; no plug-in has as many. */
#define DEPTH_MAX 32

void kv_generation_name(uint64_t generation, char name[KV_GENERATION_NAME_SIZE])
{
   snprintf(name, KV_GENERATION_NAME_SIZE, NAME_FORMAT, generation);
}

/* Only the spelling that the server writes counts as a generation. */
static bool parse_name(const char *name, uint64_t *number)
{
   char again[KV_GENERATION_NAME_SIZE];
   if (strncmp(name, "gen-", strlen("gen-")) != 0)
      return false;
   *number = strtoull(name + strlen("gen-"), NULL, 10);
   if (*number == 0 || *number > KV_GENERATION_MAX)
      return false;
   kv_generation_name(*number, again);
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

static int compare_numbers(const void *a, const void *b)
{
   uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
   return (left > right) - (left < right);
}

enum kv_code kv_data_directory_find_generations(const struct kv_data_directory *directory,
                                                struct kv_generations *found,
                                                struct kv_status *status)
{
   *found = (struct kv_generations){0};
   DIR *entries = kv_data_directory_list(directory->fd, ".");
   if (!entries)
      return kv_fail_errno(status, errno, "cannot list the data directory %s", directory->path);
   enum kv_code code = read_names(directory, entries, found, status);
   closedir(entries);
   if (found->count > 1)
      qsort(found->numbers, found->count, sizeof *found->numbers, compare_numbers);
   return code;
}

void kv_data_directory_generation_path(const struct kv_data_directory *directory,
                                       uint64_t generation, char *path)
{
   snprintf(path, KV_GENERATION_PATH_SIZE, "%s/" NAME_FORMAT, directory->path, generation);
}

/* *made: whether the directory exists now, whatever is returned. */
static enum kv_code make_directory(const struct kv_data_directory *directory, const char *name,
                                   bool *made, struct kv_status *status)
{
   *made = mkdirat(directory->fd, name, 0700) == 0;
   if (!*made && errno == EEXIST)
      return kv_fail(status, KV_ALREADY_EXISTS,
                     "%s/%s exists already; keep other programs out of the data directory",
                     directory->path, name);
   if (!*made)
      return kv_data_directory_fail(directory, errno, "create the directory", name, status);
   int fd = kv_data_directory_open_at(directory->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
   bool set = fd >= 0 && fchmod(fd, 0700) == 0; /* whatever the umask and the directory's mode */
   int error = errno;
   if (fd >= 0)
      close(fd);
   if (!set)
      return kv_data_directory_fail(directory, error, "set the mode of", name, status);
   return kv_data_directory_sync(directory, status);
}

enum kv_code kv_data_directory_create_generation(struct kv_data_directory *directory,
                                                 uint64_t above, uint64_t *generation,
                                                 struct kv_status *status)
{
   struct kv_generations existing;
   enum kv_code code = kv_data_directory_check_hold(directory, status);
   if (code != KV_OK)
      return code;
   code = kv_data_directory_find_generations(directory, &existing, status);
   for (size_t i = 0; i < existing.count; i++)
      if (existing.numbers[i] > above)
         above = existing.numbers[i];
   free(existing.numbers);
   if (code == KV_OK && directory->fresh)
      code = kv_data_directory_mark_starting(directory, status);
   if (code != KV_OK)
      return code;

   char name[KV_GENERATION_NAME_SIZE];
   bool made;
   kv_generation_name(above + 1, name);
   code = make_directory(directory, name, &made, status);
   if (code == KV_OK)
      *generation = above + 1;
   else if (made)
      (void)unlinkat(directory->fd, name, AT_REMOVEDIR); /* or every attempt would leave one */
   return code;
}

/* ---- Removal ---- */

static bool is_dot(const char *name)
{
   return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool remove_all(int parent_fd, const char *name, unsigned depth);

/* Returns false with errno. */
static bool remove_content(int parent_fd, const char *name, unsigned depth)
{
   if (depth == DEPTH_MAX) {
      errno = ELOOP;
      return false;
   }
   DIR *entries = kv_data_directory_list(parent_fd, name);
   const struct dirent *entry;
   bool removed = entries;
   while (removed && (errno = 0, entry = readdir(entries)))
      removed = is_dot(entry->d_name) || remove_all(dirfd(entries), entry->d_name, depth + 1);
   removed = removed && errno == 0;
   int error = errno;
   if (entries)
      closedir(entries);
   errno = error;
   return removed;
}

/* Removes a directory with everything in it, or a file of the name. Returns false with errno. */
static bool remove_all(int parent_fd, const char *name, unsigned depth)
{
   if (unlinkat(parent_fd, name, 0) == 0)
      return true;
   if (errno != EISDIR && errno != EPERM)
      return errno == ENOENT;
   return remove_content(parent_fd, name, depth) && unlinkat(parent_fd, name, AT_REMOVEDIR) == 0;
}

enum kv_code kv_data_directory_remove_generation(struct kv_data_directory *directory,
                                                 uint64_t generation, struct kv_status *status)
{
   char name[KV_GENERATION_NAME_SIZE];
   kv_generation_name(generation, name);
   if (!remove_all(directory->fd, name, 0))
      return kv_data_directory_fail(directory, errno, "remove", name, status);
   return kv_data_directory_sync(directory, status);
}

enum kv_code kv_generation_find_entry(const struct kv_data_directory *directory, const char *name,
                                      char entry[NAME_MAX + 1], struct kv_status *status)
{
   entry[0] = '\0';
   DIR *entries = kv_data_directory_list(directory->fd, name);
   const struct dirent *each;
   while (entries && entry[0] == '\0' && (errno = 0, each = readdir(entries)))
      if (!is_dot(each->d_name))
         snprintf(entry, NAME_MAX + 1, "%s", each->d_name);
   int error = entry[0] == '\0' ? errno : 0;
   if (entries)
      closedir(entries);
   return error == 0 ? KV_OK : kv_data_directory_fail(directory, error, "list", name, status);
}

enum kv_code kv_data_directory_check_empty(const struct kv_data_directory *directory,
                                           const struct kv_active *active, struct kv_status *status)
{
   char folder[KV_GENERATION_NAME_SIZE], name[NAME_MAX + 1];
   kv_generation_name(active->generation, folder);
   if (kv_generation_find_entry(directory, folder, name, status) != KV_OK)
      return status->code;
   if (name[0] == '\0')
      return KV_OK;
   return kv_fail(
       status, KV_DATA_LOSS,
       "%s/ACTIVE names mode \"%s\", which keeps no data, but there is %s/%s/%s; restore "
       "the ACTIVE that belongs to it, or move it away to go on without it",
       directory->path, active->plugin, directory->path, folder, name);
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

static enum kv_code remove_temporaries(const struct kv_data_directory *directory,
                                       struct kv_status *status)
{
   static const char *const names[] = {KV_ACTIVE_TEMPORARY, KV_VERSIONS_TEMPORARY,
                                       KV_UNNAMED_TEMPORARY};
   for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      if (unlinkat(directory->fd, names[i], 0) != 0 && errno != ENOENT)
         return kv_data_directory_fail(directory, errno, "remove", names[i], status);
   return KV_OK;
}

enum kv_code kv_data_directory_clean(struct kv_data_directory *directory,
                                     const struct kv_active *active, struct kv_status *status)
{
   enum kv_code code = remove_temporaries(directory, status);
   return code == KV_OK ? kv_data_directory_remove_stale(directory, active, status) : code;
}
