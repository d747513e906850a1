#include "tests/fuzz/support.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fuzz_broken(const char *condition, const char *file, int line, const char *function)
{
   fprintf(stderr, "%s:%d: %s: does not hold: %s\n", file, line, function, condition);
   abort();
}

/* ---- Inputs ---- */

uint64_t fuzz_take(struct fuzz_input *input, size_t bytes)
{
   kvs_bytes taken = fuzz_take_bytes(input, bytes);
   const uint8_t *data = taken.data;
   uint64_t value = 0;
   for (size_t i = 0; i < taken.size; i++)
      value |= (uint64_t)data[i] << (8 * i);
   return value;
}

kvs_bytes fuzz_take_bytes(struct fuzz_input *input, size_t size)
{
   kvs_bytes taken = {input->data, size < input->size ? size : input->size};
   if (taken.size > 0)
      input->data += taken.size;
   input->size -= taken.size;
   return taken;
}

char *fuzz_text(kvs_bytes bytes)
{
   char *text = malloc(bytes.size + 1);
   REQUIRE(text);
   if (bytes.size > 0)
      memcpy(text, bytes.data, bytes.size);
   text[bytes.size] = '\0';
   return text;
}

/* ---- Files ---- */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *position)
{
   (void)info;
   (void)type;
   (void)position;
   return remove(path);
}

static void remove_directory(void)
{
   nftw(fuzz_directory(), remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_directory(void)
{
   static char directory[FUZZ_PATH_SIZE / 2];
   if (directory[0] == '\0') {
      const char *parent = getenv("TMPDIR");
      if (!parent)
         parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
      snprintf(directory, sizeof directory, "%s/kvstore-fuzz-XXXXXX", parent);
      REQUIRE(mkdtemp(directory));
      atexit(remove_directory);
   }
   return directory;
}

const char *fuzz_path(const char *name, char *path)
{
   REQUIRE(snprintf(path, FUZZ_PATH_SIZE, "%s/%s", fuzz_directory(), name) < FUZZ_PATH_SIZE);
   return path;
}

void fuzz_empty_directory(const char *name)
{
   char path[FUZZ_PATH_SIZE];
   nftw(fuzz_path(name, path), remove_entry, 16, FTW_DEPTH | FTW_PHYS);
   REQUIRE(mkdir(path, 0700) == 0);
}

void fuzz_write_file(const char *name, const void *data, size_t size)
{
   char path[FUZZ_PATH_SIZE];
   int fd = open(fuzz_path(name, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
   REQUIRE(fd >= 0);
   REQUIRE(write(fd, data, size) == (ssize_t)size);
   REQUIRE(close(fd) == 0);
}

uint8_t *fuzz_read_file(const char *name, size_t *size)
{
   char path[FUZZ_PATH_SIZE];
   struct stat info;
   int fd = open(fuzz_path(name, path), O_RDONLY | O_CLOEXEC);
   REQUIRE(fd >= 0);
   REQUIRE(fstat(fd, &info) == 0);
   *size = (size_t)info.st_size;
   uint8_t *data = malloc(*size + 1);
   REQUIRE(data);
   REQUIRE(read(fd, data, *size) == info.st_size);
   REQUIRE(close(fd) == 0);
   return data;
}

/* ---- A host ---- */

static kvs_bytes copy_bytes(kvs_bytes bytes)
{
   return (kvs_bytes){fuzz_text(bytes), bytes.size};
}

static int load(const kvs_host *host, const kvs_record *records, size_t count, kvs_error *error)
{
   struct fuzz_host *self = (struct fuzz_host *)(uintptr_t)host;
   (void)error;
   REQUIRE(count > 0);
   for (size_t i = 0; i < count; i++) {
      if (self->count == self->capacity) {
         self->capacity = self->capacity ? 2 * self->capacity : 64;
         self->records = reallocarray(self->records, self->capacity, sizeof *self->records);
         REQUIRE(self->records);
      }
      kvs_record *copy = &self->records[self->count++];
      *copy = records[i];
      copy->key = copy_bytes(records[i].key);
      copy->value = copy_bytes(records[i].value);
   }
   return KVS_OK;
}

static size_t view_read(kvs_view *view, kvs_record *records, size_t capacity)
{
   struct fuzz_host *self = (struct fuzz_host *)(void *)view;
   size_t count = 0;
   while (count < capacity && self->view_at < self->count)
      records[count++] = self->records[self->view_at++];
   return count;
}

static void log_line(const kvs_host *host, uint32_t level, const char *message)
{
   (void)host;
   REQUIRE(level >= KVS_LOG_ERROR && level <= KVS_LOG_DEBUG);
   REQUIRE(message[0] != '\0');
}

void fuzz_host_init(struct fuzz_host *host)
{
   *host = (struct fuzz_host){.host = {.size = sizeof host->host,
                                       .directory = fuzz_directory(),
                                       .store_id = FUZZ_STORE_ID,
                                       .load = load,
                                       .view_read = view_read,
                                       .log = log_line}};
}

void fuzz_host_deinit(struct fuzz_host *host)
{
   for (size_t i = 0; i < host->count; i++) {
      free((void *)(uintptr_t)host->records[i].key.data);
      free((void *)(uintptr_t)host->records[i].value.data);
   }
   free(host->records);
}

static bool same_bytes(kvs_bytes a, kvs_bytes b)
{
   return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool fuzz_same_record(const kvs_record *a, const kvs_record *b)
{
   return a->sequence == b->sequence && a->kind == b->kind && a->flags == b->flags &&
          a->expires_at_ms == b->expires_at_ms && same_bytes(a->key, b->key) &&
          same_bytes(a->value, b->value);
}

bool fuzz_same_records(const struct fuzz_host *a, const struct fuzz_host *b)
{
   if (a->count != b->count)
      return false;
   for (size_t i = 0; i < a->count; i++)
      if (!fuzz_same_record(&a->records[i], &b->records[i]))
         return false;
   return true;
}
