#include "tests/support/log_host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static kvs_bytes copy_bytes(kvs_bytes bytes)
{
   uint8_t *copy = malloc(bytes.size + 1);
   assert_non_null(copy);
   if (bytes.size > 0)
      memcpy(copy, bytes.data, bytes.size);
   copy[bytes.size] = 0;
   return (kvs_bytes){copy, bytes.size};
}

static int load(const kvs_host *host, const kvs_record *records, size_t count, kvs_error *error)
{
   struct log_host *self = (struct log_host *)(uintptr_t)host;
   if (self->load_result != KVS_OK) {
      snprintf(error->text, sizeof error->text, "the test refuses");
      return self->load_result;
   }
   self->loaded = realloc(self->loaded, (self->loaded_count + count) * sizeof *self->loaded);
   assert_non_null(self->loaded);
   for (size_t i = 0; i < count; i++) {
      kvs_record copy = records[i];
      copy.key = copy_bytes(records[i].key);
      copy.value = copy_bytes(records[i].value);
      self->loaded[self->loaded_count++] = copy;
   }
   return KVS_OK;
}

static void loaded_to(const kvs_host *host, uint64_t sequence)
{
   ((struct log_host *)(uintptr_t)host)->loaded_to = sequence;
}

static void saved(const kvs_host *host, uint64_t sequence)
{
   ((struct log_host *)(uintptr_t)host)->saved_to = sequence;
}

static void log_line(const kvs_host *host, uint32_t level, const char *message)
{
   struct log_host *self = (struct log_host *)(uintptr_t)host;
   if (level > KVS_LOG_WARNING)
      return;
   pthread_mutex_lock(&self->lock);
   size_t used = strlen(self->warnings);
   snprintf(self->warnings + used, sizeof self->warnings - used, "%s\n", message);
   pthread_mutex_unlock(&self->lock);
}

static void wake(const kvs_host *host)
{
   atomic_fetch_add(&((struct log_host *)(uintptr_t)host)->wakes, 1);
}

static void complete_above(const kvs_history *history, uint64_t sequence)
{
   struct log_host *self =
       (struct log_host *)((uintptr_t)history - offsetof(struct log_host, history));
   self->history_begin = self->loaded_count;
   self->history_sequence = sequence;
}

static void synced(const kvs_syncs *syncs, uint64_t sequence, uint64_t ns)
{
   struct log_host *self = (struct log_host *)((uintptr_t)syncs - offsetof(struct log_host, syncs));
   (void)ns;
   atomic_store(&self->synced_to, sequence);
}

static const void *extension(const kvs_host *host, const char *name)
{
   const struct log_host *self = (const struct log_host *)(uintptr_t)host;
   if (strcmp(name, KVS_EXTENSION_SYNCS) == 0)
      return &self->syncs;
   return strcmp(name, KVS_EXTENSION_HISTORY) == 0 ? &self->history : NULL;
}

void log_host_init(struct log_host *host)
{
   memset(host, 0, sizeof *host);
   pthread_mutex_init(&host->lock, NULL);
   snprintf(host->directory, sizeof host->directory, "%s/kvstore-log-XXXXXX",
            getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
   assert_non_null(mkdtemp(host->directory));
   host->history_begin = SIZE_MAX;
   host->history = (kvs_history){.size = sizeof host->history, .complete_above = complete_above};
   host->syncs = (kvs_syncs){.size = sizeof host->syncs, .synced = synced};
   host->host = (kvs_host){.size = sizeof host->host,
                           .directory = host->directory,
                           .store_id = "store number one",
                           .load = load,
                           .loaded_to = loaded_to,
                           .log = log_line,
                           .wake = wake,
                           .extension = extension,
                           .saved = saved};
}

void log_host_forget(struct log_host *host)
{
   for (size_t i = 0; i < host->loaded_count; i++) {
      free((void *)(uintptr_t)host->loaded[i].key.data);
      free((void *)(uintptr_t)host->loaded[i].value.data);
   }
   free(host->loaded);
   host->loaded = NULL;
   host->loaded_count = 0;
   host->loaded_to = 0;
   host->history_begin = SIZE_MAX;
   host->warnings[0] = '\0';
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
   (void)status;
   (void)type;
   (void)walk;
   return remove(path);
}

void log_host_deinit(struct log_host *host)
{
   log_host_forget(host);
   nftw(host->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
   pthread_mutex_destroy(&host->lock);
}

kvs_record log_host_effect(uint64_t sequence, const char *key, const char *value)
{
   return (kvs_record){.sequence = sequence,
                       .kind = value ? KVS_SET : KVS_DELETE,
                       .key = {key, strlen(key)},
                       .value = {value, value ? strlen(value) : 0}};
}

const char *log_host_loaded_text(const struct log_host *host, char *text, size_t size)
{
   text[0] = '\0';
   for (size_t i = 0; i < host->loaded_count; i++) {
      const kvs_record *effect = &host->loaded[i];
      size_t used = strlen(text);
      if (effect->kind == KVS_DELETE)
         snprintf(text + used, size - used, "%s! ", (const char *)effect->key.data);
      else
         snprintf(text + used, size - used, "%s=%s ", (const char *)effect->key.data,
                  (const char *)effect->value.data);
   }
   return text;
}

void log_host_path(const struct log_host *host, const char *name, char path[512])
{
   assert_true(snprintf(path, 512, "%s/%s", host->directory, name) < 512);
}

uint8_t *log_host_read_file(const struct log_host *host, const char *name, size_t *size)
{
   char path[512];
   struct stat status;
   log_host_path(host, name, path);
   int fd = open(path, O_RDONLY);
   assert_true(fd >= 0);
   assert_int_equal(fstat(fd, &status), 0);
   uint8_t *data = malloc((size_t)status.st_size + 1);
   assert_non_null(data);
   assert_int_equal(read(fd, data, (size_t)status.st_size), status.st_size);
   close(fd);
   *size = (size_t)status.st_size;
   return data;
}

void log_host_write_file(const struct log_host *host, const char *name, const void *data,
                         size_t size)
{
   char path[512];
   log_host_path(host, name, path);
   int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
   assert_true(fd >= 0);
   assert_int_equal(write(fd, data, size), size);
   close(fd);
}

bool log_host_has_file(const struct log_host *host, const char *name)
{
   char path[512];
   log_host_path(host, name, path);
   return access(path, F_OK) == 0;
}

void log_host_copy(const struct log_host *host, const char *from, const char *to)
{
   char path[512], name[1024];
   log_host_path(host, to, path);
   if (mkdir(path, 0700) != 0) {
      assert_int_equal(errno, EEXIST);
      nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
      assert_int_equal(mkdir(path, 0700), 0);
   }
   log_host_path(host, from, path);
   DIR *listing = opendir(path);
   assert_non_null(listing);
   const struct dirent *entry;
   while ((entry = readdir(listing))) {
      if (entry->d_name[0] == '.')
         continue;
      size_t size;
      snprintf(name, sizeof name, "%s/%s", from, entry->d_name);
      uint8_t *data = log_host_read_file(host, name, &size);
      snprintf(name, sizeof name, "%s/%s", to, entry->d_name);
      log_host_write_file(host, name, data, size);
      free(data);
   }
   closedir(listing);
}

size_t log_host_count(const struct log_host *host, const char *directory, const char *ending)
{
   char path[512];
   log_host_path(host, directory, path);
   DIR *listing = opendir(path);
   assert_non_null(listing);
   size_t count = 0;
   const struct dirent *entry;
   while ((entry = readdir(listing))) {
      size_t size = strlen(entry->d_name);
      if (size >= strlen(ending) && strcmp(entry->d_name + size - strlen(ending), ending) == 0)
         count++;
   }
   closedir(listing);
   return count;
}

/* The path, below the host's directory, of the `index`-th file of `directory` by name, counted from
 * the last when `from_last`. */
static void pick_file(const struct log_host *host, const char *directory, size_t index,
                      bool from_last, char name[512])
{
   char path[512];
   struct dirent **entries;
   log_host_path(host, directory, path);
   int count = scandir(path, &entries, NULL, alphasort);
   assert_true(count >= 0);
   size_t seen = 0;
   bool found = false;
   for (int i = 0; i < count; i++) {
      const struct dirent *entry = entries[from_last ? count - 1 - i : i];
      if (entry->d_name[0] != '.' && seen++ == index) {
         assert_true(snprintf(name, 512, "%s/%s", directory, entry->d_name) < 512);
         found = true;
      }
   }
   for (int i = 0; i < count; i++)
      free(entries[i]);
   free(entries);
   assert_true(found);
}

void log_host_damage(const struct log_host *host, const char *directory, size_t back)
{
   char name[512];
   size_t size;
   pick_file(host, directory, back, true, name);
   uint8_t *bytes = log_host_read_file(host, name, &size);
   bytes[size / 2] ^= 4;
   log_host_write_file(host, name, bytes, size);
   free(bytes);
}

void log_host_remove(const struct log_host *host, const char *directory, size_t back)
{
   char name[512], path[512];
   pick_file(host, directory, back, true, name);
   log_host_path(host, name, path);
   assert_int_equal(unlink(path), 0);
}

void log_host_remove_oldest(const struct log_host *host, const char *directory)
{
   char name[512], path[512];
   pick_file(host, directory, 0, false, name);
   log_host_path(host, name, path);
   assert_int_equal(unlink(path), 0);
}
