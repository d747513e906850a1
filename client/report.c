#include "client/report.h"

#include "client/print.h"
#include "client/session.h"

#include <inttypes.h>
#include <stdio.h>

void report_options(FILE *out, Kvstore__MapEntry **options, size_t count)
{
   print_label(out, "options");
   for (size_t i = 0; i < count; i++) {
      fputs(i ? " " : "", out);
      print_word(out, session_bytes(options[i]->key));
      fputc('=', out);
      print_word(out, session_bytes(options[i]->value));
   }
   fputs(count ? "\n" : "(none)\n", out);
}

/* ---- Hooks ---- */

/* A time in the unit that reads best. */
static void print_time(FILE *out, uint64_t ns)
{
   static const struct {
      uint64_t below_ns;
      const char *unit;
      double ns;
   } units[] = {{1000000, "us", 1e3}, {1000000000, "ms", 1e6}, {UINT64_MAX, "s ", 1e9}};
   size_t i = 0;
   while (ns >= units[i].below_ns && units[i].below_ns != UINT64_MAX)
      i++;
   fprintf(out, " %7.1f %s", (double)ns / units[i].ns, units[i].unit);
}

static void print_hooks_head(FILE *out)
{
   fprintf(out, "%-22s %9s %8s %9s %10s %10s %10s\n", "hook", "calls", "failed", "mean", "median",
           "99 %", "longest");
}

static void print_hook(FILE *out, struct kv_slice name, const Kvstore__Hook *hook)
{
   static const int column = 22;
   print_plain(out, name);
   fprintf(out, "%*s %9" PRIu64 " %8" PRIu64,
           name.size < (size_t)column ? column - (int)name.size : 0, "", hook->calls, hook->errors);
   print_time(out, hook->mean_ns);
   print_time(out, hook->p50_ns);
   print_time(out, hook->p99_ns);
   print_time(out, hook->max_ns);
   fputc('\n', out);
}

void report_hooks(FILE *out, const Kvstore__StatusResponse *answer)
{
   for (size_t i = 0; i < answer->n_overdue; i++) {
      print_label(out, "overdue");
      print_plain(out, session_bytes(answer->overdue[i]));
      fputc('\n', out);
   }
   if (answer->n_hooks > 0)
      print_hooks_head(out);
   for (size_t i = 0; i < answer->n_hooks; i++)
      if (answer->hooks[i]->calls > 0)
         print_hook(out, session_bytes(answer->hooks[i]->name), answer->hooks[i]);
}

/* ---- Shadow runs ---- */

static void print_outcome(FILE *out, const Kvstore__ShadowReport *report)
{
   print_label(out, "shadow run");
   switch (report->outcome) {
   case KVSTORE__SHADOW_REPORT__OUTCOME__EQUAL:
      fputs("EQUAL: the plug-in gave back exactly the live data\n", out);
      break;
   case KVSTORE__SHADOW_REPORT__OUTCOME__DIFFERENT:
      fputs("DIFFERENT: the plug-in did not give back the live data\n", out);
      break;
   case KVSTORE__SHADOW_REPORT__OUTCOME__NOTHING_KEPT:
      fputs("the plug-in keeps nothing, so there is nothing to compare\n", out);
      break;
   default:
      fputs("FAILED: ", out);
      print_plain(out, session_bytes(report->error));
      fputc('\n', out);
      break;
   }
}

static void print_difference(FILE *out, const Kvstore__ShadowReport *report)
{
   static const char *const kinds[] = {
       [KVSTORE__SHADOW_REPORT__DIFFERENCE__KIND__NONE] = "",
       [KVSTORE__SHADOW_REPORT__DIFFERENCE__KIND__MISSING] = "is missing",
       [KVSTORE__SHADOW_REPORT__DIFFERENCE__KIND__EXTRA] = "should not be there",
       [KVSTORE__SHADOW_REPORT__DIFFERENCE__KIND__VALUE] = "has another value",
   };
   const Kvstore__ShadowReport__Difference *first = report->first_difference;
   if (!first)
      return;
   print_field(out, "differences", "%" PRIu64 " keys", report->differences);
   print_label(out, "first");
   if (first->kind == KVSTORE__SHADOW_REPORT__DIFFERENCE__KIND__SEQUENCE) {
      fputs("the data is the same, but not the sequence\n", out);
      return;
   }
   unsigned kind = (unsigned)first->kind;
   print_text(out, session_bytes(first->key));
   if (first->key_size > first->key.len)
      fprintf(out, "... (%" PRIu64 " bytes)", first->key_size);
   fprintf(out, " %s\n", kind < sizeof kinds / sizeof *kinds ? kinds[kind] : "differs");
}

static void print_compared(FILE *out, const Kvstore__ShadowReport *report)
{
   print_field(out, "live",
               "%" PRIu64 " keys, %" PRIu64 " bytes, sequence %" PRIu64 ", digest %.*s",
               report->keys, report->bytes, report->sequence, (int)report->live_digest.len,
               (const char *)report->live_digest.data);
   print_field(out, "given back",
               "%" PRIu64 " keys, %" PRIu64 " bytes, sequence %" PRIu64 ", digest %.*s",
               report->loaded_keys, report->loaded_bytes, report->loaded_sequence,
               (int)report->loaded_digest.len, (const char *)report->loaded_digest.data);
}

int report_shadow(FILE *out, const Kvstore__ShadowReport *report)
{
   print_outcome(out, report);
   print_label(out, "plugin");
   print_text(out, session_bytes(report->plugin));
   fputc('\n', out);
   report_options(out, report->options, report->n_options);
   bool compared = report->outcome == KVSTORE__SHADOW_REPORT__OUTCOME__EQUAL ||
                   report->outcome == KVSTORE__SHADOW_REPORT__OUTCOME__DIFFERENT;
   if (compared)
      print_compared(out, report);
   print_difference(out, report);
   print_field(out, "run",
               "%" PRIu64 " records written live; checkpoint %" PRIu64 " ms, then live for %" PRIu64
               " ms, reload %" PRIu64 " ms, comparison %" PRIu64 " ms",
               report->records, report->checkpoint_ms, report->mirrored_ms, report->reload_ms,
               report->compare_ms);
   if (report->candidate_writes && report->active_writes && report->candidate_writes->calls > 0) {
      print_hooks_head(out);
      print_hook(out, kv_slice_of("on_write, shadow"), report->candidate_writes);
      print_hook(out, kv_slice_of("on_write, active"), report->active_writes);
   }
   bool fine = report->outcome == KVSTORE__SHADOW_REPORT__OUTCOME__EQUAL ||
               report->outcome == KVSTORE__SHADOW_REPORT__OUTCOME__NOTHING_KEPT;
   return fine ? EXIT_DONE : EXIT_DIFFERENT;
}
