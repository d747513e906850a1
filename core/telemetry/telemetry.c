#include "core/telemetry/telemetry.h"

#include "core/commit/targets.h"
#include "core/http/http.h"
#include "core/metrics/calls.h"
#include "core/support/clock.h"
#include "core/telemetry/page.h"
#include "core/telemetry/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_METHOD "unknown"

/* ---- Pages ---- */

static void say(struct kv_http_answer *answer, const char *text)
{
   answer->body = strdup(text);
   answer->size = answer->body ? strlen(answer->body) : 0;
}

static void make_metrics(void *context, struct kv_http_answer *answer)
{
   struct kv_telemetry *telemetry = context;
   kv_snapshot_take(telemetry);
   answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
   answer->body = kv_telemetry_metrics(telemetry, &answer->size);
}

static void make_status(void *context, struct kv_http_answer *answer)
{
   struct kv_telemetry *telemetry = context;
   kv_snapshot_take(telemetry);
   answer->content_type = "application/json";
   answer->body = kv_telemetry_status(telemetry, &answer->size);
}

static void take_for_people(struct kv_telemetry *telemetry, struct kv_http_answer *answer)
{
   kv_snapshot_take(telemetry);
   telemetry->shows_prefixes = telemetry->config.hot && answer->is_local;
   answer->content_type = "text/html; charset=utf-8";
}

static void make_page(void *context, struct kv_http_answer *answer)
{
   struct kv_telemetry *telemetry = context;
   take_for_people(telemetry, answer);
   answer->content_policy = telemetry->policy;
   answer->body = kv_telemetry_page(telemetry, &answer->size, telemetry->policy);
}

static void make_tables(void *context, struct kv_http_answer *answer)
{
   struct kv_telemetry *telemetry = context;
   take_for_people(telemetry, answer);
   answer->body = kv_telemetry_changing(telemetry, &answer->size);
}

static void no_state(void *context, const struct kv_control_state *state)
{
   (void)context, (void)state;
}

/* Does not answer while the control plane is locked for good. */
static void make_health(void *context, struct kv_http_answer *answer)
{
   const struct kv_telemetry *telemetry = context;
   kv_control_inspect(telemetry->config.control, no_state, NULL);
   say(answer, "ok\n");
}

static void say_loading(const struct kv_telemetry *telemetry, struct kv_http_answer *answer)
{
   char text[80];
   int percent = kv_load_report_percent(kv_control_load_report(telemetry->config.control));
   snprintf(text, sizeof text, percent < 0 ? "loading\n" : "loading: %d %%\n", percent);
   answer->status = 503;
   say(answer, text);
}

/* A store that takes no writes can still be read: whoever takes it out of use loses that, too. */
static void make_readiness(void *context, struct kv_http_answer *answer)
{
   struct kv_telemetry *telemetry = context;
   switch ((enum kv_telemetry_stage)atomic_load(&telemetry->stage)) {
   case KV_TELEMETRY_LOADING:
      say_loading(telemetry, answer);
      break;
   case KV_TELEMETRY_SERVING:
      say(answer, kv_commit_read_only(telemetry->config.commit, NULL)
                      ? "ready, read-only: writes are refused\n"
                      : "ready\n");
      break;
   case KV_TELEMETRY_STOPPING:
      answer->status = 503;
      say(answer, "stopping\n");
      break;
   }
}

static const struct kv_http_page pages[] = {
    {"/", make_page},
    {"/tables", make_tables},
    {"/metrics", make_metrics},
    {"/status.json", make_status},
    {"/healthz", make_health},
    {"/readyz", make_readiness},
    {NULL, NULL},
};

/* ---- Calls ---- */

void kv_telemetry_answered(void *context, const struct kv_rpc_answer *answer)
{
   const struct kv_telemetry *telemetry = context;
   kv_call_metrics_count(telemetry->calls, answer->thread, answer->method_index,
                         (unsigned)answer->code, answer->elapsed_ns);
}

/* ---- Its life ---- */

static bool copy_paths(struct kv_telemetry *telemetry)
{
   size_t count = telemetry->config.method_count;
   telemetry->paths = calloc(count + 1, sizeof *telemetry->paths);
   if (!telemetry->paths)
      return false;
   for (size_t i = 0; i <= count; i++) {
      const char *path = i < count ? telemetry->config.methods[i].path + 1 : UNKNOWN_METHOD;
      telemetry->paths[i] = strdup(path);
      if (!telemetry->paths[i])
         return false;
   }
   return true;
}

struct kv_telemetry *kv_telemetry_create(const struct kv_telemetry_config *config,
                                         struct kv_status *status)
{
   struct kv_telemetry *telemetry = calloc(1, sizeof *telemetry);
   if (telemetry) {
      telemetry->config = *config;
      telemetry->started_ms = kv_clock_monotonic_ms();
      telemetry->calls = kv_call_metrics_create(config->method_count + 1, config->workers);
      telemetry->reader = kv_reader_create(config->store);
      if (telemetry->calls && telemetry->reader && copy_paths(telemetry)) {
         telemetry->config.methods = NULL;
         return telemetry;
      }
      kv_telemetry_destroy(telemetry);
   }
   kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the metrics");
   return NULL;
}

enum kv_code kv_telemetry_serve(struct kv_telemetry *telemetry, struct kv_rpc *rpc,
                                const char *address, int *port, struct kv_status *status)
{
   telemetry->rpc = rpc;
   telemetry->http = kv_http_create(pages, telemetry, &telemetry->config.admission, status);
   if (!telemetry->http)
      return status->code;
   enum kv_code code = kv_http_listen(telemetry->http, address, port, status);
   if (code == KV_OK)
      code = kv_http_start(telemetry->http, status);
   if (code != KV_OK)
      kv_telemetry_stop(telemetry);
   return code;
}

void kv_telemetry_set_loaded(struct kv_telemetry *telemetry)
{
   atomic_store(&telemetry->stage, KV_TELEMETRY_SERVING);
}

void kv_telemetry_set_stopping(struct kv_telemetry *telemetry)
{
   atomic_store(&telemetry->stage, KV_TELEMETRY_STOPPING);
}

void kv_telemetry_stop(struct kv_telemetry *telemetry)
{
   if (telemetry->http)
      kv_http_destroy(telemetry->http);
   telemetry->http = NULL;
}

void kv_telemetry_destroy(struct kv_telemetry *telemetry)
{
   kv_telemetry_stop(telemetry);
   for (size_t i = 0; telemetry->paths && i <= telemetry->config.method_count; i++)
      free(telemetry->paths[i]);
   free(telemetry->paths);
   if (telemetry->reader)
      kv_reader_destroy(telemetry->reader);
   if (telemetry->calls)
      kv_call_metrics_destroy(telemetry->calls);
   free(telemetry);
}
