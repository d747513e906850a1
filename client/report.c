#include "client/report.h"

#include "client/print.h"
#include "client/session.h"

#include <inttypes.h>
#include <time.h>

void report_options(FILE *out, Kvstore__V1__MapEntry **options, size_t count)
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

/* In the unit that reads best. */
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

static void print_hook(FILE *out, struct kv_slice name, const Kvstore__V1__Hook *hook)
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

static void print_hooks(FILE *out, const Kvstore__V1__GetStatusResponse *answer)
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

/* ---- Status ---- */

enum { TIME_SIZE = 64 };

/* False for 0, which stands for no time. */
static bool format_time(int64_t unix_ms, char text[TIME_SIZE])
{
   time_t seconds = (time_t)(unix_ms / 1000);
   struct tm local;
   return seconds != 0 && localtime_r(&seconds, &local) &&
          strftime(text, TIME_SIZE, "%Y-%m-%d %H:%M:%S %z", &local) != 0;
}

static void print_last_save(FILE *out, const Kvstore__V1__GetStatusResponse *answer)
{
   char text[TIME_SIZE];
   if (!format_time(answer->last_save_unix_ms, text))
      print_field(out, "last save", "none since the start");
   else
      print_field(out, "last save", "%s, up to sequence %" PRIu64, text, answer->last_save_version);
}

static void print_recovery(FILE *out, const Kvstore__V1__Recovery *recovery)
{
   print_field(out, "recovery",
               "%" PRIu64 " record%s from %" PRIu64 " file%s in %" PRIu64 " ms: %" PRIu64
               " key%s, up to sequence %" PRIu64,
               recovery->records, print_plural(recovery->records), recovery->file_count,
               print_plural(recovery->file_count), recovery->duration_ms, recovery->keys,
               print_plural(recovery->keys), recovery->version);
   for (size_t i = 0; i < recovery->n_torn; i++) {
      const Kvstore__V1__Recovery__Torn *torn = recovery->torn[i];
      print_label(out, "torn");
      print_plain(out, session_bytes(torn->file));
      fprintf(out, " at offset %" PRIu64 ", %" PRIu64 " byte%s ", torn->offset, torn->bytes,
              print_plural(torn->bytes));
      print_plain(out, session_bytes(torn->outcome));
      fputc('\n', out);
   }
   for (size_t i = 0; i < recovery->n_passed_over; i++) {
      print_label(out, "passed over");
      print_plain(out, session_bytes(recovery->passed_over[i]->reason));
      fputc('\n', out);
   }
}

static void print_last_error(FILE *out, const Kvstore__V1__GetStatusResponse *answer)
{
   char text[TIME_SIZE];
   print_label(out, "last error");
   print_plain(out, answer->last_error.len > 0 ? session_bytes(answer->last_error)
                                               : kv_slice_of("none since the start"));
   fputc('\n', out);
   if (format_time(answer->last_error_unix_ms, text))
      print_field(out, "", "%s, %" PRIu64 " time%s", text, answer->last_error_count,
                  print_plural(answer->last_error_count));
   if (answer->refused_writes > 0)
      print_field(out, "refused", "%" PRIu64 " write%s since the start, for lack of space",
                  answer->refused_writes, print_plural(answer->refused_writes));
}

/* The limit on the data. */
static void print_limit(FILE *out, const Kvstore__V1__GetStatusResponse *answer)
{
   print_label(out, "limit");
   if (answer->bytes_max == 0) {
      fputs("none\n", out);
      return;
   }
   fprintf(out, "%" PRIu64 " bytes", answer->bytes_max);
   if (answer->key_cost > 0)
      fprintf(out, ", with %" PRIu64 " for each key", answer->key_cost);
   fputs(" (", out);
   print_text(out, session_bytes(answer->bytes_max_source));
   fputs(")\n", out);
}

static void print_backups(FILE *out, const Kvstore__V1__BackupStatus *backup)
{
   if (!backup)
      return;
   print_label(out, "last backup");
   if (backup->last_good_unix_ms == 0)
      fputs("none", out);
   else
      print_text(out, session_bytes(backup->last_good_file));
   fprintf(out,
           " (version %" PRIu64 ", %" PRIu64 " bytes), every %" PRIu64 " s, %" PRIu64 " kept\n",
           backup->last_good_version, backup->last_good_bytes, backup->interval_seconds,
           backup->kept_files);
   if (backup->last_error.len > 0) {
      print_label(out, "backup error");
      print_text(out, session_bytes(backup->last_error));
      fputc('\n', out);
   }
}

void report_status(FILE *out, const Kvstore__V1__GetStatusResponse *answer)
{
   uint64_t seconds = answer->uptime_ms / 1000;
   print_bytes_field(out, "version", session_bytes(answer->server_version));
   print_bytes_field(out, "store", session_bytes(answer->store_id));
   print_bytes_field(out, "plugin", session_bytes(answer->plugin));
   report_options(out, answer->options, answer->n_options);
   print_field(out, "keys", "%" PRIu64, answer->keys);
   print_field(out, "bytes", "%" PRIu64, answer->bytes);
   print_limit(out, answer);
   print_field(out, "sequence", "%" PRIu64, answer->version);
   print_field(out, "generation", "%" PRIu64, answer->generation);
   print_bytes_field(out, "etag", session_bytes(answer->etag));
   if (answer->recovery)
      print_recovery(out, answer->recovery);
   print_last_save(out, answer);
   print_backups(out, answer->backup);
   print_field(out, "uptime", "%" PRIu64 "d %02u:%02u:%02u", seconds / 86400,
               (unsigned)(seconds / 3600 % 24), (unsigned)(seconds / 60 % 60),
               (unsigned)(seconds % 60));
   print_field(out, "writes", "%s", answer->read_only ? "REFUSED (read-only)" : "accepted");
   print_last_error(out, answer);
   print_hooks(out, answer);
}

/* ---- Shadow runs ---- */

static void print_outcome(FILE *out, const Kvstore__V1__ShadowReport *report)
{
   print_label(out, "shadow run");
   switch (report->outcome) {
   case KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_EQUAL:
      fputs("EQUAL: the plug-in gave back exactly the live data\n", out);
      break;
   case KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_DIFFERENT:
      fputs("DIFFERENT: the plug-in did not give back the live data\n", out);
      break;
   case KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_NOTHING_KEPT:
      fputs("the plug-in keeps nothing, so there is nothing to compare\n", out);
      break;
   default:
      fputs("FAILED: ", out);
      print_plain(out, session_bytes(report->error));
      fputc('\n', out);
      break;
   }
}

static void print_difference(FILE *out, const Kvstore__V1__ShadowReport *report)
{
   static const char *const kinds[] = {
       [KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_UNSPECIFIED] = "",
       [KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_MISSING] = "is missing",
       [KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_EXTRA] = "should not be there",
       [KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_VALUE] =
           "has another value or time of expiry",
       [KVSTORE__V1__SHADOW_REPORT__DIFFERENCE__KIND__KIND_VERSION] = "has another version",
   };
   const Kvstore__V1__ShadowReport__Difference *first = report->first_difference;
   if (!first)
      return;
   print_field(out, "differences", "%" PRIu64 " key%s", report->differences,
               print_plural(report->differences));
   print_label(out, "first");
   if (first->key_size == 0) {
      fputs("the data is the same, but not the sequence\n", out);
      return;
   }
   unsigned kind = (unsigned)first->kind;
   print_text(out, session_bytes(first->key));
   if (first->key_size > first->key.len)
      fprintf(out, "... (%" PRIu64 " bytes)", first->key_size);
   fprintf(out, " %s\n", kind < sizeof kinds / sizeof *kinds ? kinds[kind] : "differs");
}

static void print_state(FILE *out, const char *name, uint64_t keys, uint64_t bytes,
                        uint64_t sequence, ProtobufCBinaryData digest)
{
   print_field(out, name,
               "%" PRIu64 " key%s, %" PRIu64 " byte%s, sequence %" PRIu64 ", digest %.*s", keys,
               print_plural(keys), bytes, print_plural(bytes), sequence, (int)digest.len,
               (const char *)digest.data);
}

int report_shadow(FILE *out, const Kvstore__V1__ShadowReport *report)
{
   print_outcome(out, report);
   print_bytes_field(out, "plugin", session_bytes(report->plugin));
   report_options(out, report->options, report->n_options);
   bool compared = report->outcome == KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_EQUAL ||
                   report->outcome == KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_DIFFERENT;
   if (compared) {
      print_state(out, "live", report->keys, report->bytes, report->version, report->live_digest);
      print_state(out, "given back", report->loaded_keys, report->loaded_bytes,
                  report->loaded_version, report->loaded_digest);
   }
   print_difference(out, report);
   print_field(out, "run",
               "%" PRIu64 " record%s written live; checkpoint %" PRIu64
               " ms, then live for %" PRIu64 " ms, reload %" PRIu64 " ms, comparison %" PRIu64
               " ms",
               report->records, print_plural(report->records), report->checkpoint_ms,
               report->mirrored_ms, report->reload_ms, report->compare_ms);
   if (report->candidate_writes && report->active_writes && report->candidate_writes->calls > 0) {
      print_hooks_head(out);
      print_hook(out, kv_slice_of("on_write, shadow"), report->candidate_writes);
      print_hook(out, kv_slice_of("on_write, active"), report->active_writes);
   }
   bool fine = report->outcome == KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_EQUAL ||
               report->outcome == KVSTORE__V1__SHADOW_REPORT__OUTCOME__OUTCOME_NOTHING_KEPT;
   return fine ? EXIT_DONE : EXIT_DIFFERENT;
}
