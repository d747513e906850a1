/* The tables of the page: what there is to know now, in words and units for people. */
#include "core/telemetry/page.h"

#include "core/metrics/calls.h"
#include "core/support/clock.h"
#include "core/support/log.h"
#include "core/support/log_events.h"
#include "core/support/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NS 1e-9
#define PREFIXES 10

/* ---- Cells ---- */

static void begin(FILE *out, const char *title)
{
   fprintf(out, "<section><h2>%s</h2><table>\n", title);
}

static void end(FILE *out)
{
   fputs("</table></section>\n", out);
}

static void row(FILE *out, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void row(FILE *out, const char *name, const char *format, ...)
{
   char text[KV_STATUS_TEXT_SIZE];
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(text, sizeof text, format, arguments);
   va_end(arguments);
   fputs("<tr><th scope=\"row\">", out);
   kv_telemetry_escape(out, name);
   fputs("</th><td>", out);
   kv_telemetry_escape(out, text);
   fputs("</td></tr>\n", out);
}

#define UNIT_TEXT_SIZE 32

static const char *size_text(uint64_t bytes, char text[UNIT_TEXT_SIZE])
{
   static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
   double value = (double)bytes;
   size_t unit = 0;
   for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++)
      value /= 1024;
   snprintf(text, UNIT_TEXT_SIZE, unit > 0 && value < 100 ? "%.1f %s" : "%.0f %s", value,
            units[unit]);
   return text;
}

static const char *age_text(double seconds, char text[UNIT_TEXT_SIZE])
{
   unsigned long long s = seconds > 0 ? (unsigned long long)seconds : 0;
   if (s < 60)
      snprintf(text, UNIT_TEXT_SIZE, "%llu s", s);
   else if (s < 3600)
      snprintf(text, UNIT_TEXT_SIZE, "%llu min %llu s", s / 60, s % 60);
   else if (s < 86400)
      snprintf(text, UNIT_TEXT_SIZE, "%llu h %llu min", s / 3600, s / 60 % 60);
   else
      snprintf(text, UNIT_TEXT_SIZE, "%llu d %llu h", s / 86400, s / 3600 % 24);
   return text;
}

static const char *time_text(double seconds, char text[UNIT_TEXT_SIZE])
{
   if (seconds < 1e-3)
      snprintf(text, UNIT_TEXT_SIZE, "%.0f us", seconds * 1e6);
   else if (seconds < 1)
      snprintf(text, UNIT_TEXT_SIZE, "%.3g ms", seconds * 1e3);
   else
      snprintf(text, UNIT_TEXT_SIZE, "%.3g s", seconds);
   return text;
}

/* ---- Tables ---- */

static void put_server(FILE *out, const struct kv_telemetry *telemetry)
{
   const struct kv_snapshot *snapshot = &telemetry->snapshot;
   const struct kv_rpc_statistics *wire = &snapshot->wire;
   char text[UNIT_TEXT_SIZE], limit[UNIT_TEXT_SIZE];
   begin(out, "Server");
   row(out, "Runs for", "%s", age_text((double)snapshot->uptime_ms / 1000, text));
   row(out, "Version, engine", "%s, %s", telemetry->config.version, telemetry->config.wire);
   if (wire->knows_connections)
      row(out, "Connections", "%" PRIu64 " open, %" PRIu64 " since the start",
          wire->open_connections, wire->accepted_connections);
   else
      row(out, "Connections", "%" PRIu64 " since the start", wire->accepted_connections);
   row(out, "Refused", "%" PRIu64 " connections, %" PRIu64 " calls", wire->refused_connections,
       wire->refused_calls);
   row(out, "Memory", "%s", size_text(snapshot->process.resident_bytes, text));
   row(out, "Held by calls", "%s of %s", size_text(wire->memory_held, text),
       size_text(wire->memory_max, limit));
   if (snapshot->has_tls) {
      row(out, "TLS handshakes", "%" PRIu64 ", %" PRIu64 " failed", snapshot->tls.handshakes,
          snapshot->tls.failed_handshakes);
      row(out, "Certificate ends", "in %s",
          age_text((double)snapshot->tls.not_after_s - (double)snapshot->now_ms / 1000, text));
   }
   end(out);
}

static void put_data(FILE *out, const struct kv_telemetry *telemetry)
{
   const struct kv_snapshot *snapshot = &telemetry->snapshot;
   const struct kv_backup_schedule_state *backups = &snapshot->backups;
   char text[UNIT_TEXT_SIZE], limit[UNIT_TEXT_SIZE];
   begin(out, "Data");
   row(out, "Keys", "%" PRIu64, snapshot->keys);
   if (telemetry->config.memory_max > 0)
      row(out, "Keys and values", "%s of %s", size_text(snapshot->bytes, text),
          size_text(telemetry->config.memory_max, limit));
   else
      row(out, "Keys and values", "%s", size_text(snapshot->bytes, text));
   row(out, "Sequence", "%" PRIu64, snapshot->sequence);
   row(out, "Writes that wait", "%" PRIu64, snapshot->commit.queued);
   row(out, "Changes refused", "%" PRIu64, snapshot->refused_writes);
   if (snapshot->save_ms > 0)
      row(out, "Last checkpoint", "%s ago", age_text(kv_snapshot_checkpoint_age_s(snapshot), text));
   else
      row(out, "Last checkpoint", "none since the start");
   if (!snapshot->has_backups)
      row(out, "Backups", "none are made (setting backup-dir)");
   else if (backups->newest.count == 0)
      row(out, "Last backup", "none yet");
   else
      row(out, "Last backup", "%s ago, %s%s", age_text(kv_snapshot_backup_age_s(snapshot), text),
          size_text(backups->newest.bytes, limit),
          backups->last_error[0] ? "; the latest attempt FAILED" : "");
   end(out);
}

static void put_mode(FILE *out, const struct kv_snapshot *snapshot)
{
   begin(out, "Mode");
   row(out, "Plug-in", "%s", snapshot->mode[0] ? snapshot->mode : "none yet");
   row(out, "Promise", "%s", snapshot->promise);
   row(out, "Generation", "%" PRIu64, snapshot->generation);
   for (size_t i = 0; i < snapshot->option_count; i++)
      row(out, snapshot->options[i].name, "%s", snapshot->options[i].text);
   for (size_t i = 0; i < snapshot->overdue_count; i++)
      row(out, "OVERDUE", "%s", snapshot->overdue[i]);
   if (snapshot->last_error[0])
      row(out, "Last failure", "%s", snapshot->last_error);
   end(out);
}

static void put_call(FILE *out, const char *path, const struct kv_call_figures *figures)
{
   char median[UNIT_TEXT_SIZE], tail[UNIT_TEXT_SIZE];
   uint64_t count = kv_call_figures_count(figures);
   uint64_t half_ns = kv_histogram_at_rank(KV_CALL_SHAPE, figures->buckets, (count + 1) / 2);
   uint64_t tail_ns = kv_histogram_at_rank(KV_CALL_SHAPE, figures->buckets, count - count / 100);
   fputs("<tr><th scope=\"row\">", out);
   kv_telemetry_escape(out, path);
   fprintf(out,
           "</th><td class=\"number\">%" PRIu64 "</td><td class=\"number\">%" PRIu64
           "</td><td class=\"number\">%s</td><td class=\"number\">%s</td></tr>\n",
           count, count - figures->codes[KV_OK], time_text((double)half_ns * NS, median),
           time_text((double)tail_ns * NS, tail));
}

static void put_calls(FILE *out, const struct kv_telemetry *telemetry)
{
   fputs("<section class=\"wide\"><h2>Calls since the start</h2><div class=\"scroll\"><table>"
         "<thead><tr><th scope=\"col\">method</th><th scope=\"col\" class=\"number\">calls</th>"
         "<th scope=\"col\" class=\"number\">failed</th><th scope=\"col\" class=\"number\">median"
         "</th><th scope=\"col\" class=\"number\">99 %</th></tr></thead>\n",
         out);
   for (size_t i = 0; i <= telemetry->config.method_count; i++) {
      struct kv_call_figures figures;
      kv_call_metrics_read(telemetry->calls, i, &figures);
      if (kv_call_figures_count(&figures) > 0)
         put_call(out, telemetry->paths[i], &figures);
   }
   fputs("</table></div></section>\n", out);
}

/* Bytes that are no printable ASCII as \xNN. */
static void put_key(FILE *out, const struct kv_hot_prefix *prefix)
{
   for (size_t i = 0; i < prefix->size; i++) {
      char text[2] = {(char)prefix->prefix[i], '\0'};
      if (prefix->prefix[i] > ' ' && prefix->prefix[i] < 0x7f)
         kv_telemetry_escape(out, text);
      else
         fprintf(out, "\\x%02x", prefix->prefix[i]);
   }
}

static void put_prefixes(FILE *out, const struct kv_telemetry *telemetry)
{
   struct kv_hot_prefix *prefixes;
   uint64_t samples;
   if (!telemetry->shows_prefixes)
      return;
   size_t count =
       kv_hot_list(telemetry->config.hot, kv_clock_monotonic_ms(), PREFIXES, &prefixes, &samples);
   begin(out, "Key prefixes of the last minute");
   for (size_t i = 0; i < count && samples > 0; i++) {
      fputs("<tr><th scope=\"row\">", out);
      put_key(out, &prefixes[i]);
      fprintf(out, "</th><td class=\"number\">%.0f %%</td></tr>\n",
              100.0 * (double)prefixes[i].samples / (double)samples);
   }
   if (count == 0)
      row(out, "none", "one call in %u is looked at", KV_HOT_INTERVAL);
   end(out);
   free(prefixes);
}

static void put_event(FILE *out, const struct kv_telemetry *telemetry,
                      const struct kv_log_event *event)
{
   char when[UNIT_TEXT_SIZE], text[KV_STATUS_TEXT_SIZE];
   time_t seconds = (time_t)(event->unix_ms / 1000);
   struct tm utc;
   if (!gmtime_r(&seconds, &utc) || strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
      return;
   kv_text_hide_paths(event->text, telemetry->config.private_paths, KV_RPC_PRIVATE_PATH_SHOWN, text,
                      sizeof text);
   fprintf(out, "<tr><td><time>%s</time></td><td%s>", when,
           event->level <= KV_LOG_WARNING ? " class=\"bad\"" : "");
   kv_telemetry_escape(out, text);
   fputs("</td></tr>\n", out);
}

static void put_events(FILE *out, const struct kv_telemetry *telemetry)
{
   struct kv_log_event events[KV_LOG_EVENTS_MAX];
   size_t count = kv_log_events_read(kv_log_events(), events);
   fputs("<section class=\"wide\"><h2>Recent events</h2><table>\n", out);
   for (size_t i = 0; i < count; i++)
      put_event(out, telemetry, &events[i]);
   end(out);
}

void kv_telemetry_tables(FILE *out, const struct kv_telemetry *telemetry)
{
   put_server(out, telemetry);
   put_data(out, telemetry);
   put_mode(out, &telemetry->snapshot);
   put_prefixes(out, telemetry);
   put_calls(out, telemetry);
   put_events(out, telemetry);
}
