#include "core/memory.h"

#include "core/support/log.h"
#include "core/support/size.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Fits a line of /proc/self/mountinfo with two long paths. */
#define LINE_SIZE (4 * PATH_MAX)
#define BLANKS " \t\n"

enum version { VERSION_1 = 1, VERSION_2 = 2 };

/* Where the groups of a version are seen: `root`, of their tree, at `point`. */
struct mount {
   char root[PATH_MAX], point[PATH_MAX];
};

static FILE *open_below(const char *root, const char *path)
{
   char whole[2 * PATH_MAX];
   snprintf(whole, sizeof whole, "%s%s", root, path);
   return fopen(whole, "re");
}

/* ---- Where the control group is ---- */

/* Whether `item` is one of those that commas separate. */
static bool has_item(const char *list, const char *item)
{
   size_t size = strlen(item);
   for (const char *at = list; (at = strstr(at, item)); at += size)
      if ((at == list || at[-1] == ',') && (at[size] == '\0' || at[size] == ','))
         return true;
   return false;
}

/* In place: mountinfo has blanks and backslashes as \ooo. */
static void unescape(char *text)
{
   char *to = text;
   for (const char *from = text; *from; to++)
      if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
         *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
         from += 4;
      } else {
         *to = *from++;
      }
   *to = '\0';
}

/* ID PARENT DEVICE ROOT POINT OPTION... - TYPE SOURCE SUPER_OPTIONS */
static bool parse_mount(char *line, enum version version, struct mount *mount)
{
   char *type = strstr(line, " - "), *rest = NULL, *root = NULL, *point = NULL;
   if (!type)
      return false;
   *type = '\0';
   type = strtok_r(type + 3, BLANKS, &rest);
   (void)strtok_r(NULL, BLANKS, &rest);
   const char *options = strtok_r(NULL, BLANKS, &rest);
   if (!type || !options || strcmp(type, version == VERSION_2 ? "cgroup2" : "cgroup") != 0 ||
       (version == VERSION_1 && !has_item(options, "memory")))
      return false;
   char *word = strtok_r(line, BLANKS, &rest);
   for (int i = 0; word && i < 5; i++, word = strtok_r(NULL, BLANKS, &rest)) {
      root = i == 3 ? word : root;
      point = i == 4 ? word : point;
   }
   if (!point)
      return false;
   unescape(root);
   unescape(point);
   snprintf(mount->root, sizeof mount->root, "%s", root);
   snprintf(mount->point, sizeof mount->point, "%s", point);
   return true;
}

static bool find_mount(const char *root, enum version version, struct mount *mount)
{
   char line[LINE_SIZE];
   bool found = false;
   FILE *file = open_below(root, "/proc/self/mountinfo");
   while (file && !found && fgets(line, sizeof line, file))
      found = parse_mount(line, version, mount);
   if (file)
      fclose(file);
   return found;
}

/* The path of the group within its tree: NUMBER:CONTROLLERS:PATH; version 2 has "0::". */
static bool find_group(const char *root, enum version version, char path[PATH_MAX])
{
   char line[LINE_SIZE];
   bool found = false;
   FILE *file = open_below(root, "/proc/self/cgroup");
   while (file && !found && fgets(line, sizeof line, file)) {
      char *controllers = strchr(line, ':'),
           *at = controllers ? strchr(controllers + 1, ':') : NULL;
      if (!at)
         continue;
      *at++ = '\0';
      at[strcspn(at, "\n")] = '\0';
      found = version == VERSION_2 ? strcmp(line, "0:") == 0 : has_item(controllers + 1, "memory");
      snprintf(path, PATH_MAX, "%s", at);
   }
   if (file)
      fclose(file);
   return found;
}

/* What of the path lies below the mount. A container may see its own group alone, mounted under
 * another name than it has for the system: that is where the mount begins. */
static const char *below_mount(const struct mount *mount, const char *path)
{
   size_t size = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);
   if (strncmp(path, mount->root, size) != 0 || path[size] != '/' || strstr(path, "/.."))
      return "";
   return strcmp(path + size, "/") == 0 ? "" : path + size;
}

/* ---- What it says ---- */

static void read_limit(const char *root, const char *folder, const char *name,
                       struct kv_memory_limit *limit)
{
   char path[2 * PATH_MAX], text[32];
   uint64_t bytes;
   snprintf(path, sizeof path, "%s/%s", folder, name);
   FILE *file = open_below(root, path);
   if (!file)
      return;
   if (fgets(text, sizeof text, file)) {
      text[strcspn(text, "\n")] = '\0';
      if (kv_number_parse(text, &bytes) && (limit->bytes == 0 || bytes < limit->bytes)) {
         limit->bytes = bytes > 0 ? bytes : 1;
         snprintf(limit->file, sizeof limit->file, "%s", path);
      }
   }
   fclose(file);
}

/* Goes from the group up to the mount: each of them limits all that is below it. */
static void read_groups(const char *root, enum version version, struct kv_memory_limit *limit)
{
   struct mount mount;
   char path[PATH_MAX], folder[2 * PATH_MAX];
   if (!find_group(root, version, path) || !find_mount(root, version, &mount))
      return;
   size_t top = strlen(mount.point);
   snprintf(folder, sizeof folder, "%s%s", mount.point, below_mount(&mount, path));
   for (;;) {
      if (version == VERSION_1) {
         read_limit(root, folder, "memory.limit_in_bytes", limit);
      } else {
         read_limit(root, folder, "memory.max", limit);
         read_limit(root, folder, "memory.high", limit);
      }
      char *slash = strrchr(folder, '/');
      if (strlen(folder) <= top || !slash)
         return;
      *slash = '\0';
   }
}

void kv_memory_limit_find(const char *root, struct kv_memory_limit *limit)
{
   *limit = (struct kv_memory_limit){0};
   read_groups(root, VERSION_2, limit);
   read_groups(root, VERSION_1, limit);
   long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
   if (pages > 0 && size > 0 && limit->bytes / (uint64_t)size >= (uint64_t)pages)
      *limit = (struct kv_memory_limit){0};
}

/* ---- What comes of it ---- */

/* What a key takes beside its bytes: its entry's head, its place in the index, and what the
 * allocator rounds up. Some 40 bytes where keys and values are small. */
#define KEY_COST 48

#define HISTORY_MIN ((uint64_t)1024 * 1024) /* as the setting has it */

void kv_memory_share(const struct kv_memory_limit *limit, struct kv_config *config)
{
   if (limit->bytes == 0)
      return;
   config->memory_limit = limit->bytes;
   config->memory_limit_file = limit->file;
   if (!config->max_wire_memory_given && limit->bytes / 4 < config->max_wire_memory)
      config->max_wire_memory = limit->bytes / 4 > config->max_message_size
                                    ? limit->bytes / 4
                                    : config->max_message_size; /* at least, see config.c */
   if (!config->watch_history_given && limit->bytes / 16 < config->watch_history)
      config->watch_history = limit->bytes / 16 > HISTORY_MIN ? limit->bytes / 16 : HISTORY_MIN;
   if (config->max_memory_given)
      return;
   /* The other half is for what checkpoints keep of data that has been overwritten. */
   const uint64_t taken = config->max_wire_memory + config->watch_history;
   const uint64_t left = limit->bytes > taken ? limit->bytes - taken : 0;
   config->max_memory = left / 2 > limit->bytes / 8 ? left / 2 : limit->bytes / 8;
   config->key_cost = KEY_COST;
}

void kv_memory_log(const struct kv_config *config)
{
   uint64_t limit = config->memory_limit;
   if (limit == 0)
      return;
   kv_log(KV_LOG_INFO,
          "the process may take %" PRIu64 " bytes of memory (%s); max-memory is %" PRIu64
          ", max-wire-memory %" PRIu64,
          limit, config->memory_limit_file, config->max_memory, config->max_wire_memory);
   if (config->max_memory == 0 || config->max_memory > limit ||
       config->max_wire_memory > limit - config->max_memory)
      kv_log(KV_LOG_WARNING,
             "data and calls may take more memory than the process, which the system would end "
             "then; lower max-memory (0 means no limit) or max-wire-memory, or raise the limit");
}
