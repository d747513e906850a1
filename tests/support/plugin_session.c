#include "tests/support/plugin_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct kvs_view {
   const kvs_record *records;
   size_t count, next;
   uint64_t sequence;
   bool versions; /* each record has its own */
};

static size_t view_read(kvs_view *view, kvs_record *records, size_t capacity)
{
   size_t got = 0;
   while (got < capacity && view->next < view->count) {
      records[got] = view->records[view->next++];
      if (!view->versions)
         records[got].sequence = view->sequence;
      records[got++].flags = 0;
   }
   return got;
}

/* ---- Model --------------------------------------------------------------------------------- */

static kvs_bytes copy_bytes(kvs_bytes bytes)
{
   uint8_t *copy = malloc(bytes.size + 1);
   assert_non_null(copy);
   if (bytes.size > 0)
      memcpy(copy, bytes.data, bytes.size);
   return (kvs_bytes){copy, bytes.size};
}

static void free_record(kvs_record *record)
{
   free((void *)(uintptr_t)record->key.data);
   free((void *)(uintptr_t)record->value.data);
}

static int compare(kvs_bytes a, kvs_bytes b)
{
   int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
   return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static void apply(struct plugin_session *session, const kvs_record *record)
{
   size_t at = 0;
   while (at < session->model_count && compare(session->model[at].key, record->key) < 0)
      at++;
   if (at < session->model_count && compare(session->model[at].key, record->key) == 0) {
      kvs_record *place = &session->model[at];
      free_record(place);
      session->model_count--;
      memmove(place, place + 1, (session->model_count - at) * sizeof *place);
   }
   session->sequence = record->sequence;
   if (record->kind == KVS_DELETE)
      return;
   session->model = realloc(session->model, (session->model_count + 1) * sizeof *session->model);
   assert_non_null(session->model);
   kvs_record *place = &session->model[at];
   memmove(place + 1, place, (session->model_count - at) * sizeof *place);
   session->model_count++;
   *place = *record;
   place->key = copy_bytes(record->key);
   place->value = copy_bytes(record->value);
}

const char *plugin_session_text(struct plugin_session *session)
{
   session->text[0] = '\0';
   for (size_t i = 0; i < session->model_count; i++) {
      const kvs_record *record = &session->model[i];
      size_t used = strlen(session->text);
      snprintf(session->text + used, sizeof session->text - used, "%.*s=%.*s ",
               (int)record->key.size, (const char *)record->key.data, (int)record->value.size,
               (const char *)record->value.data);
   }
   return session->text;
}

const char *plugin_session_details(struct plugin_session *session)
{
   session->text[0] = '\0';
   for (size_t i = 0; i < session->model_count; i++) {
      const kvs_record *record = &session->model[i];
      size_t used = strlen(session->text);
      snprintf(session->text + used, sizeof session->text - used, "%.*s@%llu/%lld ",
               (int)record->key.size, (const char *)record->key.data,
               (unsigned long long)record->sequence, (long long)record->expires_at_ms);
   }
   return session->text;
}

/* ---- Instance ------------------------------------------------------------------------------ */

static int64_t choice_index(const char *choices, const char *word)
{
   int64_t index = 0;
   size_t size = strlen(word);
   for (const char *at = choices; at; index++) {
      const char *bar = strchr(at, '|');
      if ((bar ? (size_t)(bar - at) : strlen(at)) == size && strncmp(at, word, size) == 0)
         return index;
      at = bar ? bar + 1 : NULL;
   }
   fail_msg("%s is none of %s", word, choices);
   return -1;
}

/* Fills in one option's setting from "name=value name=value", or its default. */
static kvs_setting choose(const kvs_option *option, const char *settings,
                          char text[PLUGIN_SESSION_SETTING_SIZE])
{
   char wanted[PLUGIN_SESSION_SETTING_SIZE];
   snprintf(wanted, sizeof wanted, "%s=", option->name);
   const char *found = strstr(settings, wanted);
   snprintf(text, PLUGIN_SESSION_SETTING_SIZE, "%s",
            found ? found + strlen(wanted) : option->default_value);
   text[strcspn(text, " ")] = '\0';
   int64_t integer = option->type == KVS_OPTION_CHOICE ? choice_index(option->choices, text)
                                                       : strtoll(text, NULL, 10);
   if (option->type != KVS_OPTION_CHOICE)
      assert_true(integer >= option->minimum && integer <= option->maximum);
   return (kvs_setting){.name = option->name, .text = text, .integer = integer};
}

int plugin_session_open(struct plugin_session *session, struct log_host *host,
                        const kvs_plugin *plugin, const char *settings)
{
   *session = (struct plugin_session){
       .host = host, .plugin = plugin, .now_ms = 1000, .error.size = sizeof session->error};
   assert_true(plugin->option_count <= PLUGIN_SESSION_OPTIONS);
   for (size_t i = 0; i < plugin->option_count; i++)
      session->settings[i] = choose(&plugin->options[i], settings, session->setting_texts[i]);
   log_host_forget(host);
   host->host.view_read = view_read;
   int code = plugin->open(&host->host, session->settings, plugin->option_count, &session->self,
                           &session->error);
   if (code != KVS_OK) {
      session->self = NULL;
      return code;
   }
   code = plugin->on_load(session->self, &session->error);
   for (size_t i = 0; i < host->loaded_count; i++)
      apply(session, &host->loaded[i]);
   if (host->loaded_to > session->sequence)
      session->sequence = host->loaded_to;
   if (code != KVS_OK)
      plugin_session_close(session);
   return code;
}

void plugin_session_close(struct plugin_session *session)
{
   if (session->self)
      session->plugin->close(session->self);
   session->self = NULL;
   for (size_t i = 0; i < session->model_count; i++)
      free_record(&session->model[i]);
   free(session->model);
   session->model = NULL;
   session->model_count = 0;
}

int plugin_session_write_batch(struct plugin_session *session, const kvs_record *records,
                               size_t count, uint32_t flags)
{
   int code = session->plugin->on_write(session->self, records, count, flags, &session->error);
   for (size_t i = 0; i < count && code == KVS_OK; i++)
      apply(session, &records[i]);
   return code;
}

int plugin_session_write(struct plugin_session *session, const char *key, const char *value)
{
   kvs_record record = log_host_effect(session->sequence + 1, key, value);
   return plugin_session_write_batch(session, &record, 1, 0);
}

int plugin_session_tick(struct plugin_session *session, uint32_t reason, uint64_t elapsed_ms)
{
   kvs_view view = {.records = session->model,
                    .count = session->model_count,
                    .sequence = session->sequence,
                    .versions = session->plugin->flags & KVS_PLUGIN_VERSIONS};
   session->now_ms += elapsed_ms;
   kvs_tick tick = {.size = sizeof tick,
                    .reason = reason,
                    .now_ms = (int64_t)session->now_ms,
                    .monotonic_ms = session->now_ms,
                    .view = &view,
                    .view_sequence = session->sequence,
                    .view_count = session->model_count};
   for (size_t i = 0; i < session->model_count; i++)
      tick.view_bytes += session->model[i].key.size + session->model[i].value.size;
   return session->plugin->on_tick(session->self, &tick, &session->error);
}
