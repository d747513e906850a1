/*
 * A plug-in whose hooks fail as its options say, each with any of the codes. It keeps nothing.
 * "unknown" is a code that no header defines; the option "text" is the text of all failures.
 */
#include "kvstore/plugin.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The codes in the order of their numbers, so that the index of a word is the code. */
#define CODES "ok|invalid|no_space|io|corrupt|unknown"
#define UNKNOWN_CODE 77

enum {
   OPTION_OPEN,
   OPTION_LOAD,
   OPTION_WRITE,
   OPTION_TICK,
   OPTION_HEALTHY_WRITES,
   OPTION_RECORD,
   OPTION_LOADED_TO,
   OPTION_TEXT,
   OPTION_SYNC,
   OPTION_HISTORY,
   OPTION_COUNT
};

enum record_fault {
   RECORD_NONE,
   RECORD_GOOD,
   RECORD_NO_SEQUENCE,
   RECORD_NO_KEY,
   RECORD_LONG_KEY,
   RECORD_KIND,
   RECORD_EXPIRES,
   RECORD_EXPIRES_EARLY,
   RECORD_EXPIRES_LATE,
   RECORD_DELETE_EXPIRES,
   RECORD_DELETE_WITH_VALUE,
   RECORD_HIGH_SEQUENCE,
};

#define CODE_OPTION(hook)                                                                          \
   {                                                                                               \
      .name = #hook, .type = KVS_OPTION_CHOICE, .default_value = "ok", .choices = CODES,           \
      .help = "what " #hook " returns"                                                             \
   }

static const kvs_option options[OPTION_COUNT] = {
    [OPTION_OPEN] = CODE_OPTION(open),
    [OPTION_LOAD] = CODE_OPTION(load),
    [OPTION_WRITE] = CODE_OPTION(write),
    [OPTION_TICK] = CODE_OPTION(tick),
    [OPTION_HEALTHY_WRITES] = {.name = "healthy_writes",
                               .type = KVS_OPTION_INTEGER,
                               .default_value = "0",
                               .minimum = 0,
                               .maximum = INT32_MAX,
                               .help = "batches that are taken before write begins to fail"},
    [OPTION_RECORD] = {.name = "record",
                       .type = KVS_OPTION_CHOICE,
                       .default_value = "none",
                       .choices = "none|good|no_sequence|no_key|long_key|kind|expires|"
                                  "expires_early|expires_late|delete_expires|delete_with_value|"
                                  "high_sequence",
                       .help = "what load hands over, whatever the host answers"},
    [OPTION_LOADED_TO] = {.name = "loaded_to",
                          .type = KVS_OPTION_INTEGER,
                          .default_value = "0",
                          .minimum = -1,
                          .maximum = INT32_MAX,
                          .help = "the sequence that load declares; 0 is none, -1 the highest"},
    [OPTION_TEXT] = {.name = "text",
                     .type = KVS_OPTION_TEXT,
                     .default_value = "told to fail",
                     .help = "the text of failures; \"garbage\" is bytes without an end"},
    [OPTION_SYNC] = CODE_OPTION(sync),
    [OPTION_HISTORY] = {.name = "history",
                        .type = KVS_OPTION_CHOICE,
                        .default_value = "none",
                        .choices = "none|whole|twice|unordered|below",
                        .help =
                            "how load hands over the keys a, b and a again, of sequences 1 to 3"},
};

struct faulty {
   const kvs_host *host;
   const kvs_setting *settings;
   int64_t writes;
};

static int fail(const kvs_setting *settings, int option, kvs_error *error)
{
   int64_t code = settings[option].integer;
   const char *text = settings[OPTION_TEXT].text;
   if (code == KVS_OK)
      return KVS_OK;
   if (strcmp(text, "garbage") == 0)
      memset(error->text, 0xff, sizeof error->text);
   else
      snprintf(error->text, sizeof error->text, "%s", text);
   return code <= KVS_CORRUPT ? (int)code : UNKNOWN_CODE;
}

static int open_faulty(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                       kvs_error *error)
{
   (void)count;
   int code = fail(settings, OPTION_OPEN, error);
   if (code != KVS_OK)
      return code;
   struct faulty *faulty = calloc(1, sizeof *faulty);
   if (!faulty)
      return KVS_IO;
   faulty->host = host;
   faulty->settings = settings;
   *self = faulty;
   return KVS_OK;
}

static void hand_over(struct faulty *faulty, enum record_fault fault, kvs_error *error)
{
   static const char long_key[64 * 1024 + 1];
   kvs_record record = {.sequence = 7, .kind = KVS_SET, .key = {"key", 3}, .value = {"value", 5}};
   switch (fault) {
   case RECORD_NONE:
      return;
   case RECORD_GOOD:
      break;
   case RECORD_NO_SEQUENCE:
      record.sequence = 0;
      break;
   case RECORD_NO_KEY:
      record.key.size = 0;
      break;
   case RECORD_LONG_KEY:
      record.key = (kvs_bytes){long_key, sizeof long_key};
      break;
   case RECORD_KIND:
      record.kind = 9;
      break;
   case RECORD_EXPIRES:
      record.expires_at_ms = INT64_C(100000000000000);
      break;
   case RECORD_EXPIRES_EARLY:
      record.expires_at_ms = -1;
      break;
   case RECORD_EXPIRES_LATE:
      record.expires_at_ms = INT64_C(100000000000001);
      break;
   case RECORD_DELETE_EXPIRES:
      record.kind = KVS_DELETE;
      record.value.size = 0;
      record.expires_at_ms = 1;
      break;
   case RECORD_DELETE_WITH_VALUE:
      record.kind = KVS_DELETE;
      break;
   case RECORD_HIGH_SEQUENCE:
      record.sequence = UINT64_C(1) << 47;
      break;
   }
   faulty->host->load(faulty->host, &record, 1, error);
}

enum history { HISTORY_NONE, HISTORY_WHOLE, HISTORY_TWICE, HISTORY_UNORDERED, HISTORY_BELOW };

/* A state at sequence 1, and two changes. */
static void hand_history(struct faulty *faulty, enum history how, kvs_error *error)
{
   static const kvs_record records[] = {
       {.sequence = 1, .kind = KVS_SET, .key = {"a", 1}, .value = {"1", 1}},
       {.sequence = 2, .kind = KVS_SET, .key = {"b", 1}, .value = {"2", 1}},
       {.sequence = 3, .kind = KVS_SET, .key = {"a", 1}, .value = {"3", 1}}};
   const kvs_host *host = faulty->host;
   const kvs_history *history = host->extension(host, KVS_EXTENSION_HISTORY);
   if (how == HISTORY_NONE)
      return;
   if (how == HISTORY_TWICE)
      history->complete_above(history, 0);
   host->load(host, &records[0], 1, error);
   history->complete_above(history, how == HISTORY_BELOW ? 0 : 1);
   host->load(host, &records[how == HISTORY_UNORDERED ? 2 : 1], 1, error);
   host->load(host, &records[how == HISTORY_UNORDERED ? 1 : 2], 1, error);
}

static int load_faulty(void *self, kvs_error *error)
{
   struct faulty *faulty = self;
   hand_history(faulty, (enum history)faulty->settings[OPTION_HISTORY].integer, error);
   hand_over(faulty, (enum record_fault)faulty->settings[OPTION_RECORD].integer, error);
   int64_t loaded_to = faulty->settings[OPTION_LOADED_TO].integer;
   if (loaded_to != 0)
      faulty->host->loaded_to(faulty->host, (uint64_t)loaded_to);
   return fail(faulty->settings, OPTION_LOAD, error);
}

static int write_faulty(void *self, const kvs_record *records, size_t count, uint32_t flags,
                        kvs_error *error)
{
   (void)records;
   (void)count;
   struct faulty *faulty = self;
   if ((flags & KVS_WRITE_SYNC) && faulty->settings[OPTION_SYNC].integer != KVS_OK)
      return fail(faulty->settings, OPTION_SYNC, error);
   if (faulty->writes++ < faulty->settings[OPTION_HEALTHY_WRITES].integer)
      return KVS_OK;
   return fail(faulty->settings, OPTION_WRITE, error);
}

static int tick_faulty(void *self, const kvs_tick *tick, kvs_error *error)
{
   (void)tick;
   struct faulty *faulty = self;
   return fail(faulty->settings, OPTION_TICK, error);
}

static void close_faulty(void *self)
{
   free(self);
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "faulty",
    .version = "1.0",
    .description = "fails as its options say, for tests",
    .promise = KVS_DURABLE,
    .options = options,
    .option_count = OPTION_COUNT,
    .open = open_faulty,
    .on_load = load_faulty,
    .on_write = write_faulty,
    .on_tick = tick_faulty,
    .close = close_faulty,
};
