#include "core/host/plugin_library.h"

#include "core/host/plugin_code.h"
#include "core/host/settings.h"
#include "core/host/trusted_path.h"
#include "core/support/log.h"
#include "core/support/text.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".so"

/* A file that was loaded and refused. It is not loaded again while its bytes are the same: its
 * constructors have run, and the linker may have kept it. */
struct refusal {
   struct refusal *next;
   uint64_t digest;
   struct kv_status status;
   char name[]; /* of the plug-in */
};

struct kv_plugin_library {
   char **directories; /* absolute */
   size_t directory_count;
   const kvs_plugin **accepted;
   size_t accepted_count;
   struct refusal *refusals;
};

static enum kv_code fail_memory(struct kv_status *status)
{
   return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the plug-ins");
}

/* ---- Directories ---- */

/* `path` from the root on, or NULL with errno. Links are followed when a file is opened, since each
 * directory on the way is checked then. */
static char *make_absolute(const char *path)
{
   if (path[0] == '/')
      return strdup(path);
   char *here = getcwd(NULL, 0), *absolute = NULL;
   if (here && asprintf(&absolute, "%s/%s", here, path) < 0) {
      absolute = NULL;
      errno = ENOMEM;
   }
   free(here);
   return absolute;
}

static enum kv_code add_directory(struct kv_plugin_library *library, const char *path,
                                  struct kv_status *status)
{
   char **grown = realloc(library->directories, (library->directory_count + 1) * sizeof *grown);
   if (!grown)
      return fail_memory(status);
   library->directories = grown;
   char *absolute = make_absolute(path);
   struct stat info;
   if (!absolute || stat(absolute, &info) != 0) {
      int reason = errno;
      free(absolute);
      return kv_fail_errno(status, reason, "cannot use the plug-in directory %s", path);
   }
   if (!S_ISDIR(info.st_mode)) {
      free(absolute);
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "cannot use the plug-in directory %s: it is not a directory", path);
   }
   library->directories[library->directory_count++] = absolute;
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
   while (library->refusals) {
      struct refusal *refusal = library->refusals;
      library->refusals = refusal->next;
      free(refusal);
   }
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

/* Adds the file when its name is that of a plug-in not yet in `names`. When memory runs out the
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
   return kv_fail_reason(
       status, KV_NOT_FOUND, "PLUGIN_NOT_FOUND",
       "there is no plug-in \"%s\" in the server's plug-in directories; known: %s", name,
       used > 0 ? list : "none");
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

/* The descriptor of ABI 1.0; what was added later exists only where `size` covers it. */
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

/* ---- Refusals ---- */

static struct refusal **find_refusal(struct kv_plugin_library *library, const char *name)
{
   struct refusal **at = &library->refusals;
   while (*at && strcmp((*at)->name, name) != 0)
      at = &(*at)->next;
   return at;
}

/* When memory runs out it is not remembered. */
static void remember_refusal(struct kv_plugin_library *library, const char *name, uint64_t digest,
                             const struct kv_status *status)
{
   struct refusal **at = find_refusal(library, name);
   if (!*at) {
      *at = calloc(1, sizeof **at + strlen(name) + 1);
      if (!*at)
         return;
      memcpy((*at)->name, name, strlen(name) + 1);
   }
   (*at)->digest = digest;
   (*at)->status = *status;
}

/* ---- Loading ---- */

static enum kv_code find_descriptor(const char *name, const struct kv_plugin_code *code,
                                    const kvs_plugin **plugin, struct kv_status *status)
{
   struct kv_status reason;
   const kvs_plugin *found = dlsym(code->handle, KVS_PLUGIN_SYMBOL);
   enum kv_code result = found ? check_descriptor(name, found, &reason)
                               : kv_fail(&reason, KV_FAILED_PRECONDITION,
                                         "it does not export the symbol %s", KVS_PLUGIN_SYMBOL);
   if (result != KV_OK)
      return kv_fail_reason(status, result, "PLUGIN_UNUSABLE", "plug-in %s cannot be used: %s",
                            name, reason.text);
   *plugin = found;
   return KV_OK;
}

static enum kv_code load_file(struct kv_plugin_library *library, const char *name,
                              const struct kv_trusted_file *file, const kvs_plugin **plugin,
                              struct kv_status *status)
{
   struct kv_plugin_bytes bytes;
   struct kv_plugin_code code;
   enum kv_code result = kv_plugin_bytes_read(name, file, &bytes, status);
   if (result != KV_OK)
      return result;
   const struct refusal *refusal = *find_refusal(library, name);
   if (refusal && bytes.copy >= 0 && refusal->digest == bytes.digest) {
      kv_plugin_bytes_drop(&bytes);
      *status = refusal->status;
      return status->code;
   }
   bool private = bytes.copy >= 0;
   result = kv_plugin_code_map(name, file, &bytes, &code, status);
   if (result != KV_OK)
      return result;
   result = find_descriptor(name, &code, plugin, status);
   if (result == KV_OK) {
      free(code.name);
      return KV_OK;
   }
   kv_log(KV_LOG_WARNING, "%s: %s", file->path, status->text);
   if (private)
      remember_refusal(library, name, bytes.digest, status);
   kv_plugin_code_unmap(&code);
   return result;
}

/* KV_NOT_FOUND when the directory has no such file. */
static enum kv_code load_from(struct kv_plugin_library *library, const char *directory,
                              const char *name, const kvs_plugin **plugin, struct kv_status *status)
{
   char file_name[KV_PLUGIN_NAME_SIZE_MAX + sizeof SUFFIX];
   struct kv_trusted_file file;
   snprintf(file_name, sizeof file_name, "%s" SUFFIX, name);
   enum kv_code code = kv_trusted_file_open(directory, file_name, &file, status);
   if (code == KV_NOT_FOUND)
      return code;
   if (code != KV_OK) {
      /* The status may go to a client, which must not learn paths and owners. */
      kv_log(KV_LOG_WARNING, "plug-in %s: %s", name, status->text);
      return kv_fail_reason(
          status, code, "PLUGIN_UNUSABLE",
          "plug-in %s is not loaded: its file, or a directory above it, cannot be read "
          "or others could change it; the server's log says which",
          name);
   }
   code = load_file(library, name, &file, plugin, status);
   kv_trusted_file_close(&file);
   return code;
}

enum kv_code kv_plugin_library_find(struct kv_plugin_library *library, const char *name,
                                    const kvs_plugin **plugin, struct kv_status *status)
{
   *plugin = NULL;
   if (!is_plugin_name(name)) {
      char shown[KV_TEXT_SHOWN_SIZE];
      return kv_fail_reason(
          status, KV_INVALID_ARGUMENT, "FIELD_INVALID",
          "\"%s\" is not the name of a plug-in: names are 1 to %d lower-case letters, "
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
      code = load_from(library, library->directories[i], name, plugin, status);
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
