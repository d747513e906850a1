/* kvstore-bench: reads the options, fills, loads, prints. */
#include "bench/load/output.h"
#include "bench/load/request.h"
#include "core/support/standard_files.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef KVSTORE_VERSION
#error "KVSTORE_VERSION must be the version as a string"
#endif

enum { EXIT_DONE, EXIT_FAILED, EXIT_MISUSE };

/* A fill sends Batch messages of about this size, with at most so many sets in each. */
#define FILL_MESSAGE_SIZE ((size_t)256 * 1024)
#define FILL_BATCH_MAX 1000
#define FILL_STREAMS 2

static struct driver *interruptible;

static void on_signal(int number)
{
   (void)number;
   driver_interrupt(interruptible);
}

/* The first ^C ends the run and prints what there is, the second one the process. */
static void watch_signals(struct driver *driver)
{
   interruptible = driver;
   struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
   sigaction(SIGINT, &action, NULL);
   sigaction(SIGTERM, &action, NULL);
}

static void on_interval(void *context, double from, double to, const struct driver_counts *counts)
{
   FILE *csv = context;
   if (csv)
      output_csv_row(csv, from, to, counts);
   if (isatty(STDERR_FILENO))
      output_progress(stderr, from, to, counts);
}

static int report_failure(const struct kv_status *status)
{
   fprintf(stderr, "error: %s\n", status->text);
   return EXIT_FAILED;
}

/* Sets each key once. Prints only a failure. */
static int fill(const struct options *options, struct driver *driver)
{
   struct driver_load load = {.plan = options->load.plan, .interval_ns = 1000000000};
   struct workload_plan *plan = &load.plan;
   memset(plan->weights, 0, sizeof plan->weights);
   plan->weights[WORKLOAD_SET] = 1;
   plan->distribution = WORKLOAD_SEQUENTIAL;
   plan->limit = plan->keys;
   plan->atomic = false;
   plan->batch = FILL_MESSAGE_SIZE / (plan->value_size_max + REQUEST_KEY_SIZE) + 1;
   if (plan->batch > FILL_BATCH_MAX)
      plan->batch = FILL_BATCH_MAX;
   struct kv_status status;
   struct driver_result result;
   if (isatty(STDERR_FILENO))
      fputs("filling ...\n", stderr);
   if (driver_run(driver, &load, on_interval, NULL, &result, &status) != KV_OK)
      return report_failure(&status);
   bool failed = driver_errors(&result.counts) > 0;
   if (failed || options->load.requests == 0)
      fprintf(stderr, "filled %ju keys in %.2f s\n", (uintmax_t)result.counts.operations,
              result.seconds);
   if (failed)
      output_table(stderr, options, &result);
   driver_result_deinit(&result);
   return failed ? EXIT_FAILED : EXIT_DONE;
}

static double processor_seconds(void)
{
   struct rusage usage;
   getrusage(RUSAGE_SELF, &usage);
   return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
          (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int measure(const struct options *options, struct driver *driver, FILE *csv)
{
   struct kv_status status;
   struct driver_result result;
   double before = processor_seconds();
   if (csv)
      output_csv_head(csv);
   if (driver_run(driver, &options->load, on_interval, csv, &result, &status) != KV_OK)
      return report_failure(&status);
   if (options->json)
      output_json(stdout, options, &result, processor_seconds() - before);
   else
      output_table(stdout, options, &result);
   int code = driver_errors(&result.counts) > 0 ? EXIT_FAILED : EXIT_DONE;
   driver_result_deinit(&result);
   return code;
}

static int run(const struct options *options, FILE *csv)
{
   struct kv_status status;
   struct driver_target target = options->target;
   struct credentials *credentials = credentials_create(&options->credentials, &status);
   target.credentials = credentials;
   struct driver *driver = credentials ? driver_create(&target, &status) : NULL;
   if (!driver) {
      credentials_destroy(credentials);
      return report_failure(&status);
   }
   watch_signals(driver);
   int code = options->fill ? fill(options, driver) : EXIT_DONE;
   bool fill_alone = options->by_requests && options->load.requests == 0;
   if (code == EXIT_DONE && !fill_alone)
      code = measure(options, driver, csv);
   signal(SIGINT, SIG_DFL);
   signal(SIGTERM, SIG_DFL);
   driver_destroy(driver);
   credentials_destroy(credentials);
   return code;
}

static int finish(FILE *file, const char *name)
{
   if (fflush(file) == 0 && !ferror(file))
      return EXIT_DONE;
   fprintf(stderr, "error: cannot write to %s: %s\n", name, strerror(errno));
   return EXIT_FAILED;
}

int main(int argc, char **argv)
{
   if (!kv_standard_files_occupy())
      return EXIT_FAILED;
   struct options options;
   if (!options_read(&options, argc, argv))
      return EXIT_MISUSE;
   int code = EXIT_DONE;
   FILE *csv = NULL;
   if (options.help) {
      options_print_help(stdout);
   } else if (options.version) {
      puts("kvstore-bench " KVSTORE_VERSION);
   } else {
      csv = options.csv ? fopen(options.csv, "we") : NULL;
      if (options.csv && !csv) {
         fprintf(stderr, "error: cannot create %s: %s\n", options.csv, strerror(errno));
         return EXIT_FAILED;
      }
      code = run(&options, csv);
   }
   if (csv && finish(csv, options.csv) != EXIT_DONE)
      code = EXIT_FAILED;
   if (csv)
      fclose(csv);
   return finish(stdout, "standard output") == EXIT_DONE ? code : EXIT_FAILED;
}
