/* ListSlowCalls and ListHotPrefixes: what has been observed of calls. */
#include "core/service/admin/admin.h"
#include "core/support/clock.h"

#include <stdlib.h>

#define HOT_PREFIXES_DEFAULT 20

void kv_service_call_event(const struct kv_event *event, Kvstore__V1__CallEvent *message)
{
   kvstore__v1__call_event__init(message);
   message->end_unix_ms = event->end_unix_ms;
   message->method = kv_message_text(event->method);
   message->code = (int32_t)event->code;
   message->duration_us = event->duration_us;
   message->peer = kv_message_text(event->peer);
   message->user = kv_message_text(event->user);
   message->key = kv_message_bytes(kv_event_key(event));
   message->key_size = event->key_size;
   message->request_bytes = event->request_bytes;
}

/* ---- Slow calls ---- */

/* How many there are to tell of. */
static size_t count_wanted(struct kv_slow_log *log, uint32_t limit)
{
   uint64_t total;
   kv_slow_log_read(log, NULL, 0, &total);
   const size_t max = limit > 0 && limit < KV_SLOW_LOG_SIZE ? limit : KV_SLOW_LOG_SIZE;
   return total < max ? (size_t)total : max;
}

void kv_service_list_slow_calls(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   struct kv_slow_log *log = service->config.observers->slow_log;
   const Kvstore__V1__ListSlowCallsRequest *wanted = kv_service_request(
       service, call, &kvstore__v1__list_slow_calls_request__descriptor, request);
   if (!wanted)
      return;
   size_t count = count_wanted(log, wanted->limit);
   struct kv_event *events = kv_message_alloc(call, count * sizeof *events);
   if (!events)
      return;
   struct kv_builder builder = {.arena = kv_call_arena(call)};
   Kvstore__V1__ListSlowCallsResponse response = KVSTORE__V1__LIST_SLOW_CALLS_RESPONSE__INIT;
   response.threshold_ms = kv_slow_log_threshold_ms(log);
   response.n_calls = kv_slow_log_read(log, events, count, &response.count);
   response.calls = kv_build_list(&builder, response.n_calls, &kvstore__v1__slow_call__descriptor);
   Kvstore__V1__CallEvent **messages =
       kv_build_list(&builder, response.n_calls, &kvstore__v1__call_event__descriptor);
   for (size_t i = 0; !builder.exhausted && i < response.n_calls; i++) {
      kv_service_call_event(&events[i], messages[i]);
      response.calls[i]->call = messages[i];
   }
   kv_builder_reply(&builder, call, &response.base);
}

/* ---- Hot prefixes ---- */

static void fill_in(struct kv_builder *builder, const struct kv_hot_prefix *prefixes, size_t count,
                    Kvstore__V1__ListHotPrefixesResponse *response)
{
   response->n_prefixes = count;
   response->prefixes = kv_build_list(builder, count, &kvstore__v1__hot_prefix__descriptor);
   for (size_t i = 0; !builder->exhausted && i < count; i++) {
      Kvstore__V1__HotPrefix *prefix = response->prefixes[i];
      prefix->prefix = kv_message_bytes(kv_slice(prefixes[i].prefix, prefixes[i].size));
      prefix->calls = prefixes[i].samples * KV_HOT_INTERVAL;
      prefix->share = (double)prefixes[i].samples / (double)response->sampled_calls;
   }
}

void kv_service_list_hot_prefixes(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__ListHotPrefixesRequest *wanted = kv_service_request(
       service, call, &kvstore__v1__list_hot_prefixes_request__descriptor, request);
   if (!wanted)
      return;
   struct kv_builder builder = {.arena = kv_call_arena(call)};
   Kvstore__V1__ListHotPrefixesResponse response = KVSTORE__V1__LIST_HOT_PREFIXES_RESPONSE__INIT;
   struct kv_hot_prefix *prefixes;
   size_t count = kv_hot_list(service->config.observers->hot, kv_clock_monotonic_ms(),
                              wanted->limit > 0 ? wanted->limit : HOT_PREFIXES_DEFAULT, &prefixes,
                              &response.sampled_calls);
   if (!prefixes) {
      kv_message_out_of_memory(call);
      return;
   }
   fill_in(&builder, prefixes, count, &response);
   kv_builder_reply(&builder, call, &response.base);
   free(prefixes);
}
