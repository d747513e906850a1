#include "core/host/plugin_code.h"

#include "core/support/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* Of kernels since 6.3; a system can be configured to allow nothing else. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* ---- The copy ---- */

/* A file in memory; -1 with errno. */
static int create_memory_file(const char *name)
{
   char shown[NAME_MAX];
   snprintf(shown, sizeof shown, "%s.so", name);
   int fd = memfd_create(shown, MFD_CLOEXEC | MFD_ALLOW_SEALING);
   if (fd < 0 && errno == EACCES)
      fd = memfd_create(shown, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
   return fd;
}

static bool same_content(const struct stat *a, const struct stat *b)
{
   return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
          a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
          a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static enum kv_code copy_content(const char *name, int from, int to, size_t *size,
                                 struct kv_status *status)
{
   struct stat before, after;
   if (fstat(from, &before) != 0)
      return kv_fail_errno(status, errno, "cannot examine the file of plug-in %s", name);
   if ((uint64_t)before.st_size > KV_PLUGIN_FILE_SIZE_MAX)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "the file of plug-in %s has %lld bytes; at most %llu are loaded", name,
                     (long long)before.st_size, (unsigned long long)KV_PLUGIN_FILE_SIZE_MAX);
   off_t copied = 0;
   while (copied < before.st_size) {
      ssize_t sent = sendfile(to, from, &copied, (size_t)(before.st_size - copied));
      if (sent < 0 && errno == EINTR)
         continue;
      if (sent < 0)
         return kv_fail_errno(status, errno, "cannot copy the file of plug-in %s into memory",
                              name);
      if (sent == 0)
         break;
   }
   if (fstat(from, &after) != 0)
      return kv_fail_errno(status, errno, "cannot examine the file of plug-in %s", name);
   if (copied != before.st_size || !same_content(&before, &after))
      return kv_fail(status, KV_UNAVAILABLE,
                     "the file of plug-in %s changed while it was being read; try again when it is "
                     "complete",
                     name);
   *size = (size_t)copied;
   return KV_OK;
}

static enum kv_code digest_of(const char *name, int fd, size_t size, uint64_t *digest,
                              struct kv_status *status)
{
   *digest = XXH3_64bits(NULL, 0);
   if (size == 0)
      return KV_OK;
   void *mapping = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
   if (mapping == MAP_FAILED)
      return kv_fail_errno(status, errno, "cannot read the copy of plug-in %s", name);
   *digest = XXH3_64bits(mapping, size);
   munmap(mapping, size);
   return KV_OK;
}

enum kv_code kv_plugin_bytes_read(const char *name, const struct kv_trusted_file *file,
                                  struct kv_plugin_bytes *bytes, struct kv_status *status)
{
   *bytes = (struct kv_plugin_bytes){.copy = create_memory_file(name)};
   if (bytes->copy < 0) {
      if (errno == ENOSYS || errno == EACCES || errno == EPERM)
         return KV_OK;
      return kv_fail_errno(status, errno, "no memory for a copy of plug-in %s", name);
   }
   size_t size;
   enum kv_code code = copy_content(name, file->fd, bytes->copy, &size, status);
   if (code == KV_OK && fcntl(bytes->copy, F_ADD_SEALS, SEALS) != 0)
      code = kv_fail_errno(status, errno, "cannot seal the copy of plug-in %s", name);
   if (code == KV_OK)
      code = digest_of(name, bytes->copy, size, &bytes->digest, status);
   if (code != KV_OK)
      kv_plugin_bytes_drop(bytes);
   return code;
}

void kv_plugin_bytes_drop(struct kv_plugin_bytes *bytes)
{
   if (bytes->copy >= 0)
      close(bytes->copy);
   bytes->copy = -1;
}

/* ---- Mapping ---- */

/* The copy's path under `process` in /proc, or NULL when that does not lead to it: the /proc of
 * another container shows other processes under the same numbers. */
static char *path_of_copy(const char *process, int copy)
{
   char *path;
   struct stat wanted, found;
   if (asprintf(&path, "/proc/%s/fd/%d", process, copy) < 0)
      return NULL;
   if (fstat(copy, &wanted) == 0 && stat(path, &found) == 0 && wanted.st_dev == found.st_dev &&
       wanted.st_ino == found.st_ino)
      return path;
   free(path);
   return NULL;
}

/* The path for the linker, or NULL when memory runs out. Where no path leads to the copy it is
 * dropped in favour of the file itself, which only root and the server's user can have replaced. */
static char *choose_name(const char *name, const struct kv_trusted_file *file,
                         struct kv_plugin_bytes *bytes)
{
   char process[24];
   snprintf(process, sizeof process, "%ld", (long)getpid());
   char *path = NULL;
   if (bytes->copy >= 0)
      path = path_of_copy(process, bytes->copy); /* which a debugger can follow, too */
   if (!path && bytes->copy >= 0)
      path = path_of_copy("self", bytes->copy);
   if (path)
      return path;
   kv_log(KV_LOG_WARNING,
          "plug-in %s is mapped from its file, since /proc or sealed memory is missing: do not "
          "overwrite %s while the server runs",
          name, file->path);
   kv_plugin_bytes_drop(bytes);
   return strdup(file->path);
}

/* The linker's text, without the name that it gives to the file. */
static const char *reason_of(const struct kv_plugin_code *code)
{
   const char *text = dlerror();
   size_t size = strlen(code->name);
   if (!text)
      return "the dynamic linker gives no reason";
   return strncmp(text, code->name, size) == 0 && strncmp(text + size, ": ", 2) == 0
              ? text + size + 2
              : text;
}

enum kv_code kv_plugin_code_map(const char *name, const struct kv_trusted_file *file,
                                struct kv_plugin_bytes *bytes, struct kv_plugin_code *code,
                                struct kv_status *status)
{
   *code = (struct kv_plugin_code){.name = choose_name(name, file, bytes)};
   code->copy = bytes->copy;
   bytes->copy = -1;
   if (!code->name) {
      kv_plugin_code_unmap(code);
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for plug-in %s", name);
   }
   code->handle = dlopen(code->name, RTLD_NOW | RTLD_LOCAL);
   if (!code->handle) {
      kv_fail(status, KV_FAILED_PRECONDITION, "plug-in %s cannot be loaded: %s", name,
              reason_of(code));
      kv_plugin_code_unmap(code);
      return status->code;
   }
   kv_log(KV_LOG_DEBUG, "plug-in %s: %s is mapped from %s", name, file->path, code->name);
   return KV_OK;
}

void kv_plugin_code_unmap(struct kv_plugin_code *code)
{
   bool stays = false;
   if (code->handle) {
      dlclose(code->handle);
      void *handle = dlopen(code->name, RTLD_LAZY | RTLD_NOLOAD);
      stays = handle != NULL;
      if (handle)
         dlclose(handle);
   }
   /* The linker takes equal names for the same library: the name of one that stays must not come to
    * lead elsewhere. */
   if (code->copy >= 0 && !stays)
      close(code->copy);
   free(code->name);
}
