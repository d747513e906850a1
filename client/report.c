#include "client/report.h"

#include "client/print.h"
#include "client/session.h"

#include <inttypes.h>
#include <stdio.h>

void report_options(Kvstore__MapEntry **options, size_t count)
{
   print_label(stdout, "options");
   for (size_t i = 0; i < count; i++) {
      fputs(i ? " " : "", stdout);
      print_word(stdout, session_bytes(options[i]->key));
      fputc('=', stdout);
      print_word(stdout, session_bytes(options[i]->value));
   }
   fputs(count ? "\n" : "(none)\n", stdout);
}

/* ---- Hooks ---- */

/* A time in the unit that reads best. */
static void print_time(uint64_t ns)
{
   static const struct {
      uint64_t below_ns;
      const char *unit;
      double ns;
   } units[] = {{1000000, "us", 1e3}, {1000000000, "ms", 1e6}, {UINT64_MAX, "s ", 1e9}};
   size_t i = 0;
   while (ns >= units[i].below_ns && units[i].below_ns != UINT64_MAX)
      i++;
   printf(" %7.1f %s", (double)ns / units[i].ns, units[i].unit);
}

static void print_hooks_head(void)
{
   printf("%-22s %9s %8s %9s %10s %10s %10s\n", "hook", "calls", "failed", "mean", "half", "99 %",
          "longest");
}

static void print_hook(struct kv_bytes name, const Kvstore__Hook *hook)
{
   static const int column = 22;
   print_plain(stdout, name);
   printf("%*s %9" PRIu64 " %8" PRIu64, name.size < (size_t)column ? column - (int)name.size : 0,
          "", hook->calls, hook->errors);
   print_time(hook->mean_ns);
   print_time(hook->p50_ns);
   print_time(hook->p99_ns);
   print_time(hook->max_ns);
   fputc('\n', stdout);
}

void report_hooks(const Kvstore__StatusResponse *answer)
{
   for (size_t i = 0; i < answer->n_overdue; i++) {
      print_label(stdout, "overdue");
      print_plain(stdout, session_bytes(answer->overdue[i]));
      fputc('\n', stdout);
   }
   if (answer->n_hooks > 0)
      print_hooks_head();
   for (size_t i = 0; i < answer->n_hooks; i++)
      if (answer->hooks[i]->calls > 0)
         print_hook(session_bytes(answer->hooks[i]->name), answer->hooks[i]);
}

/* ---- Shadow runs ---- */

static void print_outcome(const Kvstore__ShadowReport *report)
{
   print_label(stdout, "shadow run");
   switch (report->outcome) {
   case KVSTORE__SHADOW_REPORT__OUTCOME__EQUAL:
      fputs("EQUAL: the plug-in gave back exactly the live data\n", stdout);
      break;
   case KVSTORE__SHADOW_REPORT__OUTCOME__DIFFERENT:
      fputs("DIFFERENT: the plug-in did not give back the live data\n", stdout);
      break;
   case KVSTORE__SHADOW_REPORT__OUTCOME__NOTHING_KEPT:
      fputs("the plug-in keeps nothing, so there is nothing to compare\n", stdout);
      break;
   default:
      fputs("FAILED: ", stdout);
      print_plain(stdout, session_bytes(report->error));
      fputc('\n', stdout);
      break;
   }
}

static void print_difference(const Kvstore__ShadowReport *report)
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
   print_field(stdout, "differences", "%" PRIu64 " keys", report->differences);
   print_label(stdout, "first");
   if (first->kind == KVSTORE__SHADOW_REPORT__DIFFERENCE__KIND__SEQUENCE) {
      fputs("the data is the same, but not the sequence\n", stdout);
      return;
   }
   unsigned kind = (unsigned)first->kind;
   print_text(stdout, session_bytes(first->key));
   if (first->key_size > first->key.len)
      printf("... (%" PRIu64 " bytes)", first->key_size);
   printf(" %s\n", kind < sizeof kinds / sizeof *kinds ? kinds[kind] : "differs");
}

static void print_compared(const Kvstore__ShadowReport *report)
{
   print_field(stdout, "live",
               "%" PRIu64 " keys, %" PRIu64 " bytes, sequence %" PRIu64 ", digest %.*s",
               report->keys, report->bytes, report->sequence, (int)report->live_digest.len,
               (const char *)report->live_digest.data);
   print_field(stdout, "given back",
               "%" PRIu64 " keys, %" PRIu64 " bytes, sequence %" PRIu64 ", digest %.*s",
               report->loaded_keys, report->loaded_bytes, report->loaded_sequence,
               (int)report->loaded_digest.len, (const char *)report->loaded_digest.data);
}

int report_shadow(const Kvstore__ShadowReport *report)
{
   print_outcome(report);
   print_label(stdout, "plugin");
   print_text(stdout, session_bytes(report->plugin));
   fputc('\n', stdout);
   report_options(report->options, report->n_options);
   bool compared = report->outcome == KVSTORE__SHADOW_REPORT__OUTCOME__EQUAL ||
                   report->outcome == KVSTORE__SHADOW_REPORT__OUTCOME__DIFFERENT;
   if (compared)
      print_compared(report);
   print_difference(report);
   print_field(stdout, "run",
               "%" PRIu64 " records written live; checkpoint %" PRIu64 " ms, then live for %" PRIu64
               " ms, reload %" PRIu64 " ms, comparison %" PRIu64 " ms",
               report->records, report->checkpoint_ms, report->mirrored_ms, report->reload_ms,
               report->compare_ms);
   if (report->candidate_writes && report->active_writes && report->candidate_writes->calls > 0) {
      print_hooks_head();
      print_hook(kv_bytes_of("on_write, tried"), report->candidate_writes);
      print_hook(kv_bytes_of("on_write, active"), report->active_writes);
   }
   bool fine = report->outcome == KVSTORE__SHADOW_REPORT__OUTCOME__EQUAL ||
               report->outcome == KVSTORE__SHADOW_REPORT__OUTCOME__NOTHING_KEPT;
   return fine ? EXIT_DONE : EXIT_DIFFERENT;
}
