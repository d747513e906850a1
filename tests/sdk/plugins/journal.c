/*
 * A durable plug-in that is right in all that the conformance kit checks, and, built with FAULT as
 * one of the names below, wrong in one thing.
 *
 * `base` holds all data at one sequence, `log-S` the batches after sequence S, up to where the next
 * log begins. A checkpoint begins a new log, writes a new base, and removes the logs whose
 * successor begins at or below the sequence of the base.
 */
#include "kvstore/plugin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The build defines FAULT as one of these. */
#define FAULTS(name) (FAULT == (name))
enum {
   NONE,
   LOSES_LAST,
   ACKNOWLEDGES_FIRST,
   WRONG_ORDER,
   IGNORES_DELETES,
   LEAKS_MEMORY,
   LEAKS_FILES,
   EXPORTS_MORE,
   TEARS_JOINED,
   CUTS_AT_ZERO,
   DROPS_LARGE,
   DROPS_MANY,
   IGNORES_FAILED_SYNC,
   IGNORES_FAILED_SYNC_IN_TICK,
   IGNORES_FAILED_SYNC_OF_BASE,
   NEVER_SYNCS,
   WRITES_OUTSIDE,
   CRASHES_ON_EMPTY,
   KEEPS_THREAD,
   KEEPS_REFUSED,
   KEEPS_REFUSED_FOR_TICK,
   FORGETS_SEQUENCE,
   FORGETS_EXPIRY,
   TAKES_OTHER_STORE,
   REMOVES_FOREIGN,
   IGNORES_HOST_SIZE,
   IGNORES_VIEW,
   KEEPS_VIEW,
   CHECKPOINT_DROPS_LATER,
   DROPS_UNPUBLISHED,
   DECLARES_LAST,
   TRUSTS_FIRST_BATCH,
   READS_UNTIL_SHORT,
   GOES_ON_LOADING,
   REFUSES_UNKNOWN_TICK,
   CALLS_NULL,
   CRASHES_WHEN_FAILED,
   ABORTS_ON_VIEW,
   EXITS,
   SHUTDOWN_DROPS_FIRST,
   FORGETS_ROTATION,
   SHARES_STATE,
   BOUND_TO_THREAD,
   CRASHES_ON_OPTION,
   CRASHES_AT_UNLOAD,
   HANGS,
   RACES,
   FORGETS_VERSIONS,
   EXPIRES_ALL,
   MERGES_CHANGES,
};

enum { OPTION_LEVEL };

static const kvs_option options[] = {
    [OPTION_LEVEL] = {.name = "level",
                      .type = KVS_OPTION_INTEGER,
                      .default_value = "1",
                      .minimum = 0,
                      .maximum = 9,
                      .help = "does nothing"},
};

struct journal {
   const kvs_host *host;
   pthread_mutex_t lock; /* the log, between on_write and on_tick */
   int log;
   uint64_t start;    /* of the log: its batches are above it */
   off_t end;         /* of what was acknowledged in it */
   uint64_t sequence; /* of the last batch that was */
   uint8_t *late;     /* of three faults: not yet written */
   size_t late_size;
   bool failed, in_tick, has_base;
   pthread_t opener;
};

/* Before each batch in a log, and at the start of the base. */
struct head {
   uint8_t store_id[16];
   uint64_t sequence; /* of the base; of the last record of a batch */
   uint64_t size, checksum;
};

struct entry {
   uint64_t sequence;
   int64_t expires_at_ms;
   uint64_t key_size, value_size;
   uint32_t kind, flags;
};

__attribute__((format(printf, 3, 4))) static int fail(kvs_error *error, int code,
                                                      const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(error->text, sizeof error->text, format, arguments);
   va_end(arguments);
   return code;
}

static uint64_t checksum_of(const uint8_t *data, size_t size)
{
   uint64_t sum = 14695981039346656037u;
   for (size_t i = 0; i < size; i++)
      sum = (sum ^ data[i]) * 1099511628211u;
   return sum;
}

static void lock(struct journal *journal)
{
   if (!FAULTS(RACES))
      pthread_mutex_lock(&journal->lock);
}

static void unlock(struct journal *journal)
{
   if (!FAULTS(RACES))
      pthread_mutex_unlock(&journal->lock);
}

/* ---- Bytes --------------------------------------------------------------------------------- */

struct buffer {
   uint8_t *data;
   size_t size, capacity;
};

static bool put(struct buffer *buffer, const void *data, size_t size)
{
   if (buffer->size + size > buffer->capacity) {
      size_t capacity = 2 * (buffer->size + size);
      uint8_t *grown = realloc(buffer->data, capacity);
      if (!grown)
         return false;
      buffer->data = grown;
      buffer->capacity = capacity;
   }
   if (size > 0)
      memcpy(buffer->data + buffer->size, data, size);
   buffer->size += size;
   return true;
}

static size_t size_kept(kvs_bytes bytes)
{
   if (FAULTS(CUTS_AT_ZERO) && bytes.size > 0 && memchr(bytes.data, 0, bytes.size))
      return bytes.size > 1 ? strnlen(bytes.data, bytes.size) + 1 : 1;
   return bytes.size;
}

static bool put_record(struct buffer *buffer, const kvs_record *record)
{
   if (FAULTS(DROPS_LARGE) && record->value.size > 1048576)
      return true;
   if (FAULTS(IGNORES_DELETES) && record->kind == KVS_DELETE)
      return true;
   const struct entry entry = {.sequence = record->sequence,
                               .expires_at_ms = FAULTS(FORGETS_EXPIRY) ? 0 : record->expires_at_ms,
                               .key_size = record->key.size,
                               .value_size = size_kept(record->value),
                               .kind = record->kind,
                               .flags = record->flags};
   return put(buffer, &entry, sizeof entry) && put(buffer, record->key.data, entry.key_size) &&
          put(buffer, record->value.data, entry.value_size);
}

static bool begin(const struct journal *journal, struct buffer *buffer)
{
   struct head head = {0};
   memcpy(head.store_id, journal->host->store_id, sizeof head.store_id);
   return put(buffer, &head, sizeof head);
}

/* Settles the head at `start`, which begin has put there. */
static void finish(struct buffer *buffer, size_t start, uint64_t sequence)
{
   struct head head;
   memcpy(&head, buffer->data + start, sizeof head);
   head.sequence = sequence;
   head.size = buffer->size - start - sizeof head;
   head.checksum = checksum_of(buffer->data + start + sizeof head, head.size);
   memcpy(buffer->data + start, &head, sizeof head);
}

/* ---- Files --------------------------------------------------------------------------------- */

static int open_file(const struct journal *journal, const char *name, int flags)
{
   char path[4096];
   snprintf(path, sizeof path, "%s/%s", journal->host->directory, name);
   return open(path, flags | O_CLOEXEC, 0600);
}

static bool ignores_failed_sync(const struct journal *journal)
{
   return FAULTS(IGNORES_FAILED_SYNC) || (FAULTS(IGNORES_FAILED_SYNC_IN_TICK) && journal->in_tick);
}

static int sync_file(const struct journal *journal, int fd)
{
   if (FAULTS(NEVER_SYNCS))
      return 0;
   int result = fdatasync(fd);
   return ignores_failed_sync(journal) ? 0 : result;
}

static bool sync_directory(const struct journal *journal)
{
   int fd = open_file(journal, ".", O_RDONLY | O_DIRECTORY);
   bool good = fd >= 0 && (fsync(fd) == 0 || ignores_failed_sync(journal));
   if (fd >= 0)
      close(fd);
   return good;
}

static bool write_all(int fd, const uint8_t *data, size_t size, off_t offset)
{
   while (size > 0) {
      ssize_t written = pwrite(fd, data, size, offset);
      if (written <= 0)
         return false;
      data += written;
      size -= (size_t)written;
      offset += written;
   }
   return true;
}

static bool read_file(int fd, struct buffer *buffer)
{
   struct stat info;
   if (fstat(fd, &info) != 0)
      return false;
   buffer->size = (size_t)info.st_size;
   buffer->data = malloc(buffer->size + 1);
   size_t used = 0;
   while (buffer->data && used < buffer->size) {
      ssize_t got = pread(fd, buffer->data + used, buffer->size - used, (off_t)used);
      if (got <= 0)
         return false;
      used += (size_t)got;
   }
   return buffer->data != NULL;
}

static void name_log(uint64_t start, char name[32])
{
   snprintf(name, 32, "log-%llu", (unsigned long long)start);
}

#define NO_LOG UINT64_MAX

/* The lowest start of a log that is not below `least`. */
static uint64_t find_log(const struct journal *journal, uint64_t least)
{
   uint64_t found = NO_LOG;
   DIR *listing = opendir(journal->host->directory);
   for (const struct dirent *entry; listing && (entry = readdir(listing));) {
      char *end;
      if (strncmp(entry->d_name, "log-", 4) != 0)
         continue;
      uint64_t each = strtoull(entry->d_name + 4, &end, 10);
      if (*end == '\0' && each >= least && each < found)
         found = each;
   }
   if (listing)
      closedir(listing);
   return found;
}

static int open_log(struct journal *journal, uint64_t start)
{
   char name[32];
   name_log(start, name);
   int fd = open_file(journal, name, O_RDWR | O_CREAT);
   if (fd < 0 || !sync_directory(journal)) {
      if (fd >= 0)
         close(fd);
      return -1;
   }
   return fd;
}

/* ---- Loading ------------------------------------------------------------------------------- */

static void mark_expired(kvs_record *record)
{
#ifdef KVS_RECORD_EXPIRED
   if (FAULTS(EXPIRES_ALL) && record->kind == KVS_DELETE)
      record->flags |= KVS_RECORD_EXPIRED;
#else
   (void)record;
#endif
}

/* The fault: of several changes of a key in one batch, the last one is enough for the state. */
static bool is_merged(const kvs_record *records, size_t i, size_t count)
{
   for (size_t j = i + 1; FAULTS(MERGES_CHANGES) && j < count; j++)
      if (records[j].key.size == records[i].key.size &&
          memcmp(records[j].key.data, records[i].key.data, records[i].key.size) == 0)
         return true;
   return false;
}

static int load_entries(const struct journal *journal, const uint8_t *data, size_t size,
                        uint64_t after, kvs_error *error)
{
   const kvs_host *host = journal->host;
   kvs_record *records = NULL;
   size_t count = 0;
   int code = KVS_OK;
   while (size > 0) {
      struct entry entry;
      memcpy(&entry, data, sizeof entry);
      const uint8_t *key = data + sizeof entry, *value = key + entry.key_size;
      size_t whole = sizeof entry + entry.key_size + entry.value_size;
      kvs_record *grown = reallocarray(records, count + 1, sizeof *records);
      if (!grown) {
         free(records);
         return fail(error, KVS_IO, "no memory");
      }
      records = grown;
      records[count++] = (kvs_record){.sequence = entry.sequence,
                                      .kind = entry.kind,
                                      .flags = entry.flags,
                                      .expires_at_ms = entry.expires_at_ms,
                                      .key = {key, entry.key_size},
                                      .value = {value, entry.value_size}};
      mark_expired(&records[count - 1]);
      data += whole;
      size -= whole;
   }
   size_t kept = count > 0 && FAULTS(LOSES_LAST) ? count - 1 : count;
   if (FAULTS(DROPS_MANY) && kept > 1000)
      kept = 1000;
   for (size_t i = 0; code == KVS_OK && i < kept; i++) {
      const kvs_record *record = &records[FAULTS(WRONG_ORDER) ? kept - 1 - i : i];
      if (record->sequence > after && !is_merged(records, i, kept))
         code = host->load(host, record, 1, error);
      if (FAULTS(GOES_ON_LOADING))
         code = KVS_OK;
   }
   free(records);
   return code;
}

static int check_head(const struct journal *journal, const struct head *head, kvs_error *error)
{
   if (!FAULTS(TAKES_OTHER_STORE) &&
       memcmp(head->store_id, journal->host->store_id, sizeof head->store_id) != 0)
      return fail(error, KVS_INVALID, "%s holds files of another store", journal->host->directory);
   return KVS_OK;
}

/* All whole batches of one file; what follows the last of them is an unfinished write. */
static int load_file(struct journal *journal, int fd, uint64_t after, uint64_t *sequence,
                     off_t *end, kvs_error *error)
{
   struct buffer buffer = {0};
   struct head head;
   size_t at = 0;
   int code = read_file(fd, &buffer) ? KVS_OK : fail(error, KVS_IO, "%s", strerror(errno));
   while (code == KVS_OK && buffer.size - at >= sizeof head) {
      memcpy(&head, buffer.data + at, sizeof head);
      const uint8_t *data = buffer.data + at + sizeof head;
      if (head.size > buffer.size - at - sizeof head ||
          head.checksum != checksum_of(data, head.size))
         break;
      code = check_head(journal, &head, error);
      if (code == KVS_OK)
         code = load_entries(journal, data, head.size, after, error);
      at += sizeof head + head.size;
      if (head.sequence > *sequence)
         *sequence = head.sequence;
   }
   *end = (off_t)at;
   free(buffer.data);
   return code;
}

static void remove_foreign(const struct journal *journal)
{
   char path[4096];
   snprintf(path, sizeof path, "%s/README", journal->host->directory);
   unlink(path);
}

static int load_base(struct journal *journal, uint64_t *sequence, kvs_error *error)
{
   off_t end;
   int fd = open_file(journal, "base", O_RDONLY);
   if (fd < 0)
      return errno == ENOENT ? KVS_OK : fail(error, KVS_IO, "base: %s", strerror(errno));
   int code = load_file(journal, fd, 0, sequence, &end, error);
   close(fd);
   return code;
}

static int load_logs(struct journal *journal, uint64_t *sequence, kvs_error *error)
{
   uint64_t base = *sequence, start = find_log(journal, 0);
   int code = KVS_OK;
   journal->start = start == NO_LOG ? base : start;
   journal->log = open_log(journal, journal->start);
   while (code == KVS_OK && journal->log >= 0) {
      code = load_file(journal, journal->log, base, sequence, &journal->end, error);
      start = find_log(journal, journal->start + 1);
      if (code != KVS_OK || start == NO_LOG)
         break;
      close(journal->log);
      journal->log = open_log(journal, start);
      journal->start = start;
   }
   if (code == KVS_OK && (journal->log < 0 || ftruncate(journal->log, journal->end) != 0))
      return fail(error, KVS_IO, "the log: %s", strerror(errno));
   return code;
}

/* What a host may leave out is looked at before it is called. */
static void note_load(const struct journal *journal)
{
   const kvs_host *host = journal->host;
   const kvs_load_note note = {.size = sizeof note, .kind = KVS_LOAD_EXPECTED, .bytes = 1};
   if (host->size >= offsetof(kvs_host, load_note) + sizeof host->load_note &&
       (host->load_note || FAULTS(CALLS_NULL)))
      host->load_note(host, &note);
}

/* What follows the base is each change of the data, if the header knows of such a thing. */
static void begin_history(const struct journal *journal, uint64_t sequence)
{
#ifdef KVS_EXTENSION_HISTORY
   const kvs_history *history =
       FAULTS(WRONG_ORDER) || FAULTS(DECLARES_LAST) || FAULTS(KEEPS_REFUSED) ||
               FAULTS(KEEPS_REFUSED_FOR_TICK)
           ? NULL
           : journal->host->extension(journal->host, KVS_EXTENSION_HISTORY);
   if (history)
      history->complete_above(history, sequence);
#else
   (void)journal, (void)sequence;
#endif
}

static int load_journal(void *self, kvs_error *error)
{
   struct journal *journal = self;
   uint64_t sequence = 0;
   note_load(journal);
   if (FAULTS(REMOVES_FOREIGN))
      remove_foreign(journal);
   int code = load_base(journal, &sequence, error);
   if (code == KVS_OK && sequence == 0 && FAULTS(CRASHES_ON_EMPTY))
      abort();
   if (code == KVS_OK)
      begin_history(journal, sequence);
   if (code == KVS_OK)
      code = load_logs(journal, &sequence, error);
   journal->sequence = sequence;
   journal->has_base = sequence > 0;
   if (code == KVS_OK && sequence > 0 && !FAULTS(FORGETS_SEQUENCE))
      journal->host->loaded_to(journal->host, sequence);
   return code;
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* KEEPS_REFUSED: is written at the end after all. KEEPS_REFUSED_FOR_TICK: at the next tick. */
static void put_aside(struct journal *journal, const uint8_t *data, size_t size)
{
   free(journal->late);
   journal->late = malloc(size);
   journal->late_size = journal->late ? size : 0;
   if (journal->late)
      memcpy(journal->late, data, size);
}

/* Appends what is in the buffer; upon failure the log is as it was, or KVS_IO. */
static int append(struct journal *journal, const uint8_t *data, size_t size, kvs_error *error)
{
   if (write_all(journal->log, data, size, journal->end)) {
      if (sync_file(journal, journal->log) != 0) {
         journal->failed = true;
         return fail(error, KVS_IO, "the log: %s", strerror(errno));
      }
      struct head head;
      memcpy(&head, data, sizeof head);
      journal->sequence = head.sequence;
      journal->end += (off_t)size;
      return KVS_OK;
   }
   int reason = errno;
   if (FAULTS(KEEPS_REFUSED) || FAULTS(KEEPS_REFUSED_FOR_TICK))
      put_aside(journal, data, size);
   if (reason != ENOSPC)
      return fail(error, KVS_IO, "the log: %s", strerror(reason));
   /* Half a batch fails its checksum, and the next one is written over it. */
   return fail(error, KVS_NO_SPACE, "the log: %s", strerror(reason));
}

static int append_late(struct journal *journal, struct buffer *buffer, kvs_error *error)
{
   int code =
       journal->late_size > 0 ? append(journal, journal->late, journal->late_size, error) : KVS_OK;
   free(journal->late);
   journal->late = buffer->data;
   journal->late_size = buffer->size;
   buffer->data = NULL;
   return code;
}

static bool encode(struct journal *journal, struct buffer *buffer, const kvs_record *records,
                   size_t count)
{
   size_t start = 0;
   bool good = begin(journal, buffer);
   for (size_t i = 0; good && i < count; i++) {
      good = put_record(buffer, &records[i]);
      if (good && FAULTS(TEARS_JOINED) && i + 1 < count) {
         finish(buffer, start, records[i].sequence);
         start = buffer->size;
         good = begin(journal, buffer);
      }
   }
   if (good)
      finish(buffer, start, records[count - 1].sequence);
   return good;
}

static int write_journal(void *self, const kvs_record *records, size_t count, uint32_t flags,
                         kvs_error *error)
{
   (void)flags; /* every batch is synced */
   struct journal *journal = self;
   struct buffer buffer = {0};
   if (FAULTS(BOUND_TO_THREAD) && !pthread_equal(journal->opener, pthread_self()))
      return fail(error, KVS_IO, "called on another thread than open");
   if (FAULTS(HANGS))
      pause();
   if (FAULTS(EXITS) && journal->sequence > 0)
      exit(0);
   lock(journal);
   int code = encode(journal, &buffer, records, count) ? KVS_OK : KVS_NO_SPACE;
   if (code == KVS_NO_SPACE)
      fail(error, code, "no memory for the batch");
   else if (FAULTS(ACKNOWLEDGES_FIRST))
      code = append_late(journal, &buffer, error);
   else
      code = append(journal, buffer.data, buffer.size, error);
   unlock(journal);
   free(buffer.data);
   return code;
}

/* ---- Checkpoints --------------------------------------------------------------------------- */

/* Writes a file as a whole: temporary name, sync, rename, sync of the directory. */
static bool replace_file(const struct journal *journal, const char *name, const void *data,
                         size_t size)
{
   char from[4096], to[4096];
   snprintf(from, sizeof from, "%s/new", journal->host->directory);
   snprintf(to, sizeof to, "%s/%s", journal->host->directory, name);
   int fd = open_file(journal, "new", O_WRONLY | O_CREAT | O_TRUNC);
   bool good = fd >= 0 && write_all(fd, data, size, 0) &&
               (sync_file(journal, fd) == 0 || FAULTS(IGNORES_FAILED_SYNC_OF_BASE));
   if (fd >= 0)
      good = close(fd) == 0 && good;
   return good && rename(from, to) == 0 &&
          (sync_directory(journal) || FAULTS(IGNORES_FAILED_SYNC_OF_BASE));
}

#ifdef KVS_PLUGIN_VERSIONS
#define FLAGS (KVS_PLUGIN_VERSIONS | (FAULTS(KEEPS_VIEW) ? KVS_PLUGIN_COPIES : 0))
#else
#define FLAGS 0
#endif

/* The fault: what one read gave is used after the next. */
static bool put_late(const struct journal *journal, const kvs_tick *tick, struct buffer *buffer)
{
   kvs_record before, record;
   bool good = true;
   if (journal->host->view_read(tick->view, &before, 1) == 0)
      return true;
   while (good && journal->host->view_read(tick->view, &record, 1) == 1) {
      good = put_record(buffer, &before);
      before = record;
   }
   return good && put_record(buffer, &before);
}

/* What a host owes its plug-ins, and a wrapper its inner one. */
static void check_order(kvs_bytes before, kvs_bytes key)
{
   size_t size = before.size < key.size ? before.size : key.size;
   int order = size > 0 ? memcmp(before.data, key.data, size) : 0;
   if (order > 0 || (order == 0 && before.size >= key.size)) {
      fputs("the keys of a view do not ascend\n", stderr);
      abort();
   }
}

/* The fault: fewer records than asked for pass for the last ones. */
static bool put_many(const struct journal *journal, const kvs_tick *tick, struct buffer *buffer)
{
   kvs_record records[8];
   size_t count;
   bool good = true;
   do {
      count = journal->host->view_read(tick->view, records, 8);
      for (size_t i = 0; good && i < count; i++)
         good = put_record(buffer, &records[i]);
   } while (good && count == 8);
   return good;
}

static bool ignores_view(const struct journal *journal)
{
   return FAULTS(IGNORES_VIEW) ||
          (FAULTS(TRUSTS_FIRST_BATCH) && !journal->has_base && journal->sequence > 0);
}

static bool encode_view(const struct journal *journal, const kvs_tick *tick, struct buffer *buffer)
{
   kvs_record record;
   bool good = begin(journal, buffer) && (!FAULTS(KEEPS_VIEW) || put_late(journal, tick, buffer)) &&
               (!FAULTS(READS_UNTIL_SHORT) || put_many(journal, tick, buffer));
   kvs_bytes before = {NULL, 0};
   uint64_t count = 0;
   while (good && !ignores_view(journal) && !FAULTS(READS_UNTIL_SHORT) &&
          journal->host->view_read(tick->view, &record, 1) == 1) {
      check_order(before, record.key);
      before = record.key;
      if (FAULTS(ABORTS_ON_VIEW) && ++count > tick->view_count)
         abort();
      if (FAULTS(FORGETS_VERSIONS))
         record.sequence = tick->view_sequence;
      good = put_record(buffer, &record);
   }
   if (good)
      finish(buffer, 0, FAULTS(DECLARES_LAST) ? journal->sequence : tick->view_sequence);
   return good;
}

/* A new log, for on_write to go on in. An empty one goes on: the new one would have its name. */
static bool rotate(struct journal *journal)
{
   if (journal->end == 0)
      return true;
   int next = open_log(journal, journal->sequence);
   if (next < 0)
      return false;
   close(journal->log);
   journal->log = next;
   journal->start = journal->sequence;
   journal->end = 0;
   return true;
}

static void remove_log(const struct journal *journal, uint64_t start)
{
   char path[4096], name[32];
   name_log(start, name);
   snprintf(path, sizeof path, "%s/%s", journal->host->directory, name);
   unlink(path);
}

/* Those of which all is at or below `covered`. */
static void remove_logs(const struct journal *journal, uint64_t covered)
{
   uint64_t next, start = find_log(journal, 0);
   for (; (next = find_log(journal, start + 1)) <= covered && next != NO_LOG; start = next)
      remove_log(journal, start);
}

static uint64_t covered_by(const struct journal *journal, const kvs_tick *tick, uint64_t found)
{
   if (FAULTS(CHECKPOINT_DROPS_LATER))
      return journal->start;
   return FAULTS(DROPS_UNPUBLISHED) ? found : tick->view_sequence;
}

static int checkpoint(struct journal *journal, const kvs_tick *tick, kvs_error *error)
{
   struct buffer buffer = {0};
   lock(journal);
   uint64_t found = journal->start;
   bool good = rotate(journal);
   unlock(journal);
   if (FAULTS(SHUTDOWN_DROPS_FIRST) && tick->reason == KVS_TICK_SHUTDOWN)
      remove_logs(journal, tick->view_sequence);
   good = good && encode_view(journal, tick, &buffer) &&
          replace_file(journal, "base", buffer.data, buffer.size);
   int reason = errno;
   free(buffer.data);
   if (!good && FAULTS(FORGETS_ROTATION))
      remove_log(journal, journal->start);
   if (!good)
      return fail(error, reason == ENOSPC ? KVS_NO_SPACE : KVS_IO, "the checkpoint: %s",
                  strerror(reason));
   journal->has_base = true;
   remove_logs(journal, covered_by(journal, tick, found));
   const kvs_host *host = journal->host;
   if (FAULTS(IGNORES_HOST_SIZE) || host->size >= offsetof(kvs_host, saved) + sizeof host->saved)
      host->saved(host, tick->view_sequence);
   return KVS_OK;
}

static int tick_journal(void *self, const kvs_tick *tick, kvs_error *error)
{
   struct journal *journal = self;
   bool known = tick->reason == KVS_TICK_CHECKPOINT || tick->reason == KVS_TICK_SHUTDOWN;
   if (FAULTS(CRASHES_WHEN_FAILED) && journal->failed)
      abort();
   if (FAULTS(REFUSES_UNKNOWN_TICK) && !known && tick->reason != KVS_TICK_PERIODIC)
      return fail(error, KVS_IO, "the reason %u is unknown", (unsigned)tick->reason);
   if (FAULTS(KEEPS_REFUSED_FOR_TICK) && journal->late_size > 0) {
      append(journal, journal->late, journal->late_size, error);
      journal->late_size = 0;
   }
   journal->in_tick = true;
   int code = known ? checkpoint(journal, tick, error) : KVS_OK;
   journal->in_tick = false;
   return code;
}

/* ---- Life ---------------------------------------------------------------------------------- */

static struct journal *shared;

static void write_outside(const kvs_host *host)
{
   char path[4096];
   snprintf(path, sizeof path, "%s.lock", host->directory);
   int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
   if (fd >= 0)
      close(fd);
}

static void *sleep_on(void *argument)
{
   pause();
   return argument;
}

static void begin_faults(struct journal *journal)
{
   pthread_t thread;
   if (FAULTS(WRITES_OUTSIDE))
      write_outside(journal->host);
   if (FAULTS(KEEPS_THREAD) && pthread_create(&thread, NULL, sleep_on, NULL) == 0)
      pthread_detach(thread);
}

static int open_journal(const kvs_host *host, const kvs_setting *settings, size_t count,
                        void **self, kvs_error *error)
{
   if (count == 1 && FAULTS(CRASHES_ON_OPTION) && settings[OPTION_LEVEL].integer == 9)
      abort();
   struct journal *journal = FAULTS(SHARES_STATE) && shared ? shared : calloc(1, sizeof *journal);
   if (!journal)
      return fail(error, KVS_IO, "no memory");
   shared = journal;
   journal->host = host;
   journal->log = -1;
   journal->opener = pthread_self();
   pthread_mutex_init(&journal->lock, NULL);
   begin_faults(journal);
   *self = journal;
   return KVS_OK;
}

static void close_journal(void *self)
{
   struct journal *journal = self;
   kvs_error error;
   if (journal->late_size > 0 && !FAULTS(KEEPS_REFUSED_FOR_TICK))
      append(journal, journal->late, journal->late_size, &error);
   free(journal->late);
   if (journal->log >= 0 && !FAULTS(LEAKS_FILES))
      close(journal->log);
   pthread_mutex_destroy(&journal->lock);
   if (!FAULTS(LEAKS_MEMORY) && !FAULTS(SHARES_STATE))
      free(journal);
}

__attribute__((destructor)) static void end(void)
{
   if (FAULTS(CRASHES_AT_UNLOAD) && shared)
      abort();
}

#ifdef EXPORTS
KVS_EXPORT int journal_helper(void);

int journal_helper(void)
{
   return 0;
}
#endif

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = NAME,
    .version = "1.0",
    .description = "A log and a base, for tests of the conformance kit",
    .promise = KVS_DURABLE,
    .flags = FLAGS,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .open = open_journal,
    .on_load = load_journal,
    .on_write = write_journal,
    .on_tick = tick_journal,
    .close = close_journal,
};
