#include "bench/load/output.h"

#include "client/connection.h"
#include "core/support/json.h"

#include <inttypes.h>

/* Of the table and the CSV. */
static const struct {
   const char *name;
   double quantile;
} percentiles[] = {
    {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1},
};

/* Of the JSON's curve. */
static const double curve[] = {0,      0.1,    0.2,    0.3,     0.4,     0.5,   0.6,   0.7,
                               0.8,    0.9,    0.95,   0.98,    0.99,    0.995, 0.998, 0.999,
                               0.9995, 0.9998, 0.9999, 0.99995, 0.99999, 1};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static double us(const struct latencies *latencies, double quantile)
{
   return (double)latencies_quantile(latencies, quantile) / 1000;
}

static double per_second(uint64_t count, double seconds)
{
   return seconds > 0 ? (double)count / seconds : 0;
}

/* ---- The table ---- */

static void print_count(FILE *file, const char *what, uint64_t count, double seconds)
{
   fprintf(file, "%-12s %12" PRIu64 "  %12.1f/s\n", what, count, per_second(count, seconds));
}

static void print_times(FILE *file, const char *what, const struct latencies *latencies)
{
   fprintf(file, "%-12s %12s us\n", what, "");
   fprintf(file, "  %-10s %12.1f\n", "mean", latencies_mean(latencies) / 1000);
   for (size_t i = 0; i < COUNT(percentiles); i++)
      fprintf(file, "  %-10s %12.1f\n", percentiles[i].name,
              us(latencies, percentiles[i].quantile));
}

void output_table(FILE *file, const struct options *options, const struct driver_result *result)
{
   const struct driver_counts *counts = &result->counts;
   fprintf(file, "%u connections x %u streams, %u threads, ", options->target.connections,
           options->target.streams, options->target.threads);
   if (options->load.rate > 0)
      fprintf(file, "%g calls/s", options->load.rate);
   else
      fputs("closed loop", file);
   fprintf(file, ", %.2f s\n", result->seconds);
   print_count(file, "calls", counts->calls, result->seconds);
   print_count(file, "operations", counts->operations, result->seconds);
   fprintf(file, "%-12s %12" PRIu64 "\n", "not found", counts->missing);
   fprintf(file, "%-12s %12" PRIu64 "\n", "conflicts", counts->conflicts);
   fprintf(file, "%-12s %12" PRIu64 "\n", "errors", driver_errors(counts));
   for (size_t code = 0; code < REPLY_CODES; code++)
      if (counts->errors[code])
         fprintf(file, "  %s %" PRIu64 ", the first: %s\n", kv_code_name((enum kv_code)code),
                 counts->errors[code], counts->error_texts[code]);
   print_times(file, "latency", counts->latency);
   if (!result->delays)
      return;
   print_count(file, "events", result->events, result->watch_seconds);
   print_times(file, "delay", result->delays);
}

/* ---- JSON ---- */

static void print_errors(FILE *file, const struct driver_counts *counts)
{
   const char *separator = "";
   fputs("  \"errors\": {", file);
   for (size_t code = 0; code < REPLY_CODES; code++) {
      if (!counts->errors[code])
         continue;
      fprintf(file, "%s\"%s\": {\"count\": %" PRIu64 ", \"first\": ", separator,
              kv_code_name((enum kv_code)code), counts->errors[code]);
      kv_json_print_string(file, counts->error_texts[code]);
      fputc('}', file);
      separator = ", ";
   }
   fputs("},\n", file);
}

static void print_quantiles(FILE *file, const struct latencies *latencies)
{
   fprintf(file, "{\"mean\": %.1f", latencies_mean(latencies) / 1000);
   for (size_t i = 0; i < COUNT(percentiles); i++)
      fprintf(file, ", \"%s\": %.1f", percentiles[i].name, us(latencies, percentiles[i].quantile));
   fputc('}', file);
}

static void print_latency(FILE *file, const struct latencies *latencies)
{
   fputs("  \"latency_us\": ", file);
   print_quantiles(file, latencies);
   fputs(",\n  \"latency_curve\": [", file);
   for (size_t i = 0; i < COUNT(curve); i++)
      fprintf(file, "%s[%g, %.1f]", i ? ", " : "", 100 * curve[i], us(latencies, curve[i]));
   fputs("]\n", file);
}

static void print_watch(FILE *file, const struct options *options,
                        const struct driver_result *result)
{
   fprintf(file,
           "  \"watchers\": %u, \"events\": %" PRIu64 ", \"events_per_second\": %.1f, "
           "\"delays\": %" PRIu64 ",\n  \"delay_us\": ",
           options->load.watchers, result->events,
           per_second(result->events, result->watch_seconds), latencies_count(result->delays));
   print_quantiles(file, result->delays);
   fputs(",\n", file);
}

void output_json(FILE *file, const struct options *options, const struct driver_result *result,
                 double generator_seconds)
{
   const struct driver_counts *counts = &result->counts;
   fputs("{\n  \"address\": ", file);
   kv_json_print_string(file, options->target.address);
   fprintf(file,
           ",\n  \"connections\": %u, \"streams\": %u, \"threads\": %u, \"rate\": %g,\n"
           "  \"start_unix_ms\": %" PRId64 ", \"seconds\": %.6f, \"generator_cpu_seconds\": %.3f,\n"
           "  \"calls\": %" PRIu64 ", \"operations\": %" PRIu64 ", \"not_found\": %" PRIu64 ",\n"
           "  \"conflicts\": %" PRIu64 ",\n"
           "  \"calls_per_second\": %.1f, \"operations_per_second\": %.1f,\n",
           options->target.connections, options->target.streams, options->target.threads,
           options->load.rate, result->start_unix_ms, result->seconds, generator_seconds,
           counts->calls, counts->operations, counts->missing, counts->conflicts,
           per_second(counts->calls, result->seconds),
           per_second(counts->operations, result->seconds));
   print_errors(file, counts);
   if (result->delays)
      print_watch(file, options, result);
   print_latency(file, counts->latency);
   fputs("}\n", file);
}

/* ---- Intervals ---- */

void output_csv_head(FILE *file)
{
   fputs("from_s,to_s,calls,operations,not_found,conflicts,errors", file);
   for (size_t i = 0; i < COUNT(percentiles); i++)
      fprintf(file, ",%s_us", percentiles[i].name);
   fputc('\n', file);
}

void output_csv_row(FILE *file, double from, double to, const struct driver_counts *counts)
{
   fprintf(file, "%.6f,%.6f,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, from, to,
           counts->calls, counts->operations, counts->missing, counts->conflicts,
           driver_errors(counts));
   for (size_t i = 0; i < COUNT(percentiles); i++)
      fprintf(file, ",%.1f", us(counts->latency, percentiles[i].quantile));
   fputc('\n', file);
}

void output_progress(FILE *file, double from, double to, const struct driver_counts *counts)
{
   fprintf(file,
           "%8.1f s  %10.0f operations/s  p50 %8.1f us  p99 %8.1f us  max %8.1f us  %" PRIu64
           " errors\n",
           to, per_second(counts->operations, to - from), us(counts->latency, 0.5),
           us(counts->latency, 0.99), us(counts->latency, 1), driver_errors(counts));
}
