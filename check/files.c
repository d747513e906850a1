#include "check/files.h"

#include "storage/file.h"
#include "storage/folder.h"
#include "storage/key_check.h"
#include "storage/scan.h"
#include "storage/snapshot.h"
#include "storage/snapshot_set.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where segments and snapshots bear the store's UUID, docs/formats.md. */
#define STORE_ID_OFFSET 16
#define INNER STORAGE_INNER_DIRECTORY "/"

struct walk {
   kvs_host host; /* first: load finds the count through it */
   uint64_t loaded;
   struct checked_files *files;
   bool look_inside, store_known;
   struct kv_status *status;
};

static bool begins_with(const char *text, const char *beginning)
{
   return strncmp(text, beginning, strlen(beginning)) == 0;
}

enum file_area files_area(const char *path)
{
   if (begins_with(path, INNER))
      path += strlen(INNER);
   return begins_with(path, STORAGE_LOG_DIRECTORY "/")        ? AREA_LOG
          : begins_with(path, STORAGE_SNAPSHOT_DIRECTORY "/") ? AREA_SNAPSHOTS
                                                              : AREA_OTHER;
}

const char *files_state_name(enum file_state state)
{
   static const char *const names[] = {[STATE_NOT_CHECKED] = "not checked",
                                       [STATE_SOUND] = "sound",
                                       [STATE_TORN] = "torn",
                                       [STATE_DAMAGED] = "damaged"};
   return names[state];
}

void files_deinit(struct checked_files *files)
{
   for (size_t i = 0; i < files->count; i++) {
      free(files->items[i].path);
      free(files->items[i].finding);
   }
   free(files->items);
   *files = (struct checked_files){0};
}

static struct checked_file *add_file(struct checked_files *files, const char *path)
{
   enum { STEP = 64 };
   if (files->count % STEP == 0) {
      struct checked_file *grown =
          reallocarray(files->items, files->count + STEP, sizeof *files->items);
      if (!grown)
         return NULL;
      files->items = grown;
   }
   char *copy = strdup(path);
   if (!copy)
      return NULL;
   struct checked_file *file = &files->items[files->count++];
   *file = (struct checked_file){
       .path = copy, .area = files_area(path), .inner = begins_with(path, INNER)};
   return file;
}

static int count_records(const kvs_host *host, const kvs_record *records, size_t count,
                         kvs_error *error)
{
   (void)records, (void)error;
   ((struct walk *)(uintptr_t)host)->loaded += count;
   return KVS_OK;
}

static void drop_log(const kvs_host *host, uint32_t level, const char *message)
{
   (void)host, (void)level, (void)message;
}

/* ---- Kinds of files ------------------------------------------------------------------------ */

/* Without a record, the first file with a UUID decides which store all files belong to. */
static void find_store_id(struct walk *walk, const struct storage_folder *folder, const char *name)
{
   kvs_error ignored = {.size = sizeof ignored};
   uint8_t id[sizeof walk->host.store_id];
   size_t got = 0;
   int fd;
   if (walk->store_known || storage_open(folder, name, O_RDONLY, &fd, NULL, &ignored) != KVS_OK)
      return;
   (void)storage_read_all(fd, name, id, sizeof id, STORE_ID_OFFSET, &got, &ignored);
   close(fd);
   walk->store_known = got == sizeof id;
   if (walk->store_known)
      memcpy(walk->host.store_id, id, sizeof id);
}

static int check_snapshot(struct walk *walk, struct checked_file *file,
                          const struct storage_folder *folder, const char *name, kvs_error *error)
{
   file->sequence = strtoull(name, NULL, 10);
   walk->loaded = 0;
   int code = storage_snapshot_read(&walk->host, folder, name, file->sequence, false, error);
   file->records = walk->loaded;
   return code;
}

/* Whether the segment after `number` exists, and the link in its header; false when that cannot be
 * read. */
static bool find_link(const struct walk *walk, const struct storage_folder *folder, uint64_t number,
                      bool *exists, struct storage_segment_link *link)
{
   struct storage_segment_reader reader;
   kvs_error ignored = {.size = sizeof ignored};
   char name[STORAGE_SEGMENT_NAME_SIZE];
   storage_segment_name(number + 1, name);
   *exists = storage_folder_has(folder, name);
   if (storage_segment_open(folder, number + 1, O_RDONLY, walk->host.store_id, &reader, &ignored) !=
       KVS_OK)
      return false;
   *link = reader.header.previous;
   storage_segment_close(&reader);
   return true;
}

static int check_segment(struct walk *walk, struct checked_file *file,
                         const struct storage_folder *folder, uint64_t number, kvs_error *error)
{
   struct storage_segment_link link;
   struct storage_scan scan;
   bool exists, sealed = find_link(walk, folder, number, &exists, &link);
   int code =
       storage_scan_segment(&walk->host, folder, number, sealed ? &link : NULL, NULL, &scan, error);
   if (code == KVS_CORRUPT && scan.followed && exists) {
      code = KVS_OK; /* the damage is in that one */
      error->text[0] = '\0';
   }
   file->records = scan.effects;
   file->marks = scan.marks;
   file->first_sequence = scan.first_sequence;
   file->sequence = scan.link.last_sequence;
   file->end = scan.link.end;
   file->data_end = sealed ? link.end : scan.tail.data_end;
   if (file->data_end == 0 || file->data_end > scan.size)
      file->data_end = scan.size;
   file->chain = scan.link.chain;
   if (code == KVS_OK && scan.tail.data_end > scan.link.end) {
      file->state = STATE_TORN;
      snprintf(error->text, sizeof error->text,
               "an unfinished write of %" PRIu64 " bytes at offset %" PRIu64,
               scan.tail.data_end - scan.link.end, scan.link.end);
   }
   return code;
}

static enum file_kind kind_of(const struct checked_file *file, const char *name, uint64_t *number)
{
   char expected[STORAGE_SNAPSHOT_NAME_SIZE];
   storage_snapshot_name(strtoull(name, NULL, 10), expected);
   if (file->area == AREA_SNAPSHOTS && strcmp(name, expected) == 0)
      return FILE_SNAPSHOT;
   if (file->area == AREA_LOG && storage_segment_parse_name(name, number))
      return FILE_SEGMENT;
   if (strcmp(file->path, STORAGE_KEY_CHECK_NAME) == 0)
      return FILE_KEY_CHECK;
   if (file->area == AREA_LOG && storage_ends_in(name, ".torn"))
      return FILE_TORN;
   return file->area != AREA_OTHER && storage_ends_in(name, ".tmp") ? FILE_LEFTOVER : FILE_UNKNOWN;
}

static enum kv_code check_file(struct walk *walk, const struct storage_folder *folder,
                               const char *path, const char *name, uint64_t size)
{
   struct checked_file *file = add_file(walk->files, path);
   if (!file)
      return kv_fail(walk->status, KV_RESOURCE_EXHAUSTED, "out of memory for a list of files");
   file->bytes = size;
   kvs_error error = {.size = sizeof error};
   uint64_t number = 0;
   uint8_t key_check[STORAGE_KEY_CHECK_SIZE];
   bool found;
   int code = KVS_OK;
   if (walk->look_inside)
      file->kind = kind_of(file, name, &number);
   bool data = file->kind == FILE_SNAPSHOT || file->kind == FILE_SEGMENT;
   if (data || file->kind == FILE_KEY_CHECK)
      file->state = STATE_SOUND;
   if (data)
      find_store_id(walk, folder, name);
   if (file->kind == FILE_SNAPSHOT)
      code = check_snapshot(walk, file, folder, name, &error);
   else if (file->kind == FILE_SEGMENT)
      code = check_segment(walk, file, folder, number, &error);
   else if (file->kind == FILE_KEY_CHECK)
      code = storage_key_check_read(walk->host.directory, walk->host.store_id, key_check, &found,
                                    &error);
   if (code != KVS_OK) {
      file->state = STATE_DAMAGED;
      walk->files->damaged++;
   }
   if (error.text[0] != '\0' && !(file->finding = strdup(error.text)))
      return kv_fail(walk->status, KV_RESOURCE_EXHAUSTED, "out of memory for a finding");
   return KV_OK;
}

/* ---- The walk ------------------------------------------------------------------------------ */

static int skip_dots(const struct dirent *entry)
{
   return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static enum kv_code walk_folder(struct walk *walk, const struct storage_folder *folder,
                                const char *prefix, unsigned depth);

static enum kv_code walk_entry(struct walk *walk, const struct storage_folder *folder,
                               const char *prefix, const char *name, unsigned depth)
{
   enum { DEPTH_MAX = 8 };
   char relative[PATH_MAX];
   struct stat info;
   snprintf(relative, sizeof relative, "%s%s", prefix, name);
   if (fstatat(folder->fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
      return kv_fail_errno(walk->status, errno, "cannot examine %s/%s", folder->path, name);
   if (!S_ISDIR(info.st_mode))
      return check_file(walk, folder, relative, name, (uint64_t)info.st_size);
   if (depth == DEPTH_MAX)
      return KV_OK;
   struct storage_folder inside;
   kvs_error error = {.size = sizeof error};
   if (storage_folder_enter(folder, name, &inside, &error) != KVS_OK)
      return kv_fail(walk->status, KV_UNAVAILABLE, "%s", error.text);
   snprintf(relative, sizeof relative, "%s%s/", prefix, name);
   enum kv_code code = walk_folder(walk, &inside, relative, depth + 1);
   storage_folder_close(&inside);
   return code;
}

static enum kv_code walk_folder(struct walk *walk, const struct storage_folder *folder,
                                const char *prefix, unsigned depth)
{
   struct dirent **entries;
   int count = scandirat(folder->fd, ".", &entries, skip_dots, alphasort);
   if (count < 0)
      return kv_fail_errno(walk->status, errno, "cannot read the directory %s", folder->path);
   enum kv_code code = KV_OK;
   for (int i = 0; i < count; i++) {
      if (code == KV_OK)
         code = walk_entry(walk, folder, prefix, entries[i]->d_name, depth);
      free(entries[i]);
   }
   free(entries);
   return code;
}

enum kv_code files_check(const char *directory, bool look_inside, struct checked_store *store,
                         struct checked_files *files, struct kv_status *status)
{
   struct walk walk = {.host = {.size = sizeof walk.host,
                                .directory = directory,
                                .load = count_records,
                                .log = drop_log},
                       .files = files,
                       .look_inside = look_inside,
                       .store_known = store->known,
                       .status = status};
   struct storage_folder folder;
   kvs_error error = {.size = sizeof error};
   memcpy(walk.host.store_id, store->id, sizeof store->id);
   if (storage_folder_open(directory, &folder, &error) != KVS_OK)
      return kv_fail(status, KV_UNAVAILABLE, "%s", error.text);
   enum kv_code code = walk_folder(&walk, &folder, "", 0);
   storage_folder_close(&folder);
   store->known = walk.store_known;
   memcpy(store->id, walk.host.store_id, sizeof store->id);
   return code;
}
