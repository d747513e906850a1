#include "tests/support/plugin_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   log_host_init(&fixture->host);
   *state = fixture;
   return 0;
}

int tear_down(void **state)
{
   struct fixture *fixture = *state;
   plugin_session_close(&fixture->session);
   log_host_deinit(&fixture->host);
   free(fixture);
   return 0;
}

int reopen(struct fixture *fixture, const char *settings)
{
   plugin_session_close(&fixture->session);
   return plugin_session_open(&fixture->session, &fixture->host, &kvstore_plugin, settings);
}

void open_well(struct fixture *fixture, const char *settings)
{
   int code = reopen(fixture, settings);
   if (code != KVS_OK)
      print_error("%s\n", fixture->session.error.text);
   assert_int_equal(code, KVS_OK);
}

void must_survive(struct fixture *fixture, const char *settings)
{
   uint64_t sequence = fixture->session.sequence;
   strcpy(fixture->expected, plugin_session_text(&fixture->session));
   open_well(fixture, settings);
   assert_string_equal(plugin_session_text(&fixture->session), fixture->expected);
   assert_int_equal(fixture->session.sequence, sequence);
}

void must_write(struct fixture *fixture, const char *key, const char *value)
{
   assert_int_equal(plugin_session_write(&fixture->session, key, value), KVS_OK);
}

void must_tick(struct fixture *fixture, uint32_t reason, uint64_t elapsed_ms)
{
   assert_int_equal(plugin_session_tick(&fixture->session, reason, elapsed_ms), KVS_OK);
}
