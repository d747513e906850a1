#include "sdk/check/spy.h"

#include "sdk/check/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct spy spy;

static const kvs_plugin *real_plugin;
static kvs_plugin stand_in;

/* The host table of an older or newer host: larger, for what a later version may add. */
union table {
   kvs_host host;
   char bytes[sizeof(kvs_host) + 256];
};

struct spied {
   union table table; /* first: the callbacks get back from it to the whole */
   const kvs_host *real;
   void *self; /* the plug-in's */
};

static const kvs_host *real_of(const kvs_host *host)
{
   return ((const struct spied *)host)->real;
}

static void check_expiry(const kvs_record *record)
{
   int64_t expiry = record->kind == KVS_SET ? spy.expiry_of(record->key) : 0;
   if (record->expires_at_ms != expiry)
      check_fail("on_load hands over a record with expires_at_ms %" PRId64 ", written with %" PRId64
                 " (sequence %" PRIu64 ")",
                 record->expires_at_ms, expiry, record->sequence);
}

/* Whether the host refuses what it is handed over. */
static bool refuses_load(kvs_error *error)
{
   static uint64_t loaded;
   if (spy.refuse_load_at == 0)
      return false;
   if (!spy.load_refused && ++loaded < spy.refuse_load_at)
      return false;
   loaded = 0;
   spy.load_refused = true;
   snprintf(error->text, sizeof error->text, "the host takes no more records");
   return true;
}

static int host_load(const kvs_host *host, const kvs_record *records, size_t count,
                     kvs_error *error)
{
   for (size_t i = 0; i < count; i++) {
      kvs_record record = records[i];
      if (refuses_load(error))
         return spy.refuse_load_with;
      if (spy.expiry_of)
         check_expiry(&record);
      if (spy.loaded)
         spy.loaded(&record);
      if (spy.expiry_of)
         record.expires_at_ms = 0;
      int code = real_of(host)->load(real_of(host), &record, 1, error);
      if (code != KVS_OK)
         return code;
   }
   return KVS_OK;
}

static void host_loaded_to(const kvs_host *host, uint64_t sequence)
{
   real_of(host)->loaded_to(real_of(host), sequence);
}

static size_t (*real_view_read)(kvs_view *view, kvs_record *records, size_t capacity);

static kvs_bytes move_bytes(kvs_bytes bytes, char **to)
{
   if (*to && bytes.size > 0)
      memcpy(*to, bytes.data, bytes.size);
   kvs_bytes moved = {*to, bytes.size};
   *to += bytes.size;
   return moved;
}

/* Into memory that no longer holds anything of the records before. */
static void move_records(kvs_record *records, size_t count)
{
   static char *memory;
   static size_t capacity;
   size_t size = 0;
   for (size_t i = 0; i < count; i++)
      size += records[i].key.size + records[i].value.size;
   if (capacity > 0)
      memset(memory, 0xa5, capacity);
   if (size > capacity) {
      free(memory);
      memory = malloc(size);
      capacity = size;
      if (!memory)
         check_broken("no memory for %zu bytes of a view", size);
   }
   char *to = memory;
   for (size_t i = 0; i < count; i++) {
      records[i].key = move_bytes(records[i].key, &to);
      records[i].value = move_bytes(records[i].value, &to);
   }
}

static size_t host_view_read(kvs_view *view, kvs_record *records, size_t capacity)
{
   if (spy.short_reads && capacity > 1)
      capacity = capacity / 2;
   size_t count = real_view_read(view, records, capacity);
   for (size_t i = 0; spy.expiry_of && i < count; i++)
      records[i].expires_at_ms = spy.expiry_of(records[i].key);
   if (spy.reuses_view)
      move_records(records, count);
   return count;
}

static void host_log(const kvs_host *host, uint32_t level, const char *message)
{
   real_of(host)->log(real_of(host), level, message);
}

static void host_wake(const kvs_host *host)
{
   real_of(host)->wake(real_of(host));
}

static const void *host_extension(const kvs_host *host, const char *name)
{
   /* Those that came with the table's own functions or later. */
   if (spy.bare_host && strcmp(name, KVS_EXTENSION_STACK) != 0)
      return NULL;
   return real_of(host)->extension(real_of(host), name);
}

static void host_saved(const kvs_host *host, uint64_t sequence)
{
   real_of(host)->saved(real_of(host), sequence);
}

static void host_load_note(const kvs_host *host, const kvs_load_note *note)
{
   if (real_of(host)->load_note)
      real_of(host)->load_note(real_of(host), note);
}

static uint32_t host_awaited(const kvs_host *host)
{
   return real_of(host)->awaited ? real_of(host)->awaited(real_of(host)) : 0;
}

static void beyond(void)
{
   check_fail("it calls a function of the host table that lies beyond host->size; a host that is "
              "older than the header has none there");
}

static void cut_table(union table *table, size_t size)
{
   void (*function)(void) = beyond;
   for (size_t at = size; at + sizeof function <= sizeof *table; at += sizeof function)
      memcpy(table->bytes + at, &function, sizeof function);
   table->host.size = (uint32_t)size;
}

static void fill_table(struct spied *spied, const kvs_host *host)
{
#ifndef KVS_GROWN_FOR_TEST
   _Static_assert(offsetof(kvs_host, awaited) + sizeof host->awaited == sizeof *host,
                  "something was added to the host table; a function must be passed on here");
#endif
   spied->table.host = *host;
   kvs_host *table = &spied->table.host;
   table->load = host_load;
   table->loaded_to = host_loaded_to;
   table->view_read = host_view_read;
   table->log = host_log;
   table->wake = host_wake;
   table->extension = host_extension;
   table->saved = host_saved;
   table->load_note = host_load_note;
   table->awaited = host_awaited;
   if (spy.bare_host) {
      table->load_note = NULL;
      table->awaited = NULL;
   }
   if (spy.host_minor)
      table->abi_minor = spy.host_minor;
   if (spy.host_size)
      cut_table(&spied->table, spy.host_size);
}

/* ---- Hooks --------------------------------------------------------------------------------- */

static int open_spied(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                      kvs_error *error)
{
   struct spied *spied = calloc(1, sizeof *spied);
   if (!spied)
      check_broken("no memory for an instance");
   spied->real = host;
   real_view_read = host->view_read;
   fill_table(spied, host);
   int code = real_plugin->open(&spied->table.host, settings, count, &spied->self, error);
   if (code != KVS_OK)
      free(spied);
   else
      *self = spied;
   return code;
}

static int load_spied(void *self, kvs_error *error)
{
   return real_plugin->on_load(((struct spied *)self)->self, error);
}

static int write_spied(void *self, const kvs_record *records, size_t count, uint32_t flags,
                       kvs_error *error)
{
   return real_plugin->on_write(((struct spied *)self)->self, records, count, flags, error);
}

static int tick_spied(void *self, const kvs_tick *tick, kvs_error *error)
{
   kvs_tick given = *tick;
   if (spy.understates_view) {
      given.view_count /= 2;
      given.view_bytes /= 2;
   }
   return real_plugin->on_tick(((struct spied *)self)->self, &given, error);
}

static void close_spied(void *self)
{
   real_plugin->close(((struct spied *)self)->self);
   free(self);
}

const kvs_plugin *spy_stand_in(const kvs_plugin *plugin)
{
   if (!spy.host_size && !spy.host_minor && !spy.expiry_of && !spy.loaded && !spy.reuses_view &&
       !spy.short_reads && !spy.understates_view && !spy.refuse_load_at && !spy.bare_host)
      return plugin;
   real_plugin = plugin;
   stand_in = *plugin;
   stand_in.open = open_spied;
   stand_in.on_load = plugin->on_load ? load_spied : NULL;
   stand_in.on_write = write_spied;
   stand_in.on_tick = plugin->on_tick ? tick_spied : NULL;
   stand_in.close = close_spied;
   return &stand_in;
}
