#include "check/recover.h"

#include "check/stand_in.h"
#include "core/support/remove_tree.h"
#include "storage/folder.h"
#include "storage/key_check.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNFINISHED ".unfinished"

/* ---- Of which generation ------------------------------------------------------------------- */

/* Whether the generation holds data of the log or of snapshots. KV_FAILED_PRECONDITION if it is
 * encrypted: without ACTIVE nothing says where the key is. */
static enum kv_code find_data(const struct surveyed_generation *generation, bool *log, bool *any,
                              struct kv_status *status)
{
   *log = *any = false;
   for (size_t i = 0; i < generation->files.count; i++) {
      const struct checked_file *file = &generation->files.items[i];
      if (file->inner || file->kind == FILE_KEY_CHECK)
         return kv_fail(status, KV_FAILED_PRECONDITION,
                        "generation %llu is encrypted, and without a usable ACTIVE nothing says "
                        "where its key is; restore ACTIVE from a backup",
                        (unsigned long long)generation->number);
      *log |= file->area == AREA_LOG;
      *any |= file->area != AREA_OTHER;
   }
   return KV_OK;
}

/* Without a record: the one generation that holds files, in the mode that reads all of them. */
static enum kv_code guess_active(const struct survey *survey, struct kv_active *active,
                                 struct kv_status *status)
{
   size_t candidates = 0;
   bool any_log = false;
   for (size_t i = 0; i < survey->count; i++) {
      bool log, any;
      if (find_data(&survey->generations[i], &log, &any, status) != KV_OK)
         return status->code;
      if (any) {
         candidates++;
         any_log = log;
         active->generation = survey->generations[i].number;
      }
   }
   if (candidates != 1)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "without a usable ACTIVE, and with %zu generations that hold data, it is not "
                     "known which one is the store's; move all but one away, or restore ACTIVE "
                     "from a backup",
                     candidates);
   active->plugin = strdup(any_log ? "hybrid" : "snapshot");
   return active->plugin ? KV_OK : kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
}

/* ---- What is given up ---------------------------------------------------------------------- */

/* How many bytes the files hold from where reading for the prefix stopped. */
static uint64_t bytes_from(const struct checked_files *files, const char *path, uint64_t offset)
{
   uint64_t bytes = 0;
   for (size_t i = 0; i < files->count; i++) {
      const struct checked_file *file = &files->items[i];
      int order = strcmp(file->path, path);
      uint64_t from = order == 0 ? offset : 0;
      if (file->kind == FILE_SEGMENT && files_area(path) == AREA_LOG && order >= 0)
         bytes += file->data_end > from ? file->data_end - from : 0;
      else if (file->kind == FILE_SNAPSHOT && order == 0)
         bytes = file->bytes;
   }
   return bytes;
}

static const struct checked_files *files_of(const struct survey *survey, uint64_t number)
{
   static const struct checked_files none;
   for (size_t i = 0; i < survey->count; i++)
      if (survey->generations[i].number == number)
         return &survey->generations[i].files;
   return &none;
}

static enum kv_code sum_up(const struct survey *survey, struct recovery *recovery,
                           struct kv_status *status)
{
   const struct kv_load_items given_up = start_items(&recovery->start, KVS_LOAD_PASSED_OVER);
   const struct checked_files *files = files_of(survey, recovery->active.generation);
   if (given_up.count == 0)
      return KV_OK;
   recovery->given_up_bytes = calloc(given_up.count, sizeof *recovery->given_up_bytes);
   if (!recovery->given_up_bytes)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
   for (size_t i = 0; i < files->count; i++)
      if (files->items[i].sequence > recovery->known_sequence)
         recovery->known_sequence = files->items[i].sequence;
   for (size_t i = 0; i < given_up.count; i++) {
      const struct kv_load_item *item = &given_up.items[i];
      char path[PATH_MAX];
      snprintf(path, sizeof path, "%s%s", recovery->place.to_files, item->file);
      recovery->given_up_bytes[i] = bytes_from(files, path, item->offset);
      if (item->sequence > recovery->known_sequence)
         recovery->known_sequence = item->sequence;
   }
   return KV_OK;
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* Copies the check of the key if it is sound; a start can do without it. */
static enum kv_code copy_key_check(const char *from, const char *to, const uint8_t store_id[16],
                                   struct kv_status *status)
{
   kvs_error error = {.size = sizeof error};
   uint8_t file[STORAGE_KEY_CHECK_SIZE];
   bool found;
   if (storage_key_check_read(from, store_id, file, &found, &error) != KVS_OK || !found)
      return KV_OK;
   if (storage_key_check_write(to, file, &error) != KVS_OK)
      return kv_fail(status, KV_UNAVAILABLE, "%s", error.text);
   return KV_OK;
}

/* What is copied, and whose it is. */
struct copy {
   const struct recovery *recovery;
   struct kv_store *store;
   const uint8_t *store_id;
   char from[KV_GENERATION_PATH_SIZE]; /* the generation that is read */
};

static enum kv_code make_place(const struct place *place, const char *generation,
                               struct kv_status *status)
{
   if (!place->encrypted)
      return KV_OK;
   const kvs_host host = {.size = sizeof host, .directory = generation};
   kvs_error error = {.size = sizeof error};
   struct storage_folder folder;
   if (storage_folder_make(&host, STORAGE_INNER_DIRECTORY, &folder, &error) != KVS_OK)
      return kv_fail(status, KV_UNAVAILABLE, "%s", error.text);
   storage_folder_close(&folder);
   return KV_OK;
}

static enum kv_code write_generation(const struct copy *copy, const char *generation,
                                     struct kv_status *status)
{
   const struct place *place = &copy->recovery->place;
   char path[KV_GENERATION_PATH_SIZE];
   place_path(place, generation, path);
   if (make_place(place, generation, status) != KV_OK)
      return status->code;
   const kvs_plugin plugin = stand_in_writing(place->kept, place->name);
   const struct kv_instance_config config = {.plugin = &plugin, .directory = path};
   struct kv_instance *instance;
   enum kv_code code = stand_in_open(config, copy->store_id, &instance, status);
   if (code != KV_OK)
      return code;
   uint64_t sequence;
   code = kv_instance_load(instance, NULL, &sequence, status);
   struct kv_store_view *view = code == KV_OK ? kv_store_view_create(copy->store) : NULL;
   if (view) {
      code = kv_instance_tick(instance, KVS_TICK_CHECKPOINT, view, status);
      kv_store_view_destroy(view);
   } else if (code == KV_OK) {
      code = kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a view of the data");
   }
   kv_instance_close(instance);
   return code;
}

/* A start on the copy must reach the very state that was read from the original. */
static enum kv_code read_back(const struct copy *copy, const char *path, struct kv_status *status)
{
   const struct start *wanted = &copy->recovery->start;
   struct start again;
   enum kv_code code = start_try(path, &copy->recovery->place, copy->store_id, &again, status);
   if (code == KV_OK &&
       (again.outcome != START_REACHES || strcmp(again.digest, wanted->digest) != 0 ||
        strcmp(again.versions, wanted->versions) != 0 || again.sequence != wanted->sequence ||
        again.keys != wanted->keys))
      code = kv_fail(status, KV_DATA_LOSS, "the copy reads back differently: %s",
                     again.outcome == START_REFUSED ? again.refusal.text
                                                    : "the state is a different one");
   start_deinit(&again);
   return code;
}

static enum kv_code write_store(const struct copy *copy, const char *unfinished,
                                struct kv_status *status)
{
   const struct kv_active *active = &copy->recovery->active;
   const struct place *place = &copy->recovery->place;
   struct kv_data_directory *directory;
   struct kv_active none;
   bool found;
   uint64_t generation;
   enum kv_code code = kv_data_directory_open(unfinished, &directory, status);
   if (code != KV_OK)
      return code;
   code = kv_data_directory_read_active(directory, &none, &found, status);
   kv_data_directory_adopt_store_id(directory, copy->store_id);
   if (code == KV_OK)
      code = kv_data_directory_create_generation(directory, active->generation - 1, &generation,
                                                 status);
   char path[KV_GENERATION_PATH_SIZE];
   kv_data_directory_generation_path(directory, active->generation, path);
   /* `none` writes nothing, and starts empty whatever is there. */
   if (code == KV_OK && place->kept != KEPT_NOTHING)
      code = write_generation(copy, path, status);
   if (code == KV_OK && place->encrypted)
      code = copy_key_check(copy->from, path, copy->store_id, status);
   if (code == KV_OK)
      code = kv_data_directory_write_active(directory, active, status);
   if (code == KV_OK && place->kept != KEPT_NOTHING)
      code = read_back(copy, path, status);
   kv_data_directory_close(directory);
   return code;
}

static enum kv_code put_in_place(const char *unfinished, const char *output,
                                 struct kv_status *status)
{
   char parent[KV_GENERATION_PATH_SIZE];
   snprintf(parent, sizeof parent, "%s", output);
   if (renameat2(AT_FDCWD, unfinished, AT_FDCWD, output, RENAME_NOREPLACE) != 0)
      return kv_fail_errno(status, errno, "cannot rename %s to %s", unfinished, output);
   int fd = open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
   int error = fd >= 0 && fsync(fd) == 0 ? 0 : errno;
   if (fd >= 0)
      close(fd);
   return error == 0
              ? KV_OK
              : kv_fail_errno(status, error, "cannot sync the directory that %s is in", output);
}

static enum kv_code write_copy(const struct copy *copy, const char *output,
                               struct kv_status *status)
{
   char unfinished[KV_GENERATION_PATH_SIZE];
   struct stat info;
   if (snprintf(unfinished, sizeof unfinished, "%s" UNFINISHED, output) >= (int)sizeof unfinished)
      return kv_fail(status, KV_INVALID_ARGUMENT, "the path %s is too long", output);
   if (lstat(output, &info) == 0 || lstat(unfinished, &info) == 0)
      return kv_fail(status, KV_ALREADY_EXISTS,
                     "%s or %s exists already; give another path with --output", output,
                     unfinished);
   enum kv_code code = write_store(copy, unfinished, status);
   if (code == KV_OK)
      code = put_in_place(unfinished, output, status);
   if (code != KV_OK)
      (void)kv_remove_tree(unfinished);
   return code;
}

/* ---- The whole ----------------------------------------------------------------------------- */

static enum kv_code recover(struct copy *copy, const struct survey *survey, const char *output,
                            struct recovery *recovery, struct kv_status *status)
{
   struct start *start = &recovery->start;
   enum kv_code code =
       start_load(copy->from, &recovery->place, survey->store.id, true, copy->store, start, status);
   if (code == KV_OK && start->outcome == START_REFUSED) {
      *status = start->refusal;
      code = status->code;
   }
   if (code == KV_OK)
      code = sum_up(survey, recovery, status);
   return code == KV_OK ? write_copy(copy, output, status) : code;
}

enum kv_code recover_write(struct recovery *recovery, struct kv_store *store,
                           const uint8_t store_id[16], const char *output, struct kv_status *status)
{
   if (!start_describe(store, recovery->place.encrypted, &recovery->start))
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a checksum");
   const struct copy copy = {.recovery = recovery, .store = store, .store_id = store_id};
   return write_copy(&copy, output, status);
}

enum kv_code recover_prefix(const struct kv_data_directory *directory, const struct survey *survey,
                            const char *output, struct recovery *recovery, struct kv_status *status)
{
   *recovery = (struct recovery){.active = survey->active};
   if (!survey->recorded && guess_active(survey, &recovery->active, status) != KV_OK)
      return status->code;
   place_find(&recovery->active, &recovery->place);
   if (recovery->place.kept == KEPT_UNKNOWN)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "this program cannot read the files of plug-in %s; ask its author how to "
                     "recover them",
                     recovery->place.name);
   struct copy copy = {
       .recovery = recovery, .store = kv_store_create(), .store_id = survey->store.id};
   if (!copy.store)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the store");
   kv_data_directory_generation_path(directory, recovery->active.generation, copy.from);
   enum kv_code code = recover(&copy, survey, output, recovery, status);
   kv_store_destroy(copy.store);
   return code;
}

void recover_deinit(const struct survey *survey, struct recovery *recovery)
{
   if (!survey->recorded)
      kv_active_deinit(&recovery->active);
   start_deinit(&recovery->start);
   free(recovery->given_up_bytes);
}
