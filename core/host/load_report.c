#include "core/host/load_report.h"

#include "core/support/clock.h"
#include "core/support/log.h"
#include "core/support/text.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_INTERVAL_MS 2000
#define TEXT_SHOWN_SIZE 1024
#define KINDS (KVS_LOAD_PASSED_OVER - KVS_LOAD_FILE + 1) /* of items */

struct list {
   struct kv_load_item items[KV_LOAD_ITEMS_MAX];
   size_t count;
   uint64_t total;
};

struct kv_load_report {
   atomic_uint_fast64_t expected, read; /* bytes */
   uint64_t began_ms, logged_ms;        /* monotonic */
   struct list lists[KINDS];            /* by kind, from FILE on */
   struct kv_load_result result;
};

struct kv_load_report *kv_load_report_create(void)
{
   struct kv_load_report *report = calloc(1, sizeof *report);
   if (report)
      kv_load_report_begin(report);
   return report;
}

void kv_load_report_begin(struct kv_load_report *report)
{
   report->began_ms = report->logged_ms = kv_clock_monotonic_ms();
}

static void free_item(struct kv_load_item *item)
{
   free(item->file);
   free(item->text);
}

void kv_load_report_destroy(struct kv_load_report *report)
{
   for (size_t kind = 0; kind < KINDS; kind++)
      for (size_t i = 0; i < report->lists[kind].count; i++)
         free_item(&report->lists[kind].items[i]);
   free(report);
}

/* ---- Filling in ---- */

static void log_progress(struct kv_load_report *report)
{
   uint64_t now_ms = kv_clock_monotonic_ms();
   if (now_ms - report->logged_ms < PROGRESS_INTERVAL_MS)
      return;
   report->logged_ms = now_ms;
   uint64_t read = atomic_load(&report->read);
   double seconds = (double)(now_ms - report->began_ms) / 1000;
   int percent = kv_load_report_percent(report);
   if (percent < 0)
      kv_log(KV_LOG_INFO, "loading: %" PRIu64 " records in %.1f s", report->result.records,
             seconds);
   else
      kv_log(KV_LOG_INFO, "loading: %d %%, %" PRIu64 " records, %.1f MB/s", percent,
             report->result.records, (double)read / 1e6 / seconds);
}

static char *shown(const char *text)
{
   char buffer[TEXT_SHOWN_SIZE];
   return strdup(text ? kv_text_show(text, buffer, sizeof buffer) : "");
}

static void add(struct list *list, const kvs_load_note *note)
{
   struct kv_load_item item = {.file = shown(note->file),
                               .text = shown(note->text),
                               .bytes = note->bytes,
                               .offset = note->offset,
                               .records = note->records,
                               .sequence = note->sequence};
   list->total++;
   if (!item.file || !item.text) {
      free_item(&item);
      return;
   }
   if (list->count == KV_LOAD_ITEMS_MAX) {
      free_item(&list->items[0]);
      list->count--;
      memmove(list->items, list->items + 1, list->count * sizeof *list->items);
   }
   list->items[list->count++] = item;
}

void kv_load_report_note(struct kv_load_report *report, const kvs_load_note *note)
{
   if (note->size < offsetof(kvs_load_note, sequence) + sizeof note->sequence)
      return;
   if (note->kind == KVS_LOAD_EXPECTED)
      atomic_fetch_add(&report->expected, note->bytes);
   else if (note->kind == KVS_LOAD_READ)
      atomic_fetch_add(&report->read, note->bytes);
   else if (note->kind >= KVS_LOAD_FILE && note->kind <= KVS_LOAD_PASSED_OVER)
      add(&report->lists[note->kind - KVS_LOAD_FILE], note);
   log_progress(report);
}

void kv_load_report_count(struct kv_load_report *report, uint64_t records)
{
   /* The clock is read once for so many records: reading it each time would be noticed. */
   const uint64_t step = 4096;
   uint64_t before = report->result.records;
   report->result.records += records;
   if (before / step != report->result.records / step)
      log_progress(report);
}

void kv_load_report_finish(struct kv_load_report *report, const struct kv_load_result *result)
{
   uint64_t records = report->result.records;
   report->result = *result;
   report->result.records = records;
   report->result.duration_ms = kv_clock_monotonic_ms() - report->began_ms;
}

/* ---- Reading ---- */

int kv_load_report_percent(const struct kv_load_report *report)
{
   uint64_t expected = atomic_load(&report->expected);
   uint64_t read = atomic_load(&report->read);
   if (expected == 0)
      return -1;
   return read >= expected ? 100 : (int)((double)read * 100 / (double)expected);
}

struct kv_load_items kv_load_report_items(const struct kv_load_report *report, uint32_t kind)
{
   const struct list *list = &report->lists[kind - KVS_LOAD_FILE];
   return (struct kv_load_items){list->items, list->count, list->total};
}

struct kv_load_result kv_load_report_result(const struct kv_load_report *report)
{
   return report->result;
}

/* ---- One line ---- */

static size_t folder_length(const char *file)
{
   const char *slash = strrchr(file, '/');
   return slash ? (size_t)(slash - file) : 0;
}

static bool same_folder(const char *a, const char *b)
{
   size_t length = folder_length(a);
   return length == folder_length(b) && memcmp(a, b, length) == 0;
}

/* One file by its name, several of a directory as one sum. */
static void print_files(FILE *out, const struct kv_load_report *report)
{
   const struct kv_load_items list = kv_load_report_items(report, KVS_LOAD_FILE);
   for (size_t i = 0, next; i < list.count; i = next) {
      const struct kv_load_item *last = &list.items[i];
      uint64_t records = last->records;
      for (next = i + 1; next < list.count && same_folder(last->file, list.items[next].file);
           next++) {
         last = &list.items[next];
         records += last->records;
      }
      if (next == i + 1)
         fprintf(out, "%s: ", last->file);
      else
         fprintf(out, "%zu files of %.*s, the last %s: ", next - i, (int)folder_length(last->file),
                 last->file, last->file + folder_length(last->file) + 1);
      fprintf(out, "%" PRIu64 " records, up to sequence %" PRIu64 "; ", records, last->sequence);
   }
   if (list.total > list.count)
      fprintf(out, "%" PRIu64 " files before these; ", list.total - list.count);
}

static void print_faults(FILE *out, const struct kv_load_report *report)
{
   const struct kv_load_items torn = kv_load_report_items(report, KVS_LOAD_TORN);
   const struct kv_load_items passed_over = kv_load_report_items(report, KVS_LOAD_PASSED_OVER);
   for (size_t i = 0; i < torn.count; i++)
      fprintf(out, "torn: %s at offset %" PRIu64 ", %" PRIu64 " bytes %s; ", torn.items[i].file,
              torn.items[i].offset, torn.items[i].bytes, torn.items[i].text);
   for (size_t i = 0; i < passed_over.count; i++)
      fprintf(out, "passed over: %s; ", passed_over.items[i].file);
}

void kv_load_report_log(const struct kv_load_report *report, const char *mode, uint64_t generation)
{
   char *text = NULL;
   size_t size;
   FILE *out = open_memstream(&text, &size);
   if (out) {
      print_files(out, report);
      print_faults(out, report);
   }
   const char *files = out && fclose(out) == 0 ? text : "";
   kv_log(KV_LOG_INFO,
          "recovered: mode %s, generation %" PRIu64 ": %sstate: %" PRIu64 " keys, %" PRIu64
          " bytes, sequence %" PRIu64 "; %" PRIu64 " ms",
          mode, generation, files, report->result.keys, report->result.bytes,
          report->result.sequence, report->result.duration_ms);
   free(text);
}
