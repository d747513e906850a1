/*
 * A plug-in that is linked into the test, over a fresh directory, for the tests of one mode each.
 *
 * Threads: the test's.
 */
#ifndef TESTS_PLUGIN_FIXTURE_H
#define TESTS_PLUGIN_FIXTURE_H

#include "tests/support/plugin_session.h"

struct fixture {
   struct log_host host;
   struct plugin_session session;
   char expected[8192];
};

int set_up(void **state);
int tear_down(void **state);
#define PLUGIN_CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Reopens as after a kill. `settings` as of plugin_session_open; returns what it returned. */
int reopen(struct fixture *fixture, const char *settings);
void open_well(struct fixture *fixture, const char *settings);
/* The same; everything must be as it was. */
void must_survive(struct fixture *fixture, const char *settings);

void must_write(struct fixture *fixture, const char *key, const char *value);
void must_tick(struct fixture *fixture, uint32_t reason, uint64_t elapsed_ms);

#endif
