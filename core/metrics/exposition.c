#include "core/metrics/exposition.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN ((size_t)16 * 1024)
#define NUMBER_SIZE 32
#define EXACT_MAX 9007199254740992.0 /* 2^53 */

/* ---- Text ---- */

static void give_up(struct kv_exposition *page)
{
   free(page->text);
   *page = (struct kv_exposition){.failed = true};
}

static void put(struct kv_exposition *page, const char *text, size_t size)
{
   if (page->failed)
      return;
   if (page->size + size + 1 > page->capacity) {
      size_t capacity = 2 * (page->capacity + size);
      capacity = capacity < CAPACITY_MIN ? CAPACITY_MIN : capacity;
      char *longer = realloc(page->text, capacity);
      if (!longer) {
         give_up(page);
         return;
      }
      page->text = longer;
      page->capacity = capacity;
   }
   memcpy(page->text + page->size, text, size);
   page->size += size;
   page->text[page->size] = '\0';
}

static void put_text(struct kv_exposition *page, const char *text)
{
   put(page, text, strlen(text));
}

static void put_escaped(struct kv_exposition *page, const char *text)
{
   for (; *text; text++)
      if (*text == '\n')
         put_text(page, "\\n");
      else if (*text == '"' || *text == '\\')
         put(page, (const char[]){'\\', *text}, 2);
      else
         put(page, text, 1);
}

static void format(double value, char text[NUMBER_SIZE])
{
   bool whole = value == floor(value) && fabs(value) <= EXACT_MAX;
   if (isinf(value)) {
      snprintf(text, NUMBER_SIZE, "%cInf", value > 0 ? '+' : '-');
      return;
   }
   snprintf(text, NUMBER_SIZE, whole ? "%.0f" : "%.15g", value);
}

/* ---- Families ---- */

void kv_exposition_family(struct kv_exposition *page, const char *name, const char *type,
                          const char *help)
{
   const char *const parts[] = {"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"};
   page->family = name;
   for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
      put_text(page, parts[i]);
}

static void put_sample(struct kv_exposition *page, const char *suffix,
                       const struct kv_labels *labels, double value)
{
   char number[NUMBER_SIZE];
   if (page->failed)
      return;
   put_text(page, page->family);
   put_text(page, suffix);
   bool any = false;
   for (size_t i = 0; i < KV_LABELS_MAX && labels->items[i].name; i++) {
      put_text(page, any ? "," : "{");
      put_text(page, labels->items[i].name);
      put_text(page, "=\"");
      put_escaped(page, labels->items[i].value);
      put_text(page, "\"");
      any = true;
   }
   format(value, number);
   put_text(page, any ? "} " : " ");
   put_text(page, number);
   put_text(page, "\n");
}

void kv_exposition_sample(struct kv_exposition *page, const struct kv_labels *labels, double value)
{
   put_sample(page, "", labels, value);
}

static void put_bucket(struct kv_exposition *page, const struct kv_labels *labels, const char *end,
                       uint64_t count)
{
   struct kv_labels all = *labels;
   size_t i = all.items[0].name ? 1 : 0;
   all.items[i] = (struct kv_label){"le", end};
   put_sample(page, "_bucket", &all, (double)count);
}

void kv_exposition_histogram(struct kv_exposition *page, const struct kv_labels *labels,
                             const struct kv_exposition_scale *scale, const uint64_t *counts,
                             double sum)
{
   uint64_t passed = 0;
   for (size_t i = 0; i < scale->shape.size; i++) {
      passed += counts[i];
      if (i < scale->first || i > scale->last || (i - scale->first) % scale->step != 0)
         continue;
      char end[NUMBER_SIZE];
      double value = (double)(kv_histogram_bucket_end(scale->shape, i) + 1);
      format(value * scale->unit, end);
      put_bucket(page, labels, end, passed);
   }
   put_bucket(page, labels, "+Inf", passed);
   put_sample(page, "_sum", labels, sum);
   put_sample(page, "_count", labels, (double)passed);
}

void kv_exposition_gauge(struct kv_exposition *page, const char *name, const char *help,
                         double value)
{
   kv_exposition_family(page, name, "gauge", help);
   kv_exposition_sample(page, &KV_NO_LABELS, value);
}

void kv_exposition_counter(struct kv_exposition *page, const char *name, const char *help,
                           double value)
{
   kv_exposition_family(page, name, "counter", help);
   kv_exposition_sample(page, &KV_NO_LABELS, value);
}
