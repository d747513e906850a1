#include "storage/note.h"

#include "storage/file.h"
#include "storage/folder.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

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

void storage_note_expected(const kvs_host *host, const char *name, const char *ending)
{
   kvs_error ignored = {.size = sizeof ignored};
   struct storage_folder folder;
   if (storage_folder_find(host, name, &folder, &ignored) != KVS_OK || folder.fd < 0)
      return; /* who reads the files says what is wrong */
   DIR *listing;
   (void)storage_folder_list(&folder, &listing, &ignored);
   for (const struct dirent *entry; listing && (entry = readdir(listing));)
      if (storage_ends_in(entry->d_name, ending))
         storage_note_bytes(host, KVS_LOAD_EXPECTED,
                            storage_folder_size_of(&folder, entry->d_name));
   if (listing)
      closedir(listing);
   storage_folder_close(&folder);
}

/* Length of the path of the data directory: what a generation's folder is in. Under a wrapper, the
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
   /* A path that leaves no room for anything else is not worth what it would push out. */
   if (size < 0 || (size_t)size > sizeof error->text / 2)
      size = snprintf(remedy, sizeof remedy, ", or see kvstore-check --recover=prefix");
   size_t length = strnlen(error->text, sizeof error->text - 1);
   size_t room = sizeof error->text - 1 - (size_t)size;
   memcpy(error->text + (length < room ? length : room), remedy, (size_t)size + 1);
   return code;
}
