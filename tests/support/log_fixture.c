#include "tests/support/log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   char none[512];
   log_host_init(&fixture->host);
   log_host_path(&fixture->host, "none", none);
   assert_int_equal(mkdir(none, 0700), 0);
   fixture->settings = (struct storage_log_settings){STORAGE_LOG_SYNC_ALWAYS, 10 << 20};
   fixture->error.size = sizeof fixture->error;
   *state = fixture;
   return 0;
}

void shut(struct fixture *fixture)
{
   if (fixture->log)
      storage_log_destroy(fixture->log);
   fixture->log = NULL;
}

int tear_down(void **state)
{
   struct fixture *fixture = *state;
   shut(fixture);
   log_host_deinit(&fixture->host);
   free(fixture);
   return 0;
}

int load(struct fixture *fixture)
{
   shut(fixture);
   log_host_forget(&fixture->host);
   assert_int_equal(
       storage_log_create(&fixture->host.host, &fixture->settings, &fixture->log, &fixture->error),
       KVS_OK);
   int code =
       storage_log_load(fixture->log, &fixture->base, &fixture->last_sequence, &fixture->error);
   log_host_loaded_text(&fixture->host, fixture->text, sizeof fixture->text);
   return code;
}

void load_well(struct fixture *fixture)
{
   int code = load(fixture);
   if (code != KVS_OK)
      print_error("%s\n", fixture->error.text);
   assert_int_equal(code, KVS_OK);
}

int write_one(struct fixture *fixture, uint64_t sequence, const char *key, const char *value)
{
   kvs_record effect = log_host_effect(sequence, key, value);
   return storage_log_write(fixture->log, &effect, 1, false, &fixture->error);
}

void must_write(struct fixture *fixture, uint64_t sequence, const char *key, const char *value)
{
   assert_int_equal(write_one(fixture, sequence, key, value), KVS_OK);
}

size_t data_size(struct fixture *fixture, const char *name)
{
   size_t size;
   uint8_t *bytes = log_host_read_file(&fixture->host, name, &size);
   while (size > 0 && bytes[size - 1] == 0)
      size--;
   free(bytes);
   return size;
}

void put_segment(struct fixture *fixture, const uint8_t *bytes, size_t size)
{
   shut(fixture);
   log_host_copy(&fixture->host, "none", "aof");
   log_host_write_file(&fixture->host, SEGMENT_1, bytes, size);
}
