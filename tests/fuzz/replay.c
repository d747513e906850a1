/*
 * A main for builds without libFuzzer: replays the files, and the files of the folders, given as
 * arguments. So every build, even by another compiler, is tested with what a fuzzer once found.
 */
#include "tests/fuzz/support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Defined by targets that need a setup, as for libFuzzer. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static size_t replayed;

static void replay_file(const char *path)
{
   FILE *file = fopen(path, "rb");
   REQUIRE(file);
   REQUIRE(fseek(file, 0, SEEK_END) == 0);
   long size = ftell(file);
   REQUIRE(size >= 0);
   rewind(file);
   /* Of the exact size, so that a read beyond the end is found. */
   uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
   REQUIRE(data);
   REQUIRE(fread(data, 1, (size_t)size, file) == (size_t)size);
   fclose(file);
   fprintf(stderr, "%s\n", path);
   LLVMFuzzerTestOneInput(data, (size_t)size);
   free(data);
   replayed++;
}

static void replay_folder(const char *folder)
{
   struct dirent **entries;
   int count = scandir(folder, &entries, NULL, alphasort);
   REQUIRE(count >= 0);
   for (int i = 0; i < count; i++) {
      char path[4096];
      if (entries[i]->d_name[0] != '.') {
         snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
         replay_file(path);
      }
      free(entries[i]);
   }
   free(entries);
}

int main(int argc, char **argv)
{
   if (LLVMFuzzerInitialize)
      LLVMFuzzerInitialize(&argc, &argv);
   for (int i = 1; i < argc; i++) {
      struct stat info;
      REQUIRE(stat(argv[i], &info) == 0);
      if (S_ISDIR(info.st_mode))
         replay_folder(argv[i]);
      else
         replay_file(argv[i]);
   }
   printf("%zu inputs replayed\n", replayed);
   return replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
