#include "check/recover.h"

#include "check/files.h"
#include "check/shown.h"
#include "check/stand_in.h"
#include "check/start.h"
#include "check/writing.h"
#include "storage/folder.h"
#include "storage/key_check.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNFINISHED ".unfinished"

/* ---- Of which generation ------------------------------------------------------------------- */

static size_t count_files(const json_t *generation, const char *folder)
{
   size_t index, count = 0;
   const json_t *file;
   json_array_foreach(json_object_get(generation, "files"), index, file) count +=
       strncmp(json_string_value(json_object_get(file, "file")), folder, strlen(folder)) == 0;
   return count;
}

/* Of these nobody can say where the key is. */
static enum kv_code refuse_encrypted(const struct survey *survey, struct kv_status *status)
{
   size_t index;
   const json_t *generation;
   json_array_foreach(json_object_get(survey->report, "generations"), index, generation)
   {
      if (count_files(generation, STORAGE_KEY_CHECK_NAME) +
              count_files(generation, STORAGE_INNER_FOLDER "/") >
          0)
         return kv_fail(status, KV_FAILED_PRECONDITION,
                        "without a usable ACTIVE there is no telling how generation %lld, which is "
                        "encrypted, is to be read; restore ACTIVE from a backup",
                        json_integer_value(json_object_get(generation, "generation")));
   }
   return KV_OK;
}

/* Without a record: the one generation that holds files, in the mode that reads all of them. */
static enum kv_code guess_active(const struct survey *survey, struct kv_active *active,
                                 struct kv_status *status)
{
   size_t index, candidates = 0;
   const json_t *generation;
   bool log = false;
   if (refuse_encrypted(survey, status) != KV_OK)
      return status->code;
   json_array_foreach(json_object_get(survey->report, "generations"), index, generation)
   {
      size_t segments = count_files(generation, "aof/");
      if (segments + count_files(generation, "snapshots/") == 0)
         continue;
      candidates++;
      log = segments > 0;
      active->generation = (uint64_t)json_integer_value(json_object_get(generation, "generation"));
   }
   if (candidates != 1)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "without a usable ACTIVE, and with %zu generations that hold data, nobody can "
                     "say which is the store's; move all but one away, or restore ACTIVE from a "
                     "backup",
                     candidates);
   active->plugin = strdup(log ? "hybrid" : "snapshot");
   return active->plugin ? KV_OK : kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
}

/* ---- What is given up ---------------------------------------------------------------------- */

static uint64_t number_of(const json_t *object, const char *name)
{
   return (uint64_t)json_integer_value(json_object_get(object, name));
}

static const json_t *files_of(const struct survey *survey, uint64_t number)
{
   size_t index;
   const json_t *generation;
   json_array_foreach(json_object_get(survey->report, "generations"), index,
                      generation) if (number_of(generation, "generation") ==
                                      number) return json_object_get(generation, "files");
   return NULL;
}

/* Reckons up what the files hold from where reading for the prefix stopped, and the highest
 * sequence that any file is known to reach. */
static void reckon(const json_t *files, json_t *item, uint64_t *known)
{
   size_t index;
   const json_t *file;
   const char *from = json_string_value(json_object_get(item, "file"));
   uint64_t bytes = 0;
   json_array_foreach(files, index, file)
   {
      const char *kind = json_string_value(json_object_get(file, "kind"));
      int order = strcmp(json_string_value(json_object_get(file, "file")), from);
      if (strcmp(kind, "segment") == 0 && strncmp(files_place(from), "aof/", 4) == 0 &&
          order >= 0) {
         uint64_t end = number_of(file, "data_end");
         uint64_t offset = order == 0 ? number_of(item, "offset") : 0;
         bytes += end > offset ? end - offset : 0;
      } else if (strcmp(kind, "snapshot") == 0 && order == 0) {
         bytes = number_of(file, "bytes");
      }
      if (number_of(file, "sequence") > *known)
         *known = number_of(file, "sequence");
   }
   if (number_of(item, "sequence") > *known)
      *known = number_of(item, "sequence");
   json_object_set_new(item, "bytes", json_integer((json_int_t)bytes));
}

static json_t *describe(const struct start *start, const struct kv_active *active,
                        const json_t *files, const char *output)
{
   json_t *recovered = json_object(), *given_up = json_array(), *torn = json_array();
   json_object_set_new(recovered, "directory", shown_text(output));
   json_object_set_new(recovered, "plugin", shown_text(active->plugin));
   survey_add_state(start, recovered);
   survey_add_items(start, KVS_LOAD_PASSED_OVER, given_up);
   survey_add_items(start, KVS_LOAD_TORN, torn);
   size_t index;
   json_t *item;
   uint64_t known = 0;
   json_array_foreach(given_up, index, item) reckon(files, item, &known);
   json_object_set_new(recovered, "given_up", given_up);
   json_object_set_new(recovered, "torn", torn);
   json_object_set_new(recovered, "lost_after_sequence",
                       known > start->sequence ? json_integer((json_int_t)start->sequence)
                                               : json_null());
   json_object_set_new(recovered, "lost_known_to_sequence",
                       known > start->sequence ? json_integer((json_int_t)known) : json_null());
   return recovered;
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* Brings over what knows the key, as far as it is sound; without it the data alone does. */
static enum kv_code copy_key_check(const char *from, const char *to, const uint8_t store_id[16],
                                   struct kv_status *status)
{
   kvs_host host = {.size = sizeof host, .directory = from};
   kvs_error error = {.size = sizeof error};
   uint8_t file[STORAGE_KEY_CHECK_SIZE];
   bool found;
   memcpy(host.store_id, store_id, sizeof host.store_id);
   if (storage_key_check_read(&host, file, &found, &error) != KVS_OK || !found)
      return KV_OK;
   host.directory = to;
   if (storage_key_check_write(&host, file, &error) != KVS_OK)
      return kv_fail(status, KV_UNAVAILABLE, "%s", error.text);
   return KV_OK;
}

static enum kv_code make_place(const struct place *place, const char *generation,
                               struct kv_status *status)
{
   if (!place->encrypted)
      return KV_OK;
   const kvs_host host = {.size = sizeof host, .directory = generation};
   kvs_error error = {.size = sizeof error};
   struct storage_folder folder;
   if (storage_folder_make(&host, place->folder, &folder, &error) != KVS_OK)
      return kv_fail(status, KV_UNAVAILABLE, "%s", error.text);
   storage_folder_close(&folder);
   return KV_OK;
}

static enum kv_code write_generation(const char *generation, const struct start *start,
                                     const uint8_t store_id[16], struct kv_status *status)
{
   char path[KV_GENERATION_PATH_SIZE];
   place_path(start->place, generation, path);
   if (make_place(start->place, generation, status) != KV_OK)
      return status->code;
   const kvs_plugin plugin = writing_plugin(start->place->kept, start->place->name);
   const struct kv_instance_config config = {.plugin = &plugin, .directory = path};
   struct kv_instance *instance;
   enum kv_code code = stand_in_open(config, store_id, &instance, status);
   if (code != KV_OK)
      return code;
   uint64_t sequence;
   code = kv_instance_load(instance, NULL, &sequence, status);
   struct kv_store_view *view = code == KV_OK ? kv_store_view_create(start->store) : NULL;
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
static enum kv_code read_back(const char *path, const struct start *start,
                              const uint8_t store_id[16], struct kv_status *status)
{
   struct start again;
   enum kv_code code = start_load(path, start->place, store_id, false, &again, status);
   if (code == KV_OK && (again.refused || strcmp(again.digest, start->digest) != 0 ||
                         again.sequence != start->sequence || again.keys != start->keys))
      code = kv_fail(status, KV_DATA_LOSS, "the copy reads back differently: %s",
                     again.refused ? again.refusal.text : "the state is a different one");
   start_deinit(&again);
   return code;
}

static enum kv_code write_store(const char *from, const char *unfinished, const struct start *start,
                                const struct kv_active *active, const uint8_t store_id[16],
                                struct kv_status *status)
{
   struct kv_data_directory *copy;
   struct kv_active none;
   bool found;
   uint64_t generation;
   enum kv_code code = kv_data_directory_open(unfinished, &copy, status);
   if (code != KV_OK)
      return code;
   code = kv_data_directory_read_active(copy, &none, &found, status);
   kv_data_directory_adopt_store_id(copy, store_id);
   if (code == KV_OK)
      code = kv_data_directory_create_generation(copy, active->generation - 1, &generation, status);
   char path[KV_GENERATION_PATH_SIZE];
   kv_data_directory_generation_path(copy, active->generation, path);
   if (code == KV_OK)
      code = write_generation(path, start, store_id, status);
   if (code == KV_OK && start->place->encrypted)
      code = copy_key_check(from, path, store_id, status);
   if (code == KV_OK)
      code = kv_data_directory_write_active(copy, active, status);
   /* `none` starts empty whatever is there. */
   if (code == KV_OK && start->place->kept != KEPT_NOTHING)
      code = read_back(path, start, store_id, status);
   kv_data_directory_close(copy);
   return code;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *position)
{
   (void)info, (void)type, (void)position;
   return remove(path);
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

/* `from`: the generation that was read. */
static enum kv_code write_copy(const char *from, const char *output, const struct start *start,
                               const struct kv_active *active, const uint8_t store_id[16],
                               struct kv_status *status)
{
   enum { OPEN_DIRECTORIES_MAX = 16 };
   char unfinished[KV_GENERATION_PATH_SIZE];
   struct stat info;
   if (snprintf(unfinished, sizeof unfinished, "%s" UNFINISHED, output) >= (int)sizeof unfinished)
      return kv_fail(status, KV_INVALID_ARGUMENT, "the path %s is too long", output);
   if (lstat(output, &info) == 0 || lstat(unfinished, &info) == 0)
      return kv_fail(status, KV_ALREADY_EXISTS,
                     "%s or %s exists already; give another path with --output", output,
                     unfinished);
   enum kv_code code = write_store(from, unfinished, start, active, store_id, status);
   if (code == KV_OK)
      code = put_in_place(unfinished, output, status);
   if (code != KV_OK)
      nftw(unfinished, remove_entry, OPEN_DIRECTORIES_MAX, FTW_DEPTH | FTW_PHYS);
   return code;
}

enum kv_code recover_prefix(const struct kv_data_directory *directory, const struct survey *survey,
                            const char *output, struct kv_status *status)
{
   struct kv_active guess = {0};
   const struct kv_active *active = &survey->active;
   if (!survey->recorded) {
      if (guess_active(survey, &guess, status) != KV_OK)
         return status->code;
      active = &guess;
   }
   struct place place;
   place_find(active, &place);
   if (place.kept == KEPT_UNKNOWN)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "the files of plug-in %s cannot be read by this program: ask the author of "
                     "that plug-in how to recover them",
                     place.name);
   char path[KV_GENERATION_PATH_SIZE];
   struct start start;
   kv_data_directory_generation_path(directory, active->generation, path);
   enum kv_code code = start_load(path, &place, survey->store_id, true, &start, status);
   if (code == KV_OK && start.refused) {
      *status = start.refusal;
      code = status->code;
   }
   if (code == KV_OK)
      code = write_copy(path, output, &start, active, survey->store_id, status);
   if (code == KV_OK)
      json_object_set_new(survey->report, "recovered",
                          describe(&start, active, files_of(survey, active->generation), output));
   start_deinit(&start);
   kv_active_deinit(&guess);
   return code;
}
