#include "core/datadir/active_text.h"

#include "core/support/size.h"
#include "core/support/uuid.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define FORMAT "1"
#define OPTION_PREFIX "option."
#define CHECKSUM_SIZE KV_ACTIVE_CHECKSUM_SIZE

void kv_active_checksum(const char *text, size_t size, char checksum[CHECKSUM_SIZE + 1])
{
   snprintf(checksum, CHECKSUM_SIZE + 1, "checksum=%016" PRIx64 "\n",
            (uint64_t)XXH3_64bits(text, size));
}

static bool parse_uuid(const char *text, uint8_t id[KV_STORE_ID_SIZE])
{
   if (strlen(text) != KV_UUID_TEXT_SIZE - 1)
      return false;
   const char *digits = text;
   for (size_t i = 0; i < KV_STORE_ID_SIZE; i++) {
      digits += *digits == '-';
      if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]))
         return false;
      const char pair[] = {digits[0], digits[1], '\0'};
      id[i] = (uint8_t)strtoul(pair, NULL, 16);
      digits += 2;
   }
   char again[KV_UUID_TEXT_SIZE];
   kv_uuid_format(id, again);
   return strcmp(text, again) == 0;
}

/* ---- Encoding ---- */

enum kv_code kv_active_encode(const struct kv_active *active,
                              const uint8_t store_id[KV_STORE_ID_SIZE], char **text, size_t *size,
                              struct kv_status *status)
{
   FILE *out = open_memstream(text, size);
   if (!out)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the record of the mode");
   char uuid[KV_UUID_TEXT_SIZE];
   kv_uuid_format(store_id, uuid);
   fprintf(out, "format=" FORMAT "\nstore=%s\nplugin=%s\n", uuid, active->plugin);
   for (size_t i = 0; i < active->option_count; i++)
      fprintf(out, OPTION_PREFIX "%s=%s\n", active->options[i].name, active->options[i].value);
   fprintf(out, "generation=%" PRIu64 "\n", active->generation);
   bool complete = false;
   if (fflush(out) == 0) { /* sets *text and *size */
      char checksum[CHECKSUM_SIZE + 1];
      kv_active_checksum(*text, *size, checksum);
      complete = fputs(checksum, out) >= 0;
   }
   if (fclose(out) != 0 || !complete) {
      free(*text);
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the record of the mode");
   }
   return KV_OK;
}

/* ---- Decoding ---- */

char *kv_active_take_line(char **rest, const char *prefix)
{
   size_t prefix_size = strlen(prefix);
   char *end = strchr(*rest, '\n');
   if (!end || strncmp(*rest, prefix, prefix_size) != 0)
      return NULL;
   char *value = *rest + prefix_size;
   *end = '\0';
   *rest = end + 1;
   return value;
}

static bool parse_generation(const char *text, uint64_t *generation)
{
   return *text != '0' && kv_number_parse(text, generation) && *generation <= KV_GENERATION_MAX;
}

static bool add_option(struct kv_active *active, char *line)
{
   char *value = strchr(line, '=');
   if (!value || active->option_count == KV_OPTION_COUNT_MAX)
      return false;
   *value++ = '\0';
   struct kv_mode_option *option = &active->options[active->option_count];
   option->name = strdup(line);
   option->value = strdup(value);
   active->option_count++;
   return option->name && option->value;
}

static bool parse(char *text, struct kv_active *active, uint8_t store_id[KV_STORE_ID_SIZE])
{
   char *store = kv_active_take_line(&text, "store=");
   char *plugin = store ? kv_active_take_line(&text, "plugin=") : NULL;
   active->plugin = plugin ? strdup(plugin) : NULL;
   active->options = calloc(KV_OPTION_COUNT_MAX, sizeof *active->options);
   if (!active->plugin || !active->options || !parse_uuid(store, store_id))
      return false;
   for (char *line; (line = kv_active_take_line(&text, OPTION_PREFIX));)
      if (!add_option(active, line))
         return false;
   char *generation = kv_active_take_line(&text, "generation=");
   return generation && *text == '\0' && parse_generation(generation, &active->generation);
}

enum kv_code kv_active_decode(char *text, size_t size, struct kv_active *active,
                              uint8_t store_id[KV_STORE_ID_SIZE], struct kv_status *status)
{
   char checksum[CHECKSUM_SIZE + 1];
   if (size < CHECKSUM_SIZE || size > KV_ACTIVE_TEXT_SIZE_MAX || strlen(text) != size)
      return kv_fail(status, KV_DATA_LOSS, "it is incomplete or not a record of a mode");
   char *end = text + size - CHECKSUM_SIZE;
   kv_active_checksum(text, size - CHECKSUM_SIZE, checksum);
   if (memcmp(end, checksum, CHECKSUM_SIZE) != 0)
      return kv_fail(status, KV_DATA_LOSS, "its checksum does not match what it says");
   *end = '\0';

   char *format = kv_active_take_line(&text, "format=");
   if (!format || strcmp(format, FORMAT) != 0)
      return kv_fail(status, KV_DATA_LOSS,
                     "it has format %.20s, and this server reads format " FORMAT " only",
                     format ? format : "unknown");
   *active = (struct kv_active){0};
   if (!parse(text, active, store_id)) {
      kv_active_deinit(active);
      return kv_fail(status, KV_DATA_LOSS, "it does not hold the lines of format " FORMAT);
   }
   return KV_OK;
}

void kv_active_deinit(struct kv_active *active)
{
   free(active->plugin);
   for (size_t i = 0; i < active->option_count; i++) {
      free((char *)active->options[i].name);
      free((char *)active->options[i].value);
   }
   free(active->options);
   *active = (struct kv_active){0};
}
