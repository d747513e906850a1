#include "tests/support/temporary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void temporary_create(struct temporary *temporary)
{
   const char *parent = getenv("TMPDIR");
   snprintf(temporary->path, sizeof temporary->path, "%s/kvstore-test-XXXXXX",
            parent ? parent : "/tmp");
   assert_non_null(mkdtemp(temporary->path));
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *position)
{
   (void)info;
   (void)type;
   (void)position;
   return remove(path);
}

void temporary_remove(struct temporary *temporary)
{
   assert_int_equal(nftw(temporary->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *temporary_path(const struct temporary *temporary, const char *name, char *path)
{
   int size = snprintf(path, TEMPORARY_PATH_SIZE, "%s/%s", temporary->path, name);
   assert_in_range(size, 1, TEMPORARY_PATH_SIZE - 1);
   return path;
}

bool temporary_has(const struct temporary *temporary, const char *name)
{
   char path[TEMPORARY_PATH_SIZE];
   struct stat info;
   return lstat(temporary_path(temporary, name, path), &info) == 0;
}

unsigned temporary_mode(const struct temporary *temporary, const char *name)
{
   char path[TEMPORARY_PATH_SIZE];
   struct stat info;
   assert_int_equal(lstat(temporary_path(temporary, name, path), &info), 0);
   return info.st_mode & 07777;
}

static char *read_file(const char *path, size_t *size)
{
   FILE *file = fopen(path, "rb");
   assert_non_null(file);
   struct stat info;
   assert_int_equal(fstat(fileno(file), &info), 0);
   *size = (size_t)info.st_size;
   char *data = calloc(1, *size + 1);
   assert_non_null(data);
   assert_int_equal(fread(data, 1, *size, file), *size);
   fclose(file);
   return data;
}

char *temporary_read(const struct temporary *temporary, const char *name, size_t *size)
{
   char path[TEMPORARY_PATH_SIZE];
   return read_file(temporary_path(temporary, name, path), size);
}

void temporary_write(const struct temporary *temporary, const char *name, const void *data,
                     size_t size)
{
   char path[TEMPORARY_PATH_SIZE];
   FILE *file = fopen(temporary_path(temporary, name, path), "wb");
   assert_non_null(file);
   assert_int_equal(fwrite(data, 1, size, file), size);
   assert_int_equal(fclose(file), 0);
}

void temporary_copy(const struct temporary *temporary, const char *from, const char *name)
{
   char path[TEMPORARY_PATH_SIZE];
   size_t size;
   char *data = read_file(from, &size);
   temporary_write(temporary, name, data, size);
   free(data);
   assert_int_equal(chmod(temporary_path(temporary, name, path), 0755), 0);
}
