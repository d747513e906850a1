#include "check/place.h"

#include "storage/key_check.h"

#include <stdio.h>
#include <string.h>

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
                           .folder = encrypted ? STORAGE_INNER_FOLDER : ""};
   snprintf(place->name, sizeof place->name, "%s%.64s", encrypted ? "encrypt: inner plug-in " : "",
            keeper);
}

void place_path(const struct place *place, const char *generation,
                char path[KV_GENERATION_PATH_SIZE])
{
   snprintf(path, KV_GENERATION_PATH_SIZE, "%s%s%s", generation, place->encrypted ? "/" : "",
            place->folder);
}
