#include "bench/load/driver_internal.h"

#include <stdio.h>
#include <stdlib.h>

static void acknowledge(void *context, uint64_t version)
{
   delays_acknowledge(context, version, driver_now_ns());
}

static bool open_channels(struct run *run)
{
   const struct driver_target *target = &run->driver->target;
   size_t count = (run->load->watchers + WATCHERS_A_CHANNEL - 1) / WATCHERS_A_CHANNEL;
   run->watch_channels = calloc(count, sizeof(grpc_channel *));
   if (!run->watch_channels)
      return false;
   for (; run->watch_channel_count < count; run->watch_channel_count++)
      run->watch_channels[run->watch_channel_count] = driver_open_channel(target);
   return true;
}

enum kv_code run_watch(struct run *run, struct kv_status *status)
{
   const struct driver *driver = run->driver;
   if (run->load->watchers == 0)
      return KV_OK;
   run->delays = delays_create();
   if (!run->delays || !open_channels(run))
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
   for (size_t i = 0; i < run->call_count; i++) {
      run->calls[i].changed = acknowledge;
      run->calls[i].changed_context = run->delays;
   }
   const struct watchers_plan plan = {
       .count = run->load->watchers,
       .method = driver->target.watch_method,
       .keys = run->load->plan.keys,
       .keys_each = run->load->watch_keys,
       .delays = run->delays,
       .channels = run->watch_channels,
       .token = driver->channels[0].metadata_count > 0 ? &driver->token : NULL,
   };
   run->watchers = watchers_create(&plan, driver->target.timeout_ms, status);
   return run->watchers ? KV_OK : status->code;
}

static double seconds_between(uint64_t from_ns, uint64_t to_ns)
{
   return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e9 : 0;
}

void run_end_watch(struct run *run, struct driver_result *result)
{
   struct kv_status status;
   if (watchers_finish(run->watchers, delays_last(run->delays), run->driver->target.timeout_ms,
                       &status) != KV_OK)
      driver_count_error(&result->counts, (size_t)status.code, 1, status.text);
   uint64_t last_ns;
   result->events = watchers_events(run->watchers, &last_ns);
   result->watch_seconds = seconds_between(run->start_ns, last_ns);
   result->delays = latencies_create();
   if (result->delays)
      latencies_add(result->delays, delays_take(run->delays));
}

void run_close_watch(struct run *run)
{
   watchers_destroy(run->watchers);
   for (size_t i = 0; i < run->watch_channel_count; i++)
      grpc_channel_destroy(run->watch_channels[i]);
   free(run->watch_channels);
   delays_destroy(run->delays);
}
