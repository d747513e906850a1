/*
 * One instance of a plug-in over a log_host's directory, driven as the server drives it: batches
 * are applied to a model after on_write has taken them, and ticks see the model as their view.
 *
 * Threads: the test's; one session at a time.
 */
#ifndef TESTS_PLUGIN_SESSION_H
#define TESTS_PLUGIN_SESSION_H

#include "tests/support/log_host.h"

enum { PLUGIN_SESSION_OPTIONS = 8, PLUGIN_SESSION_SETTING_SIZE = 64 };

struct plugin_session {
   struct log_host *host;
   const kvs_plugin *plugin;
   void *self;
   kvs_record *model; /* sorted by key, with keys and values of their own */
   size_t model_count;
   uint64_t sequence; /* of the last effect accepted or loaded */
   uint64_t now_ms;   /* both clocks of the next tick */
   kvs_error error;
   kvs_setting settings[PLUGIN_SESSION_OPTIONS];
   char setting_texts[PLUGIN_SESSION_OPTIONS][PLUGIN_SESSION_SETTING_SIZE];
   char text[8192];
};

/* Opens and loads. `settings` as "name=value name=value"; what is not named has its default. The
 * model becomes what was loaded. Returns what on_load or open returned; upon failure the instance
 * is closed. */
int plugin_session_open(struct plugin_session *session, struct log_host *host,
                        const kvs_plugin *plugin, const char *settings);
/* As a kill would end it: no tick before. */
void plugin_session_close(struct plugin_session *session);
/* A batch of one effect with the next sequence; `value` NULL deletes. Returns on_write's code. */
int plugin_session_write(struct plugin_session *session, const char *key, const char *value);
/* A batch that the caller has made; applied to the model if it was accepted. */
int plugin_session_write_batch(struct plugin_session *session, const kvs_record *records,
                               size_t count, uint32_t flags);
/* Advances the clocks by `elapsed_ms` and ticks. */
int plugin_session_tick(struct plugin_session *session, uint32_t reason, uint64_t elapsed_ms);
/* "key=value " for all keys of the model, in order; valid until the next call. */
const char *plugin_session_text(struct plugin_session *session);
/* "key@sequence/expiry " in the same way. */
const char *plugin_session_details(struct plugin_session *session);

#endif
