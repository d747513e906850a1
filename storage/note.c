#include "storage/note.h"

#include "storage/file.h"
#include "storage/folder.h"

#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

void storage_warn(const kvs_host *host, const char *message, ...)
{
   char text[PATH_MAX + 2 * NAME_MAX];
   va_list arguments;
   va_start(arguments, message);
   vsnprintf(text, sizeof text, message, arguments);
   va_end(arguments);
   host->log(host, KVS_LOG_WARNING, text);
}

void storage_note(const kvs_host *host, kvs_load_note note)
{
   if (host->size < offsetof(kvs_host, load_note) + sizeof host->load_note || !host->load_note)
      return;
   size_t length = strlen(host->directory);
   note.size = sizeof note;
   if (note.file && strncmp(note.file, host->directory, length) == 0 && note.file[length] == '/')
      note.file += length + 1;
   host->load_note(host, &note);
}

void storage_note_bytes(const kvs_host *host, uint32_t kind, uint64_t bytes)
{
   if (bytes > 0)
      storage_note(host, (kvs_load_note){.kind = kind, .bytes = bytes});
}

struct expected {
   const kvs_host *host;
   const struct storage_folder *folder;
   const char *suffix;
};

static int expect(void *context, const char *name, kvs_error *error)
{
   (void)error;
   const struct expected *expected = context;
   if (storage_ends_in(name, expected->suffix))
      storage_note_bytes(expected->host, KVS_LOAD_EXPECTED,
                         storage_folder_size_of(expected->folder, name));
   return KVS_OK;
}

void storage_note_expected(const kvs_host *host, const char *name, const char *suffix)
{
   kvs_error ignored = {.size = sizeof ignored};
   struct storage_folder folder;
   struct expected expected = {host, &folder, suffix};
   /* Whoever reads the files reports what is wrong with them. */
   if (storage_folder_find(host, name, &folder, &ignored) == KVS_OK)
      (void)storage_folder_each(&folder, expect, &expected, &ignored);
   storage_folder_close(&folder);
}

/* Length of the path of the data directory, which holds the generation's. Under a wrapper, the
 * host's directory lies deeper. */
static int data_directory_length(const char *directory)
{
   const char *end = NULL;
   for (const char *at = directory; (at = strstr(at, "/gen-")); at++)
      end = at;
   if (!end)
      end = strrchr(directory, '/');
   return end ? (int)(end - directory) : 0;
}

int storage_remedy(const kvs_host *host, int code, kvs_error *error)
{
   if (code != KVS_CORRUPT)
      return code;
   char remedy[KVS_ERROR_TEXT_SIZE];
   int size = snprintf(remedy, sizeof remedy,
                       ", or go on with what is sound before that: kvstore-check --recover=prefix "
                       "%.*s",
                       data_directory_length(host->directory), host->directory);
   /* A path that would take most of the text is left out. */
   if (size < 0 || (size_t)size > sizeof error->text / 2)
      size = snprintf(remedy, sizeof remedy, ", or see kvstore-check --recover=prefix");
   size_t length = strnlen(error->text, sizeof error->text - 1);
   size_t space = sizeof error->text - 1 - (size_t)size;
   memcpy(error->text + (length < space ? length : space), remedy, (size_t)size + 1);
   return code;
}
