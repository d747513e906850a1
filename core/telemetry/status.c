/*
 * /status.json: all that a page about the server needs, without history: who shows how something
 * went asks again and takes differences. Times are in seconds unless a name says otherwise; counts
 * and buckets are since the start. Members may be added.
 */
#include "core/telemetry/snapshot.h"

#include "core/metrics/calls.h"
#include "core/support/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NS 1e-9

/* ---- Members ---- */

static void text(FILE *out, const char *name, const char *value)
{
   fprintf(out, "\"%s\":", name);
   kv_json_print_string(out, value);
}

static void number(FILE *out, const char *name, uint64_t value)
{
   fprintf(out, "\"%s\":%" PRIu64, name, value);
}

static void real(FILE *out, const char *name, double value)
{
   fprintf(out, "\"%s\":%.9g", name, value);
}

static void boolean(FILE *out, const char *name, bool value)
{
   fprintf(out, "\"%s\":%s", name, value ? "true" : "false");
}

/* As [[end, count], ...], ascending, those with a count alone; `unit` is what 1 of an end is. */
static void buckets(FILE *out, struct kv_histogram_shape shape, const uint64_t *counts, double unit)
{
   const char *comma = "";
   fputs("\"buckets\":[", out);
   for (size_t i = 0; i < shape.size; i++) {
      if (counts[i] == 0)
         continue;
      double end = (double)kv_histogram_bucket_end(shape, i) + 1;
      fprintf(out, "%s[%.9g,%" PRIu64 "]", comma, end * unit, counts[i]);
      comma = ",";
   }
   fputc(']', out);
}

/* ---- Parts ---- */

static void put_server(FILE *out, const struct kv_telemetry *telemetry)
{
   static const char *const stages[] = {"loading", "serving", "stopping"};
   const struct kv_snapshot *snapshot = &telemetry->snapshot;
   text(out, "version", telemetry->config.version);
   fputc(',', out);
   text(out, "wire", telemetry->config.wire);
   fprintf(out, ",\"unix_ms\":%" PRId64 ",", snapshot->now_ms);
   real(out, "uptime", (double)snapshot->uptime_ms / 1000);
   fputc(',', out);
   text(out, "stage", stages[snapshot->stage]);
   fprintf(out, ",\"loaded_percent\":%d,", snapshot->loaded_percent);
   boolean(out, "read_only", snapshot->read_only);
}

static void put_mode(FILE *out, const struct kv_snapshot *snapshot)
{
   fputs(",\"mode\":{", out);
   text(out, "name", snapshot->mode);
   fputc(',', out);
   text(out, "promise", snapshot->promise);
   fputc(',', out);
   number(out, "generation", snapshot->generation);
   fputs(",\"options\":{", out);
   for (size_t i = 0; i < snapshot->option_count; i++) {
      fputs(i > 0 ? "," : "", out);
      text(out, snapshot->options[i].name, snapshot->options[i].text);
   }
   fputs("}}", out);
}

static void put_store(FILE *out, const struct kv_telemetry *telemetry)
{
   const struct kv_snapshot *snapshot = &telemetry->snapshot;
   const struct kv_rpc_statistics *wire = &snapshot->wire;
   fputs(",\"store\":{", out);
   number(out, "keys", snapshot->keys);
   fputc(',', out);
   number(out, "bytes", snapshot->bytes);
   fputc(',', out);
   number(out, "limit_bytes", telemetry->config.memory_max);
   fputc(',', out);
   number(out, "sequence", snapshot->sequence);
   fputs("},\"memory\":{", out);
   number(out, "resident_bytes", snapshot->process.resident_bytes);
   fputc(',', out);
   number(out, "wire_bytes", wire->memory_held);
   fputc(',', out);
   number(out, "wire_limit_bytes", wire->memory_max);
   fputs("},", out);
   real(out, "cpu", snapshot->process.cpu_s);
}

static void put_connections(FILE *out, const struct kv_rpc_statistics *wire)
{
   fputs(",\"connections\":{", out);
   if (wire->knows_connections) {
      number(out, "open", wire->open_connections);
      fputc(',', out);
      number(out, "ended", wire->ended_connections);
      fputc(',', out);
      number(out, "resets", wire->resets);
      fputc(',', out);
   }
   number(out, "accepted", wire->accepted_connections);
   fputc(',', out);
   number(out, "refused", wire->refused_connections);
   fputc(',', out);
   number(out, "refused_calls", wire->refused_calls);
   fputc('}', out);
}

static void put_codes(FILE *out, const struct kv_call_figures *figures)
{
   const char *comma = "";
   fputs("\"codes\":{", out);
   for (unsigned i = 0; i < KV_CALL_CODES; i++) {
      if (figures->codes[i] == 0)
         continue;
      fputs(comma, out);
      number(out, kv_code_name((enum kv_code)i), figures->codes[i]);
      comma = ",";
   }
   fputc('}', out);
}

/* Of methods that have been called. */
static void put_calls(FILE *out, const struct kv_telemetry *telemetry)
{
   const char *comma = "";
   fputs(",\"calls\":[", out);
   for (size_t i = 0; i <= telemetry->config.method_count; i++) {
      struct kv_call_figures figures;
      kv_call_metrics_read(telemetry->calls, i, &figures);
      if (kv_call_figures_count(&figures) == 0)
         continue;
      fprintf(out, "%s{", comma);
      text(out, "method", telemetry->paths[i]);
      fputc(',', out);
      put_codes(out, &figures);
      fputc(',', out);
      real(out, "total", (double)figures.total_ns * NS);
      fputc(',', out);
      buckets(out, KV_CALL_SHAPE, figures.buckets, NS);
      fputc('}', out);
      comma = ",";
   }
   fputc(']', out);
}

static void put_commit(FILE *out, const struct kv_commit_statistics *commit)
{
   fputs(",\"commit\":{", out);
   number(out, "failures", commit->failed_batches);
   fputc(',', out);
   number(out, "changes", commit->changes);
   fputc(',', out);
   number(out, "queue", commit->queued);
   fputc(',', out);
   buckets(out, KV_BATCH_SHAPE, commit->buckets, 1);
   fputc('}', out);
}

static void put_hooks(FILE *out, const struct kv_snapshot *snapshot)
{
   const struct kv_histogram_shape shape = {KV_HOOK_PART_BITS, KV_HOOK_BUCKETS};
   fputs(",\"hooks\":[", out);
   for (int i = 0; i < KV_HOOK_KINDS; i++) {
      const struct kv_hook_figures *figures = &snapshot->hooks[i].figures;
      fputs(i > 0 ? ",{" : "{", out);
      text(out, "name", kv_hook_name((enum kv_hook)i));
      fputc(',', out);
      number(out, "calls", figures->calls);
      fputc(',', out);
      number(out, "errors", figures->errors);
      fputc(',', out);
      real(out, "total", (double)figures->total_ns * NS);
      fputc(',', out);
      real(out, "max", (double)figures->max_ns * NS);
      fputc(',', out);
      real(out, "running", (double)snapshot->hooks[i].running_ns * NS);
      fputc(',', out);
      buckets(out, shape, figures->buckets, NS);
      fputc('}', out);
   }
   fputs("],\"sync\":{", out);
   number(out, "known", snapshot->syncs.known);
   fputc(',', out);
   real(out, "lag", (double)snapshot->syncs.lag_ns * NS);
   fputc(',', out);
   buckets(out, shape, snapshot->syncs.syncs.buckets, NS);
   fputs("},\"overdue\":[", out);
   for (size_t i = 0; i < snapshot->overdue_count; i++) {
      fputs(i > 0 ? "," : "", out);
      kv_json_print_string(out, snapshot->overdue[i]);
   }
   fputc(']', out);
}

static void put_safety(FILE *out, const struct kv_snapshot *snapshot)
{
   fputs(",\"checkpoint\":{", out);
   real(out, "age", kv_snapshot_checkpoint_age_s(snapshot));
   fputc(',', out);
   number(out, "sequence", snapshot->save_sequence);
   fputs("},\"last_error\":", out);
   if (snapshot->last_error[0]) {
      fputc('{', out);
      text(out, "text", snapshot->last_error);
      fprintf(out, ",\"unix_ms\":%" PRId64 ",", snapshot->last_error_ms);
      number(out, "count", snapshot->last_error_count);
      fputc('}', out);
   } else {
      fputs("null", out);
   }
   fputc(',', out);
   number(out, "refused_changes", snapshot->refused_writes);
}

static void put_backups(FILE *out, const struct kv_snapshot *snapshot)
{
   const struct kv_backup_schedule_state *backups = &snapshot->backups;
   fputs(",\"backup\":{", out);
   real(out, "age", kv_snapshot_backup_age_s(snapshot));
   fputc(',', out);
   number(out, "interval", backups->interval_s);
   fputc(',', out);
   text(out, "file", backups->newest.name);
   fputc(',', out);
   number(out, "bytes", backups->newest.bytes);
   fputc(',', out);
   number(out, "files", backups->newest.count);
   fputc(',', out);
   boolean(out, "failing", backups->last_error[0] != '\0');
   fputc('}', out);
}

static void put_tls(FILE *out, const struct kv_tls_statistics *tls)
{
   fputs(",\"tls\":{", out);
   number(out, "handshakes", tls->handshakes);
   fputc(',', out);
   number(out, "failed_handshakes", tls->failed_handshakes);
   fprintf(out, ",\"not_after_unix_s\":%" PRId64 "}", tls->not_after_s);
}

char *kv_telemetry_status(const struct kv_telemetry *telemetry, size_t *size)
{
   const struct kv_snapshot *snapshot = &telemetry->snapshot;
   char *page = NULL;
   FILE *out = open_memstream(&page, size);
   if (!out)
      return NULL;
   fputc('{', out);
   put_server(out, telemetry);
   put_mode(out, snapshot);
   put_store(out, telemetry);
   put_connections(out, &snapshot->wire);
   put_calls(out, telemetry);
   put_commit(out, &snapshot->commit);
   put_hooks(out, snapshot);
   put_safety(out, snapshot);
   if (snapshot->has_backups)
      put_backups(out, snapshot);
   if (snapshot->has_tls)
      put_tls(out, &snapshot->tls);
   fputs("}\n", out);
   bool whole = ferror(out) == 0;
   if (fclose(out) == 0 && whole)
      return page;
   free(page);
   return NULL;
}
