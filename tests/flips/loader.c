/*
 * Starts a store on damaged copies of a data directory, many times a second: the start of the real
 * server (kv_control_load and everything below it, with the real plug-ins) without the wire.
 *
 *   loader PLUGIN_DIR WORK     reads commands from standard input, fields apart by a tab:
 *
 *   image DIR                  takes DIR into memory; what follows is about copies of it
 *   copy DIR                   the same without taking the time: the copy itself is started, as is
 *   flip FILE OFFSET BIT       one bit of FILE is the other way round
 *   cut FILE SIZE              FILE has only so many bytes
 *
 * Each command but `image` is answered by one line: "ok" or "refused" or "unsteady" (a second start
 * brought another state than the first), the sequence reached, the number of keys, a digest of all
 * keys and values, the number of .torn files, and what was logged. FILE is relative to DIR.
 */
#include "core/control/control.h"
#include "core/support/log.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGEST_START UINT64_C(0xcbf29ce484222325) /* FNV-1a, 64 bits */
#define DIGEST_FACTOR UINT64_C(0x100000001b3)
#define PATH_SIZE 4096

/* One file or directory of the image; content is NULL for a directory. */
struct entry {
   char *path; /* relative */
   uint8_t *content;
   size_t size;
};

struct outcome {
   struct kv_status status;
   uint64_t sequence, count, digest;
};

static struct {
   struct kv_plugin_library *library;
   const char *work;
   struct entry *entries;
   size_t entry_count;
   size_t root_size; /* of the path being walked */
   size_t torn;
   int log_fd;
} loader;

static void die(const char *what)
{
   dprintf(STDOUT_FILENO, "loader: %s: %s\n", what, strerror(errno));
   exit(2);
}

static void *allocate(size_t size)
{
   void *memory = calloc(1, size + 1);
   if (!memory)
      die("no memory");
   return memory;
}

/* ---- Copies ---- */

static int take_entry(const char *path, const struct stat *info, int type, struct FTW *position)
{
   (void)position;
   if (path[loader.root_size] == '\0')
      return 0;
   loader.entries = reallocarray(loader.entries, loader.entry_count + 1, sizeof *loader.entries);
   if (!loader.entries)
      die("no memory");
   struct entry *entry = &loader.entries[loader.entry_count++];
   *entry = (struct entry){.path = strdup(path + loader.root_size + 1)};
   if (type == FTW_D)
      return 0;
   entry->size = (size_t)info->st_size;
   entry->content = allocate(entry->size);
   int fd = open(path, O_RDONLY | O_CLOEXEC);
   if (fd < 0 || read(fd, entry->content, entry->size) != (ssize_t)entry->size)
      die(path);
   close(fd);
   return 0;
}

static void take_image(const char *directory)
{
   for (size_t i = 0; i < loader.entry_count; i++) {
      free(loader.entries[i].path);
      free(loader.entries[i].content);
   }
   loader.entry_count = 0;
   loader.root_size = strlen(directory);
   if (nftw(directory, take_entry, 16, FTW_PHYS) != 0)
      die(directory);
}

static struct entry *find_entry(const char *path)
{
   for (size_t i = 0; i < loader.entry_count; i++)
      if (loader.entries[i].content && strcmp(loader.entries[i].path, path) == 0)
         return &loader.entries[i];
   errno = ENOENT;
   die(path);
   return NULL;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *position)
{
   (void)info, (void)type, (void)position;
   return remove(path);
}

/* Puts the image, as it is now, into the working directory. */
static void restore(void)
{
   if (nftw(loader.work, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
      die(loader.work);
   if (mkdir(loader.work, 0700) != 0)
      die(loader.work);
   for (size_t i = 0; i < loader.entry_count; i++) {
      const struct entry *entry = &loader.entries[i];
      char path[PATH_SIZE];
      snprintf(path, sizeof path, "%s/%s", loader.work, entry->path);
      if (!entry->content) {
         if (mkdir(path, 0700) != 0)
            die(path);
         continue;
      }
      int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      if (fd < 0 || write(fd, entry->content, entry->size) != (ssize_t)entry->size)
         die(path);
      close(fd);
   }
}

static int count_torn(const char *path, const struct stat *info, int type, struct FTW *position)
{
   (void)info, (void)type, (void)position;
   size_t size = strlen(path);
   loader.torn += size > 5 && strcmp(path + size - 5, ".torn") == 0;
   return 0;
}

/* ---- Starting ---- */

static void digest_bytes(uint64_t *digest, struct kv_slice bytes)
{
   uint64_t size = bytes.size;
   for (size_t i = 0; i < sizeof size; i++)
      *digest = (*digest ^ ((size >> (8 * i)) & 0xff)) * DIGEST_FACTOR;
   for (size_t i = 0; i < bytes.size; i++)
      *digest = (*digest ^ ((const uint8_t *)bytes.data)[i]) * DIGEST_FACTOR;
}

static void examine(struct kv_store *store, struct outcome *outcome)
{
   struct kv_store_view *view = kv_store_view_create(store);
   if (!view)
      die("no view");
   const struct kv_version *version = kv_store_view_version(view);
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   outcome->sequence = kv_version_sequence(version);
   outcome->count = kv_version_count(version);
   outcome->digest = DIGEST_START;
   kv_cursor_seek(&cursor, version, kv_slice(NULL, 0));
   while ((entry = kv_cursor_next(&cursor))) {
      digest_bytes(&outcome->digest, kv_entry_key(entry));
      digest_bytes(&outcome->digest, kv_entry_value(entry));
   }
   kv_store_view_destroy(view);
}

static void start(const char *path, struct outcome *outcome)
{
   const struct kv_commit_options options = {.workers = 1};
   const struct kv_control_request choice = {0};
   struct kv_data_directory *directory;
   struct kv_status *status = &outcome->status;
   *outcome = (struct outcome){0};
   if (kv_data_directory_open(path, &directory, status) != KV_OK)
      return;
   struct kv_store *store = kv_store_create();
   struct kv_commit *commit = store ? kv_commit_create(store, &options, status) : NULL;
   const struct kv_control_config config = {
       .directory = directory, .library = loader.library, .store = store, .commit = commit};
   struct kv_control *control = commit ? kv_control_create(&config, status) : NULL;
   if (!control)
      die("cannot build the parts of a server");
   if (kv_control_load(control, &choice, status) == KV_OK) {
      status->code = KV_OK;
      examine(store, outcome);
   }
   kv_commit_destroy(commit);
   kv_control_destroy(control);
   kv_store_destroy(store);
   kv_data_directory_close(directory);
}

static void print_log(const char *text)
{
   char line[8192];
   ssize_t size = pread(loader.log_fd, line, sizeof line, 0);
   for (ssize_t i = 0; i < size; i++)
      if (line[i] == '\n' || line[i] == '\t')
         line[i] = '|';
   printf("%.*s%s\n", (int)(size > 0 ? size : 0), line, text);
   if (ftruncate(loader.log_fd, 0) != 0 || lseek(loader.log_fd, 0, SEEK_SET) != 0)
      die("log");
}

/* Starts on `path` and, if that succeeds, once more: a start must not change the state. */
static void judge(const char *path)
{
   struct outcome first, second;
   start(path, &first);
   const char *verdict = "refused";
   if (first.status.code == KV_OK) {
      start(path, &second);
      bool same = second.status.code == KV_OK && second.sequence == first.sequence &&
                  second.count == first.count && second.digest == first.digest;
      verdict = same ? "ok" : "unsteady";
   }
   loader.torn = 0;
   if (nftw(path, count_torn, 16, FTW_PHYS) != 0)
      die(path);
   printf("%s\t%" PRIu64 "\t%" PRIu64 "\t%016" PRIx64 "\t%zu\t", verdict, first.sequence,
          first.count, first.digest, loader.torn);
   print_log(first.status.code == KV_OK ? "" : first.status.text);
   fflush(stdout);
}

/* ---- Commands ---- */

static void flip(char *const field[])
{
   struct entry *entry = find_entry(field[1]);
   size_t offset = strtoul(field[2], NULL, 10);
   uint8_t mask = (uint8_t)(1u << (strtoul(field[3], NULL, 10) & 7));
   if (offset >= entry->size)
      die("an offset beyond the file");
   entry->content[offset] ^= mask;
   restore();
   entry->content[offset] ^= mask;
   judge(loader.work);
}

static void cut(char *const field[])
{
   struct entry *entry = find_entry(field[1]);
   size_t size = entry->size;
   entry->size = strtoul(field[2], NULL, 10);
   if (entry->size > size)
      die("longer than the file");
   restore();
   entry->size = size;
   judge(loader.work);
}

static void obey(char *line)
{
   char *field[4] = {0};
   for (size_t i = 0; i < 4 && line; i++)
      field[i] = strsep(&line, "\t");
   if (strcmp(field[0], "image") == 0 && field[1])
      take_image(field[1]);
   else if (strcmp(field[0], "copy") == 0 && field[1])
      judge(field[1]);
   else if (strcmp(field[0], "flip") == 0 && field[3])
      flip(field);
   else if (strcmp(field[0], "cut") == 0 && field[2])
      cut(field);
   else
      die("unknown command");
}

int main(int argc, char **argv)
{
   if (argc != 3) {
      fprintf(stderr, "usage: loader PLUGIN_DIR WORK\n");
      return 2;
   }
   struct kv_status status;
   loader.work = argv[2];
   loader.library = kv_plugin_library_create(argv[1], &status);
   if (!loader.library) {
      fprintf(stderr, "loader: %s\n", status.text);
      return 2;
   }
   loader.log_fd = memfd_create("log", MFD_CLOEXEC);
   if (loader.log_fd < 0 || dup2(loader.log_fd, STDERR_FILENO) < 0)
      die("log");
   kv_log_set_level(KV_LOG_WARNING);
   char *line = NULL;
   size_t capacity = 0;
   for (ssize_t size; (size = getline(&line, &capacity, stdin)) > 0;) {
      line[size - 1] = '\0';
      obey(line);
   }
   free(line);
   return 0;
}
