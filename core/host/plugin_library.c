#include "core/host/plugin_library.h"

#include "core/host/settings.h"
#include "core/host/text.h"
#include "core/support/log.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".so"

struct kv_plugin_library {
   char **directories; /* real paths */
   size_t directory_count;
   const kvs_plugin **accepted;
   size_t accepted_count;
};

static enum kv_code fail_memory(struct kv_status *status)
{
   return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the plug-ins");
}

/* ---- Directories ---- */

static enum kv_code add_directory(struct kv_plugin_library *library, const char *path,
                                  struct kv_status *status)
{
   char **grown = realloc(library->directories, (library->directory_count + 1) * sizeof *grown);
   if (!grown)
      return fail_memory(status);
   library->directories = grown;
   char *real = realpath(path, NULL);
   if (!real)
      return kv_fail_errno(status, errno, "cannot use the plug-in directory %s", path);
   struct stat info;
   if (stat(real, &info) != 0 || !S_ISDIR(info.st_mode)) {
      free(real);
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "cannot use the plug-in directory %s: it is no directory", path);
   }
   library->directories[library->directory_count++] = real;
   return KV_OK;
}

struct kv_plugin_library *kv_plugin_library_create(const char *directories,
                                                   struct kv_status *status)
{
   struct kv_plugin_library *library = calloc(1, sizeof *library);
   char *list = strdup(directories);
   if (!library || !list) {
      fail_memory(status);
      free(library);
      free(list);
      return NULL;
   }
   kv_fail(status, KV_INVALID_ARGUMENT,
           "no plug-in directory is given; name one, or several separated by ':'");
   char *rest = list;
   for (char *path = strsep(&rest, ":"); path; path = strsep(&rest, ":"))
      if (*path != '\0' && add_directory(library, path, status) != KV_OK)
         kv_log(KV_LOG_WARNING, "%s", status->text);
   free(list);
   if (library->directory_count == 0) {
      kv_plugin_library_destroy(library);
      return NULL;
   }
   return library;
}

void kv_plugin_library_destroy(struct kv_plugin_library *library)
{
   for (size_t i = 0; i < library->directory_count; i++)
      free(library->directories[i]);
   free(library->directories);
   free(library->accepted);
   free(library);
}

/* ---- Names ---- */

static bool is_plugin_name(const char *name)
{
   return kv_text_is_plain_name(name, "-_", KV_PLUGIN_NAME_SIZE_MAX);
}

struct names {
   char **array;
   size_t count;
};

static void free_names(struct names *names)
{
   for (size_t i = 0; i < names->count; i++)
      free(names->array[i]);
   free(names->array);
}

static int compare_names(const void *a, const void *b)
{
   return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes up the file when its name is that of a plug-in not yet in `names`. Where memory is out the
 * list is shorter: it is only shown. */
static void add_name(struct names *names, const char *file)
{
   size_t size = strlen(file);
   if (size <= strlen(SUFFIX) || strcmp(file + size - strlen(SUFFIX), SUFFIX) != 0)
      return;
   char *name = strndup(file, size - strlen(SUFFIX));
   char **grown = realloc(names->array, (names->count + 1) * sizeof *grown);
   if (grown)
      names->array = grown;
   bool wanted = name && grown && is_plugin_name(name);
   for (size_t i = 0; wanted && i < names->count; i++)
      wanted = strcmp(names->array[i], name) != 0;
   if (wanted)
      names->array[names->count++] = name;
   else
      free(name);
}

static struct names find_names(const struct kv_plugin_library *library)
{
   struct names names = {0};
   for (size_t i = 0; i < library->directory_count; i++) {
      DIR *directory = opendir(library->directories[i]);
      if (!directory)
         continue;
      for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
         add_name(&names, entry->d_name);
      closedir(directory);
   }
   if (names.count > 0)
      qsort(names.array, names.count, sizeof *names.array, compare_names);
   return names;
}

static enum kv_code fail_unknown(const struct kv_plugin_library *library, const char *name,
                                 struct kv_status *status)
{
   struct names names = find_names(library);
   char list[400] = "";
   size_t used = 0;
   for (size_t i = 0; i < names.count && used < sizeof list; i++)
      used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                               names.array[i]);
   free_names(&names);
   return kv_fail(status, KV_NOT_FOUND, "there is no plug-in \"%s\" in %s%s; known: %s", name,
                  library->directories[0], library->directory_count > 1 ? " and others" : "",
                  used > 0 ? list : "none");
}

/* ---- Trust ---- */

/* A plug-in runs with all that the server may do: whoever can replace it is the server. */
static enum kv_code check_owner(const char *path, const struct stat *info, struct kv_status *status)
{
   if (info->st_uid != 0 && info->st_uid != geteuid())
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "%s belongs to user id %u; plug-ins are loaded only where root or the "
                     "server's user (id %u) owns file and directory: use chown",
                     path, (unsigned)info->st_uid, (unsigned)geteuid());
   if (info->st_mode & (S_IWGRP | S_IWOTH))
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "%s may be written by others than its owner (mode %04o); plug-ins are not "
                     "loaded from there: use chmod go-w",
                     path, (unsigned)(info->st_mode & 07777));
   return KV_OK;
}

/* `real` is the file that `directory`/<name>.so leads to. */
static enum kv_code check_file(const char *directory, const char *real, struct kv_status *status)
{
   struct stat info;
   if (stat(directory, &info) != 0)
      return kv_fail_errno(status, errno, "cannot look at the plug-in directory %s", directory);
   enum kv_code code = check_owner(directory, &info, status);
   if (code != KV_OK)
      return code;

   size_t directory_size = (size_t)(strrchr(real, '/') - real);
   bool inside =
       strlen(directory) == directory_size && memcmp(directory, real, directory_size) == 0;
   bool inside_root = strcmp(directory, "/") == 0 && directory_size == 0;
   if (!inside && !inside_root)
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "the plug-in file is a link that leaves its directory, to %s; put the file "
                     "itself into %s",
                     real, directory);
   if (stat(real, &info) != 0)
      return kv_fail_errno(status, errno, "cannot look at the plug-in file %s", real);
   if (!S_ISREG(info.st_mode))
      return kv_fail(status, KV_FAILED_PRECONDITION, "%s is no plug-in: it is not a regular file",
                     real);
   return check_owner(real, &info, status);
}

/* ---- The descriptor ---- */

static const char *find_missing_hook(const kvs_plugin *plugin)
{
   if (!plugin->open)
      return "open";
   if (!plugin->on_write)
      return "on_write";
   if (!plugin->close)
      return "close";
   if (plugin->promise != KVS_VOLATILE && !plugin->on_load)
      return "on_load, which what it promises to keep requires";
   if (plugin->promise != KVS_VOLATILE && !plugin->on_tick)
      return "on_tick, which what it promises to keep requires";
   return NULL;
}

/* What a descriptor of ABI 1.0 has; what was added since is there only where `size` covers it. */
#define DESCRIPTOR_SIZE_MIN (offsetof(kvs_plugin, close) + sizeof((const kvs_plugin *)NULL)->close)

/* Each check must hold before the next one may look further into the struct. */
static enum kv_code check_descriptor(const char *name, const kvs_plugin *plugin,
                                     struct kv_status *status)
{
   if (plugin->size >= offsetof(kvs_plugin, name) && plugin->abi_major != KVS_ABI_MAJOR)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "it is built for plug-in ABI %u, and this server has ABI %u; build it against "
                     "this server's kvstore/plugin.h",
                     plugin->abi_major, KVS_ABI_MAJOR);
   if (plugin->size < DESCRIPTOR_SIZE_MIN)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "its descriptor has %u bytes, and ABI %u needs %zu; set size to "
                     "sizeof(kvs_plugin)",
                     plugin->size, KVS_ABI_MAJOR, DESCRIPTOR_SIZE_MIN);
   char shown[KV_TEXT_SHOWN_SIZE];
   if (!plugin->name || strcmp(plugin->name, name) != 0)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "its descriptor has the name \"%s\"; file and descriptor must have the same "
                     "name",
                     kv_text_show(plugin->name ? plugin->name : "", shown, sizeof shown));
   if (!plugin->version || !kv_text_is_printable(plugin->version) || !plugin->description ||
       !kv_text_is_printable(plugin->description))
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "its version or description is missing or not printable text");
   if (plugin->promise > KVS_DURABLE)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "it makes promise number %u, which this server does not know",
                     plugin->promise);
   if (plugin->promise == KVS_DURABLE && (plugin->flags & KVS_PLUGIN_PROMPT))
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "it promises KVS_DURABLE, so its on_write waits for a disk, and yet it sets "
                     "KVS_PLUGIN_PROMPT; leave out one of them");
   const char *hook = find_missing_hook(plugin);
   if (hook)
      return kv_fail(status, KV_FAILED_PRECONDITION, "it lacks the hook %s", hook);
   return kv_settings_check_declaration(plugin, status);
}

/* ---- Loading ---- */

static enum kv_code load_library(const char *name, const char *path, const kvs_plugin **plugin,
                                 struct kv_status *status)
{
   struct kv_status reason;
   void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
   if (!handle)
      return kv_fail(status, KV_FAILED_PRECONDITION, "plug-in %s cannot be loaded: %s", name,
                     dlerror());
   const kvs_plugin *found = dlsym(handle, KVS_PLUGIN_SYMBOL);
   enum kv_code code = found ? check_descriptor(name, found, &reason)
                             : kv_fail(&reason, KV_FAILED_PRECONDITION,
                                       "it does not export the symbol %s", KVS_PLUGIN_SYMBOL);
   if (code != KV_OK) {
      kv_fail(status, code, "plug-in %s (%s) cannot be used: %s", name, path, reason.text);
      dlclose(handle);
      return code;
   }
   *plugin = found;
   return KV_OK;
}

/* KV_NOT_FOUND when the directory has no such file. */
static enum kv_code load_from(const char *directory, const char *name, const kvs_plugin **plugin,
                              struct kv_status *status)
{
   char path[PATH_MAX], real[PATH_MAX];
   int size = snprintf(path, sizeof path, "%s/%s%s", directory, name, SUFFIX);
   if (size < 0 || (size_t)size >= sizeof path)
      return kv_fail(status, KV_FAILED_PRECONDITION, "the path %s/%s%s is too long", directory,
                     name, SUFFIX);
   if (!realpath(path, real)) {
      if (errno == ENOENT)
         return KV_NOT_FOUND;
      return kv_fail_errno(status, errno, "cannot look at the plug-in file %s", path);
   }
   enum kv_code code = check_file(directory, real, status);
   return code == KV_OK ? load_library(name, real, plugin, status) : code;
}

enum kv_code kv_plugin_library_find(struct kv_plugin_library *library, const char *name,
                                    const kvs_plugin **plugin, struct kv_status *status)
{
   *plugin = NULL;
   if (!is_plugin_name(name)) {
      char shown[KV_TEXT_SHOWN_SIZE];
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "\"%s\" is no name of a plug-in: names are 1 to %d lower-case letters, "
                     "digits, '-' and '_', never a path",
                     kv_text_show(name, shown, sizeof shown), KV_PLUGIN_NAME_SIZE_MAX);
   }
   for (size_t i = 0; i < library->accepted_count; i++)
      if (strcmp(library->accepted[i]->name, name) == 0) {
         *plugin = library->accepted[i];
         return KV_OK;
      }

   const kvs_plugin **grown =
       reallocarray(library->accepted, library->accepted_count + 1, sizeof library->accepted[0]);
   if (!grown)
      return fail_memory(status);
   library->accepted = grown;
   enum kv_code code = KV_NOT_FOUND;
   for (size_t i = 0; code == KV_NOT_FOUND && i < library->directory_count; i++)
      code = load_from(library->directories[i], name, plugin, status);
   if (code == KV_NOT_FOUND)
      return fail_unknown(library, name, status);
   if (code == KV_OK)
      library->accepted[library->accepted_count++] = *plugin;
   return code;
}

void kv_plugin_library_list(struct kv_plugin_library *library,
                            void (*visit)(void *context, const char *name, const kvs_plugin *plugin,
                                          const char *error),
                            void *context)
{
   struct names names = find_names(library);
   for (size_t i = 0; i < names.count; i++) {
      const kvs_plugin *plugin;
      struct kv_status status;
      if (kv_plugin_library_find(library, names.array[i], &plugin, &status) == KV_OK)
         visit(context, names.array[i], plugin, NULL);
      else
         visit(context, names.array[i], NULL, status.text);
   }
   free_names(&names);
}
