/*
 * An option of a persistence mode as text: as a user wrote it, and as the data directory records
 * it.
 */
#ifndef KV_MODE_OPTION_H
#define KV_MODE_OPTION_H

#include <string.h>

/* Limits on what a plug-in may declare and a user may write; they keep ACTIVE and messages small.
 */
#define KV_OPTION_COUNT_MAX 64
#define KV_OPTION_NAME_SIZE_MAX 64
#define KV_OPTION_VALUE_SIZE_MAX 4096

/* One "name = value" as given; borrowed. */
struct kv_mode_option {
   const char *name, *value;
};

/* The value of the first option of that name, or NULL. */
static inline const char *kv_mode_option_find(const struct kv_mode_option *options, size_t count,
                                              const char *name)
{
   for (size_t i = 0; i < count; i++)
      if (strcmp(options[i].name, name) == 0)
         return options[i].value;
   return NULL;
}

#endif
