/* Its directory and others'. */
#include "sdk/check/cases.h"
#include "sdk/check/driver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char foreign_text[] = "no file of the plug-in\n";

static void write_foreign(const char *directory, const char *name)
{
   char path[CHECK_PATH_SIZE + 64];
   snprintf(path, sizeof path, "%s/%s", directory, name);
   FILE *file = fopen(path, "w");
   if (!file || fputs(foreign_text, file) < 0 || fclose(file) != 0)
      check_broken("cannot write %s: %s", path, strerror(errno));
}

static void check_foreign(const char *directory, const char *name)
{
   char path[CHECK_PATH_SIZE + 64], text[sizeof foreign_text + 1] = "";
   snprintf(path, sizeof path, "%s/%s", directory, name);
   FILE *file = fopen(path, "r");
   if (!file)
      check_fail("the file %s, which is not its own, has vanished from its directory", name);
   size_t size = fread(text, 1, sizeof text - 1, file);
   fclose(file);
   if (size != sizeof foreign_text - 1 || memcmp(text, foreign_text, size) != 0)
      check_fail("the file %s, which is not its own, was changed", name);
}

void case_foreign_files(const struct check_subject *subject)
{
   static const char *const names[] = {"lost+found.txt", ".hidden", "README", "folder/file"};
   struct driver driver;
   struct kv_status status;
   char path[CHECK_PATH_SIZE + 16];
   driver_begin(&driver, subject, "foreign");
   driver_set(&driver, "mine", "1");
   driver_reload(&driver);
   snprintf(path, sizeof path, "%s/folder", driver.directory);
   if (mkdir(path, 0700) != 0)
      check_broken("cannot make %s: %s", path, strerror(errno));
   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
      write_foreign(driver.directory, names[i]);
   driver_close(&driver);
   struct kv_store *expected = driver.store;
   driver.store = NULL;
   /* It may refuse, as long as it says so; what it loads must be its own. */
   if (driver_try_open(&driver, &status) == KV_OK) {
      driver_close(&driver);
      driver_open_and_compare(&driver, expected, "a restart with foreign files in its directory");
      driver_set(&driver, "mine", "2");
      driver_tick(&driver, KVS_TICK_CHECKPOINT);
      driver_end(&driver);
   }
   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
      check_foreign(driver.directory, names[i]);
   kv_store_destroy(expected);
}

void case_other_store(const struct check_subject *subject)
{
   struct driver driver;
   struct kv_status status;
   driver_begin(&driver, subject, "store");
   driver_set(&driver, "of", "this store");
   driver_reload(&driver);
   driver_tick(&driver, KVS_TICK_SHUTDOWN);
   driver_close(&driver);
   driver.store_id[0] ^= 1;
   if (driver_try_open(&driver, &status) == KV_OK)
      check_fail("it opens and loads the files of another store; keep host->store_id in them and "
                 "refuse what has another one");
   /* A hook that fails must give a reason; the host says when it did not. */
   if (strstr(status.text, "gave no reason"))
      check_fail("it refuses the files of another store without a reason");
   /* Refusing has changed nothing. */
   driver.store_id[0] ^= 1;
   struct kv_store *expected = driver.store;
   driver.store = NULL;
   driver_open_and_compare(&driver, expected, "it was opened for another store in between");
   kv_store_destroy(expected);
   driver_end(&driver);
}

/* ---- Outside ------------------------------------------------------------------------------- */

static void check_only(const char *directory, const char *const *allowed, size_t count)
{
   DIR *listing = opendir(directory);
   if (!listing)
      check_broken("cannot read %s: %s", directory, strerror(errno));
   for (const struct dirent *entry; (entry = readdir(listing));) {
      bool known = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
      for (size_t i = 0; i < count; i++)
         known |= strcmp(entry->d_name, allowed[i]) == 0;
      if (!known)
         check_fail("it made %s/%s, which is outside of its directory", directory, entry->d_name);
   }
   closedir(listing);
}

/* Files open for writing that lie elsewhere; devices, pipes and deleted files are no data. */
static void check_descriptors(const char *directory, const char *when)
{
   for (int fd = 3; fd < 1024; fd++) {
      struct stat info;
      char link[64], path[CHECK_PATH_SIZE];
      int flags = fcntl(fd, F_GETFL);
      if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || fstat(fd, &info) != 0 ||
          !S_ISREG(info.st_mode) || info.st_nlink == 0)
         continue;
      snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
      ssize_t size = readlink(link, path, sizeof path - 1);
      path[size > 0 ? size : 0] = '\0';
      if (strncmp(path, directory, strlen(directory)) != 0)
         check_fail("%s it has %s open for writing, which is outside of its directory", when, path);
   }
}

/* The working directory, the home directory and the one for temporary files are all places of the
 * case, and so is the parent of the plug-in's own. */
void case_stays_inside(const struct check_subject *subject)
{
   static const char *const places[] = {"data", "home", "temporary", "working"};
   static const char *const own[] = {"own"};
   char paths[4][CHECK_PATH_SIZE];
   struct driver driver;
   for (size_t i = 0; i < 4; i++)
      driver_make_directory(subject, places[i], paths[i]);
   if (setenv("HOME", paths[1], 1) != 0 || setenv("TMPDIR", paths[2], 1) != 0 ||
       chdir(paths[3]) != 0)
      check_broken("cannot move to %s: %s", paths[3], strerror(errno));
   driver_begin(&driver, subject, "data/own");
   check_descriptors(driver.directory, "after open");
   for (int i = 0; i < 50; i++) {
      char key[16];
      snprintf(key, sizeof key, "key %d", i);
      driver_set(&driver, key, "value");
      check_descriptors(driver.directory, "after on_write");
   }
   driver_tick(&driver, KVS_TICK_PERIODIC);
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   check_descriptors(driver.directory, "after on_tick");
   driver_tick(&driver, KVS_TICK_SHUTDOWN);
   driver_end(&driver);
   check_descriptors(driver.directory, "after close");
   check_only(subject->workspace, places, 4);
   check_only(paths[0], own, 1);
   for (size_t i = 1; i < 4; i++)
      check_only(paths[i], NULL, 0);
}
