#include "sdk/check/faults.h"

#include "sdk/check/check.h"

#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fault_control *control(void)
{
   return dlsym(RTLD_DEFAULT, FAULT_CONTROL_SYMBOL);
}

bool faults_available(void)
{
   return control() != NULL;
}

void faults_watch(const char *directory)
{
   char *real = realpath(directory, NULL);
   if (!real || strlen(real) >= FAULT_ROOT_SIZE)
      check_broken("%s: no such directory", directory);
   strcpy(control()->root, real);
   free(real);
}

void faults_arm(uint32_t kinds, enum fault_action action, int error, uint64_t first)
{
   struct fault_control *rule = control();
   rule->kinds = 0;
   rule->action = action;
   rule->error = error;
   rule->first = first;
   rule->seen = 0;
   rule->hits = 0;
   rule->file_sync_count = 0;
   rule->kinds = kinds;
}

void faults_heal(void)
{
   control()->kinds = 0;
}

uint64_t faults_hits(void)
{
   return control()->hits;
}

uint64_t faults_count(uint32_t kind)
{
   return control()->counts[__builtin_ctz(kind)];
}

/* ---- A power cut --------------------------------------------------------------------------- */

enum { FILES_MAX = 256 };

static uint64_t older[FILES_MAX]; /* inodes of the files that were there before */
static size_t older_count, lost_count;

static int note_older(const char *path, const struct stat *info, int type, struct FTW *place)
{
   (void)path, (void)place;
   if (type == FTW_F && older_count == FILES_MAX)
      check_broken("more than %d files", FILES_MAX);
   if (type == FTW_F)
      older[older_count++] = info->st_ino;
   return 0;
}

static bool is_older(uint64_t inode)
{
   for (size_t i = 0; i < older_count; i++)
      if (older[i] == inode)
         return true;
   return false;
}

/* Whether its syncs have all failed, and there was one. */
static bool is_unsynced(uint64_t inode)
{
   const struct fault_control *rule = control();
   size_t count = rule->file_sync_count;
   bool failed = false;
   if (count > FAULT_FILE_SYNCS_MAX)
      return false; /* not all are known */
   for (size_t i = 0; i < count; i++) {
      if (rule->file_syncs[i].inode != inode)
         continue;
      if (!rule->file_syncs[i].failed)
         return false;
      failed = true;
   }
   return failed;
}

static int lose_unsynced(const char *path, const struct stat *info, int type, struct FTW *place)
{
   (void)place;
   if (type != FTW_F || is_older(info->st_ino) || !is_unsynced(info->st_ino))
      return 0;
   if (truncate(path, 0) != 0)
      check_broken("cannot cut %s: %s", path, strerror(errno));
   lost_count++;
   return 0;
}

static void walk(__nftw_func_t visit)
{
   if (nftw(control()->root, visit, 16, FTW_PHYS) != 0)
      check_broken("cannot look through %s: %s", control()->root, strerror(errno));
}

void faults_before_power_cut(void)
{
   older_count = 0;
   walk(note_older);
}

size_t faults_power_cut(void)
{
   lost_count = 0;
   walk(lose_unsynced);
   return lost_count;
}
