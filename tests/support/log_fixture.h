/*
 * A log over a fresh directory, for the tests of storage/log.h: opened as after a crash, written
 * to, and with any bytes as its one segment.
 *
 * Threads: the test's.
 */
#ifndef TESTS_LOG_FIXTURE_H
#define TESTS_LOG_FIXTURE_H

#include "storage/log.h"
#include "tests/support/log_host.h"

#define SEGMENT_1 "aof/0000000001.log"
#define SEGMENT_2 "aof/0000000002.log"

struct fixture {
   struct log_host host; /* its directory also has an empty one, "none" */
   struct storage_log *log;
   struct storage_log_settings settings; /* of the next load */
   struct storage_snapshot_found base;   /* the same */
   uint64_t last_sequence;
   kvs_error error;
   char text[4096]; /* what was loaded */
};

int set_up(void **state);
int tear_down(void **state);
#define LOG_CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Closes the log, if it is open, as a crash would. */
void shut(struct fixture *fixture);
/* The same, opens it again and loads it. Returns what the load returned. */
int load(struct fixture *fixture);
void load_well(struct fixture *fixture);
int write_one(struct fixture *fixture, uint64_t sequence, const char *key, const char *value);
void must_write(struct fixture *fixture, uint64_t sequence, const char *key, const char *value);

/* Where the newest record ends: the size of the file without trailing zeroes. */
size_t data_size(struct fixture *fixture, const char *name);
/* Shuts the log and leaves one segment in its directory, of these bytes. */
void put_segment(struct fixture *fixture, const uint8_t *bytes, size_t size);

#endif
