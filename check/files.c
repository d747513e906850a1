#include "check/files.h"

#include "check/shown.h"
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

struct walk {
   kvs_host host; /* first: load finds the count through it */
   uint64_t loaded;
   json_t *files;
   unsigned *damaged;
   bool look_inside;
   struct kv_status *status;
};

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

static int drop_effects(void *context, const struct storage_scan *scan, const kvs_record *effects,
                        size_t count, uint64_t size, kvs_error *error)
{
   (void)context, (void)scan, (void)effects, (void)count, (void)size, (void)error;
   return KVS_OK;
}

static void set_number(json_t *file, const char *name, uint64_t number)
{
   json_object_set_new(file, name, json_integer((json_int_t)number));
}

static void set_state(const struct walk *walk, json_t *file, int code, const char *state,
                      const char *finding)
{
   json_object_set_new(file, "state", json_string(code == KVS_OK ? state : "damaged"));
   if (finding[0] != '\0')
      json_object_set_new(file, "finding", shown_text(finding));
   if (code != KVS_OK)
      ++*walk->damaged;
}

const char *files_place(const char *file)
{
   static const char inner[] = STORAGE_INNER_FOLDER "/";
   return strncmp(file, inner, sizeof inner - 1) == 0 ? file + sizeof inner - 1 : file;
}

/* ---- Kinds of files ------------------------------------------------------------------------ */

static void check_snapshot(struct walk *walk, json_t *file, const struct storage_folder *folder,
                           const char *name)
{
   kvs_error error = {.size = sizeof error};
   uint64_t sequence = strtoull(name, NULL, 10);
   walk->loaded = 0;
   int code = storage_snapshot_read(&walk->host, folder, name, sequence, false, &error);
   set_number(file, "records", walk->loaded);
   set_number(file, "sequence", sequence);
   set_state(walk, file, code, "sound", error.text);
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
   if (storage_segment_open(folder, number + 1, walk->host.store_id, &reader, &ignored) != KVS_OK)
      return false;
   *link = reader.header.previous;
   storage_segment_close(&reader);
   return true;
}

/* Where the data ends, be it sound or not; reserved room follows. */
static uint64_t data_end(const struct storage_scan *scan, const struct storage_segment_link *next)
{
   uint64_t end = next ? next->end : scan->tail.data_end;
   return end == 0 || end > scan->size ? scan->size : end;
}

static void check_segment(struct walk *walk, json_t *file, const struct storage_folder *folder,
                          uint64_t number)
{
   const struct storage_scan_sink sink = {.take = drop_effects};
   kvs_error error = {.size = sizeof error};
   struct storage_segment_link link;
   struct storage_scan scan;
   bool exists, sealed = find_link(walk, folder, number, &exists, &link);
   int code = storage_scan_segment(&walk->host, folder, number, sealed ? &link : NULL, &sink, &scan,
                                   &error);
   if (code == KVS_CORRUPT && scan.followed && exists) {
      code = KVS_OK; /* what is wrong is wrong with that one */
      error.text[0] = '\0';
   }
   char chain[16];
   snprintf(chain, sizeof chain, "%08" PRIx32, scan.link.chain);
   set_number(file, "records", scan.effects);
   set_number(file, "marks", scan.marks);
   set_number(file, "first_sequence", scan.first_sequence);
   set_number(file, "sequence", scan.link.last_sequence);
   set_number(file, "end", scan.link.end);
   set_number(file, "data_end", data_end(&scan, sealed ? &link : NULL));
   json_object_set_new(file, "chain", json_string(chain));
   bool torn = code == KVS_OK && scan.tail.data_end > scan.link.end;
   if (torn)
      snprintf(error.text, sizeof error.text,
               "an unfinished write of %" PRIu64 " bytes at offset %" PRIu64,
               scan.tail.data_end - scan.link.end, scan.link.end);
   set_state(walk, file, code, torn ? "torn" : "sound", error.text);
}

/* Whether it opens with the key is for the plug-in to say. */
static void check_key_check(struct walk *walk, json_t *file)
{
   kvs_error error = {.size = sizeof error};
   uint8_t content[STORAGE_KEY_CHECK_SIZE];
   bool found;
   int code = storage_key_check_read(&walk->host, content, &found, &error);
   set_state(walk, file, code, "sound", error.text);
}

static void check_file(struct walk *walk, const struct storage_folder *folder, const char *relative,
                       const char *name, uint64_t size)
{
   uint64_t number = 0;
   char expected[STORAGE_SNAPSHOT_NAME_SIZE];
   json_t *file = json_object();
   json_object_set_new(file, "file", shown_text(relative));
   set_number(file, "bytes", size);
   json_array_append_new(walk->files, file);
   storage_snapshot_name(strtoull(name, NULL, 10), expected);
   const char *place = files_place(relative);
   bool in_log = walk->look_inside && strncmp(place, "aof/", 4) == 0;
   bool in_snapshots = walk->look_inside && strncmp(place, "snapshots/", 10) == 0;
   const char *kind = "unknown";
   if (in_snapshots && strcmp(name, expected) == 0) {
      kind = "snapshot";
      check_snapshot(walk, file, folder, name);
   } else if (in_log && storage_segment_parse_name(name, &number)) {
      kind = "segment";
      check_segment(walk, file, folder, number);
   } else if (walk->look_inside && strcmp(relative, STORAGE_KEY_CHECK_NAME) == 0) {
      kind = "key check";
      check_key_check(walk, file);
   } else {
      if (in_log && storage_ends_in(name, ".torn"))
         kind = "torn";
      else if ((in_log || in_snapshots) && storage_ends_in(name, ".tmp"))
         kind = "left-over";
      set_state(walk, file, KVS_OK, "not checked", "");
   }
   json_object_set_new(file, "kind", json_string(kind));
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
   if (!S_ISDIR(info.st_mode)) {
      check_file(walk, folder, relative, name, (uint64_t)info.st_size);
      return KV_OK;
   }
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

enum kv_code files_check(const char *directory, const uint8_t store_id[16], bool look_inside,
                         json_t *files, unsigned *damaged, struct kv_status *status)
{
   struct walk walk = {.host = {.size = sizeof walk.host,
                                .directory = directory,
                                .load = count_records,
                                .log = drop_log},
                       .files = files,
                       .damaged = damaged,
                       .look_inside = look_inside,
                       .status = status};
   struct storage_folder folder;
   kvs_error error = {.size = sizeof error};
   memcpy(walk.host.store_id, store_id, sizeof walk.host.store_id);
   if (storage_folder_open(directory, &folder, &error) != KVS_OK)
      return kv_fail(status, KV_UNAVAILABLE, "%s", error.text);
   enum kv_code code = walk_folder(&walk, &folder, "", 0);
   storage_folder_close(&folder);
   return code;
}

/* ---- Whose files they are ------------------------------------------------------------------ */

static bool read_store_id(const struct storage_folder *folder, const char *name,
                          uint8_t store_id[16])
{
   kvs_error ignored = {.size = sizeof ignored};
   int fd;
   size_t got = 0;
   if (storage_open(folder, name, O_RDONLY, &fd, &ignored) != KVS_OK)
      return false;
   (void)storage_read_all(fd, name, store_id, 16, STORE_ID_OFFSET, &got, &ignored);
   close(fd);
   return got == 16;
}

static bool find_store_id(const struct storage_folder *folder, const char *ending,
                          uint8_t store_id[16])
{
   struct dirent **entries;
   bool found = false;
   int count = scandirat(folder->fd, ".", &entries, skip_dots, alphasort);
   for (int i = 0; i < count; i++) {
      found = found || (storage_ends_in(entries[i]->d_name, ending) &&
                        read_store_id(folder, entries[i]->d_name, store_id));
      free(entries[i]);
   }
   if (count >= 0)
      free(entries);
   return found;
}

bool files_store_id(const char *directory, uint8_t store_id[16])
{
   static const struct {
      const char *folder, *ending;
   } places[] = {{"aof", ".log"},
                 {"snapshots", ".snapshot"},
                 {STORAGE_INNER_FOLDER "/aof", ".log"},
                 {STORAGE_INNER_FOLDER "/snapshots", ".snapshot"}};
   const kvs_host host = {.size = sizeof host, .directory = directory};
   kvs_error ignored = {.size = sizeof ignored};
   bool found = false;
   for (size_t i = 0; i < sizeof places / sizeof *places && !found; i++) {
      struct storage_folder folder;
      if (storage_folder_find(&host, places[i].folder, &folder, &ignored) == KVS_OK &&
          folder.fd >= 0)
         found = find_store_id(&folder, places[i].ending, store_id);
      storage_folder_close(&folder);
   }
   return found;
}
