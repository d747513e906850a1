#include "bench/load/driver_internal.h"

#include "client/address.h"
#include "client/channel.h"
#include "client/tls_failure.h"
#include "core/support/clock.h"

#include <grpc/support/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 5000

/* ---- Connecting ---- */

grpc_channel *driver_open_channel(const struct driver_target *target)
{
   /* Without features that cost time in each call. */
   const grpc_arg more[] = {
       {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_RETRIES, .value.integer = 0},
       {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_CHANNELZ, .value.integer = 0},
       {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_HTTP2_BDP_PROBE, .value.integer = 0},
       {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_MINIMAL_STACK, .value.integer = 1},
       {.type = GRPC_ARG_INTEGER,
        .key = (char *)GRPC_ARG_ENABLE_DEADLINE_CHECKS,
        .value.integer = 1},
   };
   return channel_create(target->address, target->credentials, NULL, more,
                         sizeof more / sizeof *more);
}

static bool await_ready(grpc_channel *channel, grpc_completion_queue *queue,
                        char failure[CHANNEL_TEXT_SIZE])
{
   gpr_timespec deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                        gpr_time_from_millis(CONNECT_TIMEOUT_MS, GPR_TIMESPAN));
   for (;;) {
      grpc_connectivity_state state = grpc_channel_check_connectivity_state(channel, 1);
      if (state == GRPC_CHANNEL_READY)
         return true;
      if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
         channel_ask_why(channel, queue, failure);
         return false;
      }
      grpc_channel_watch_connectivity_state(channel, state, deadline, queue, NULL);
      if (!grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).success)
         return false;
   }
}

static bool connect_all(struct driver *driver, char failure[CHANNEL_TEXT_SIZE])
{
   grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
   bool ready = true;
   for (unsigned i = 0; ready && i < driver->target.connections; i++) {
      struct call_target *target = &driver->channels[i];
      target->channel = driver_open_channel(&driver->target);
      target->metadata = &driver->token;
      target->metadata_count = credentials_authorization(driver->target.credentials) ? 1 : 0;
      for (size_t method = 0; method < WORKLOAD_METHODS; method++)
         target->methods[method] = grpc_channel_register_call(
             target->channel, driver->target.methods[method], NULL, NULL);
      ready = await_ready(target->channel, queue, failure);
   }
   grpc_completion_queue_shutdown(queue);
   while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
          GRPC_QUEUE_SHUTDOWN)
      ;
   grpc_completion_queue_destroy(queue);
   return ready;
}

static enum kv_code check_token(const struct driver_target *target, struct kv_status *status)
{
   struct address_list list;
   if (address_list_init(&list, target->address, status) != KV_OK)
      return status->code;
   bool may = credentials_may_send_token(target->credentials, list.items[0].host);
   address_list_deinit(&list);
   return may ? KV_OK
              : kv_fail(status, KV_FAILED_PRECONDITION, "%s: " CREDENTIALS_TOKEN_WITHHELD,
                        target->address);
}

struct driver *driver_create(const struct driver_target *target, struct kv_status *status)
{
   if (check_token(target, status) != KV_OK)
      return NULL;
   struct driver *driver = calloc(1, sizeof *driver);
   struct call_target *channels =
       driver ? calloc(target->connections, sizeof *driver->channels) : NULL;
   if (!channels) {
      free(driver);
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
      return NULL;
   }
   channel_begin();
   driver->target = *target;
   driver->channels = channels;
   const char *authorization = credentials_authorization(target->credentials);
   driver->token =
       (grpc_metadata){.key = grpc_slice_from_static_string("authorization"),
                       .value = grpc_slice_from_static_string(authorization ? authorization : "")};
   char failure[CHANNEL_TEXT_SIZE] = "";
   if (connect_all(driver, failure))
      return driver;
   const char *why = tls_failure_explain(failure, target->credentials);
   if (why)
      kv_fail(status, KV_UNAVAILABLE, "cannot connect to %s: %s", target->address, why);
   else
      kv_fail(status, KV_UNAVAILABLE,
              "cannot connect to %s; start kvstore-server there, or give another address with "
              "-a HOST:PORT or KVSTORE_SERVER_ADDR",
              target->address);
   driver_destroy(driver);
   return NULL;
}

void driver_destroy(struct driver *driver)
{
   for (unsigned i = 0; i < driver->target.connections; i++)
      if (driver->channels[i].channel)
         grpc_channel_destroy(driver->channels[i].channel);
   free(driver->channels);
   free(driver);
   grpc_shutdown_blocking();
}

void driver_interrupt(struct driver *driver)
{
   atomic_store(&driver->interrupted, true);
}

/* ---- Counts ---- */

uint64_t driver_errors(const struct driver_counts *counts)
{
   uint64_t sum = 0;
   for (size_t code = 0; code < REPLY_CODES; code++)
      sum += counts->errors[code];
   return sum;
}

void driver_reset_counts(struct driver_counts *counts)
{
   struct latencies *latency = counts->latency;
   latencies_reset(latency);
   *counts = (struct driver_counts){.latency = latency};
}

void driver_result_deinit(struct driver_result *result)
{
   latencies_destroy(result->counts.latency);
   latencies_destroy(result->delays);
}

static void add_counts(struct driver_counts *to, const struct driver_counts *from)
{
   to->calls += from->calls;
   to->operations += from->operations;
   to->missing += from->missing;
   to->conflicts += from->conflicts;
   for (size_t code = 0; code < REPLY_CODES; code++) {
      to->errors[code] += from->errors[code];
      if (!to->error_texts[code][0])
         memcpy(to->error_texts[code], from->error_texts[code], sizeof to->error_texts[code]);
   }
   latencies_add(to->latency, from->latency);
}

/* Moves what the workers have counted to `interval`, and adds it to `total`. */
static void collect(struct run *run, struct driver_counts *interval, struct driver_counts *total)
{
   driver_reset_counts(interval);
   for (unsigned i = 0; i < run->driver->target.threads; i++) {
      struct worker *worker = &run->workers[i];
      pthread_mutex_lock(&worker->lock);
      add_counts(interval, &worker->counts);
      driver_reset_counts(&worker->counts);
      pthread_mutex_unlock(&worker->lock);
   }
   add_counts(total, interval);
}

/* ---- A run ---- */

static bool worker_init(struct worker *worker, struct run *run, unsigned number)
{
   worker->run = run;
   worker->queue = grpc_completion_queue_create_for_next(NULL);
   pthread_mutex_init(&worker->lock, NULL);
   worker->counts.latency = latencies_create();
   worker->workload = workload_create(run->source, number);
   return worker->counts.latency && worker->workload;
}

static bool run_init(struct run *run, struct driver *driver, const struct driver_load *load)
{
   const struct driver_target *target = &driver->target;
   run->driver = driver;
   run->load = load;
   run->call_count = (size_t)target->connections * target->streams;
   pthread_mutex_init(&run->lock, NULL);
   pthread_condattr_t attributes;
   pthread_condattr_init(&attributes);
   pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
   pthread_cond_init(&run->changed, &attributes);
   pthread_condattr_destroy(&attributes);
   run->source = workload_source_create(&load->plan);
   run->workers = calloc(target->threads, sizeof *run->workers);
   run->calls = calloc(run->call_count, sizeof *run->calls);
   if (!run->source || !run->workers || !run->calls)
      return false;
   bool good = true;
   for (unsigned i = 0; i < target->threads; i++)
      good = worker_init(&run->workers[i], run, i) && good;
   run->pacer_workload = workload_create(run->source, target->threads);
   for (size_t i = 0; i < run->call_count; i++) {
      size_t connection = i % target->connections;
      run->calls[i].target = &driver->channels[connection];
      run->calls[i].queue = run->workers[connection % target->threads].queue;
   }
   return good && run->pacer_workload;
}

static void worker_deinit(struct worker *worker)
{
   if (!worker->queue)
      return;
   grpc_completion_queue_shutdown(worker->queue);
   while (
       grpc_completion_queue_next(worker->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
       GRPC_QUEUE_SHUTDOWN)
      ;
   grpc_completion_queue_destroy(worker->queue);
   pthread_mutex_destroy(&worker->lock);
   latencies_destroy(worker->counts.latency);
   workload_destroy(worker->workload);
}

static void run_deinit(struct run *run)
{
   for (unsigned i = 0; run->workers && i < run->driver->target.threads; i++)
      worker_deinit(&run->workers[i]);
   workload_destroy(run->pacer_workload);
   workload_source_destroy(run->source);
   free(run->workers);
   free(run->calls);
   pthread_cond_destroy(&run->changed);
   pthread_mutex_destroy(&run->lock);
}

static double seconds_since(const struct run *run, uint64_t now_ns)
{
   return now_ns > run->start_ns ? (double)(now_ns - run->start_ns) / 1e9 : 0;
}

static void measure(struct run *run, driver_interval_fn *on_interval, void *context,
                    struct driver_counts *interval, struct driver_result *result)
{
   const struct driver_load *load = run->load;
   run->start_ns = driver_now_ns() + load->warm_up_ns;
   run->end_ns = load->duration_ns ? run->start_ns + load->duration_ns : UINT64_MAX;
   result->start_unix_ms = kv_clock_unix_ms() + (int64_t)(load->warm_up_ns / 1000000);
   if (run->watchers)
      watchers_begin(run->watchers, run->start_ns);
   run_begin(run);
   bool ended = false;
   double from = 0;
   for (uint64_t until = run->start_ns + load->interval_ns; !ended; until += load->interval_ns) {
      ended = run_await(run, until);
      result->seconds = seconds_since(run, driver_now_ns());
      collect(run, interval, &result->counts);
      if (on_interval && (interval->calls > 0 || !ended))
         on_interval(context, from, result->seconds, interval);
      from = result->seconds;
   }
   run_finish(run);
   if (run->watchers)
      run_end_watch(run, result);
}

enum kv_code driver_run(struct driver *driver, const struct driver_load *load,
                        driver_interval_fn *on_interval, void *context,
                        struct driver_result *result, struct kv_status *status)
{
   struct run run = {0};
   struct driver_counts interval = {.latency = latencies_create()};
   *result = (struct driver_result){.counts.latency = latencies_create()};
   enum kv_code code = KV_OK;
   if (!run_init(&run, driver, load) || !interval.latency || !result->counts.latency)
      code = kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
   if (code == KV_OK)
      code = run_watch(&run, status);
   if (code == KV_OK)
      measure(&run, on_interval, context, &interval, result);
   run_close_watch(&run);
   run_deinit(&run);
   latencies_destroy(interval.latency);
   if (code != KV_OK)
      driver_result_deinit(result);
   return code;
}
