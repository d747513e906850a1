#include "check/place.h"

#include "storage/key_check.h"

#include <stdio.h>
#include <string.h>

static enum kept kept_by(const char *plugin)
{
   static const struct {
      const char *plugin;
      enum kept kept;
   } known[] = {{"none", KEPT_NOTHING},
                {"snapshot", KEPT_SNAPSHOTS},
                {"aof", KEPT_JOURNAL},
                {"hybrid", KEPT_JOURNAL}};
   for (size_t i = 0; i < sizeof known / sizeof *known; i++)
      if (strcmp(plugin, known[i].plugin) == 0)
         return known[i].kept;
   return KEPT_UNKNOWN;
}

static const char *inner_of(const struct kv_active *active)
{
   for (size_t i = 0; i < active->option_count; i++)
      if (strcmp(active->options[i].name, "inner") == 0)
         return active->options[i].value;
   return "";
}

void place_find(const struct kv_active *active, struct place *place)
{
   bool encrypted = strcmp(active->plugin, "encrypt") == 0;
   const char *keeper = encrypted ? inner_of(active) : active->plugin;
   *place = (struct place){.kept = kept_by(keeper),
                           .encrypted = encrypted,
                           .to_files = encrypted ? STORAGE_INNER_DIRECTORY "/" : ""};
   snprintf(place->plugin, sizeof place->plugin, "%s", keeper);
   snprintf(place->name, sizeof place->name, "%s%s", encrypted ? "encrypt: inner plug-in " : "",
            place->plugin);
}

void place_path(const struct place *place, const char *generation,
                char path[KV_GENERATION_PATH_SIZE])
{
   snprintf(path, KV_GENERATION_PATH_SIZE, "%s%s", generation,
            place->encrypted ? "/" STORAGE_INNER_DIRECTORY : "");
}
