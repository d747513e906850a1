#include "core/rpc/http2/flood.h"

#include "core/rpc/limits.h"
#include "core/support/invariant.h"

#include <stdio.h>
#include <string.h>

/* As gRPC's servers have it, for pings that the network has pushed together. Those that measure the
 * bandwidth follow DATA that the server has sent. */
#define PING_STRIKES_MAX 2

/* Earned and kept for later: two WINDOW_UPDATE for each DATA frame of 16 KiB in a window of 1 GiB,
 * which a client may send when it has read all. */
#define EARNED_MAX (128 * 1024)

/* How many of a kind a client may send. What it may send at once is at least twice what time
 * refills, so that who keeps to the rate meets no limit at the end of a second. */
static const struct budget {
   const char *what;
   int32_t at_once;
   int32_t a_second;
   int32_t a_call;    /* that the client makes */
   int32_t a_frame;   /* HEADERS or DATA, that it gets */
   int32_t an_answer; /* that it gets to the end */
} budgets[KV_FLOOD_KINDS] = {
    /* Clients send one, and one each time that they have found a better window, which doubles; the
     * C core looks for one at most ten times a second. */
    [KV_FLOOD_SETTINGS] = {"SETTINGS frames", .at_once = 200, .a_second = 20},
    /* Firefox and nghttp send six at first, browsers some for each page's stream; Envoy allows 100
     * for each stream. */
    [KV_FLOOD_PRIORITY] = {"PRIORITY frames", .at_once = 1000, .a_second = 100, .a_call = 100},
    /* Most clients send one for half a window, careless ones two for each DATA frame, the C core
     * some as it begins a call; Envoy allows 2 and 10. */
    [KV_FLOOD_WINDOW_UPDATE] = {"WINDOW_UPDATE frames", .at_once = 2000, .a_second = 1000,
                                .a_call = 4, .a_frame = 10},
    /* Some client libraries flush by one before they end the request. */
    [KV_FLOOD_EMPTY_DATA] = {"empty DATA frames", .at_once = 100, .a_second = 10, .a_call = 4},
    /* Browsers send PRIORITY_UPDATE for streams, and types that mean nothing, to see that they are
     * ignored. */
    [KV_FLOOD_UNKNOWN] = {"frames of unknown types", .at_once = 1000, .a_second = 100,
                          .a_call = 10},
    /* What was in flight to the server as a call failed: at most a stream's window of 64 KiB, in
     * frames of 1 KiB and more. */
    [KV_FLOOD_LATE] = {"frames for calls that are over", .at_once = 1000, .a_second = 200,
                       .a_call = 64},
    /* A client without faults causes none. As many as Netty allows in 30 s. */
    [KV_FLOOD_RESET_BY_SERVER] = {"faults on streams", .at_once = 200, .a_second = 10},
    /* All calls of a connection (1024) may pass their deadline at the same moment, and do so again.
     * Who cancels no more calls than it lets be answered meets no limit. */
    [KV_FLOOD_RESET_BY_CLIENT] = {"cancelled calls", .at_once = 2048, .a_second = 100,
                                  .an_answer = 1},
};

static void refill(struct kv_flood *flood, uint64_t now_ms)
{
   const uint64_t seconds = now_ms > flood->refilled_ms ? (now_ms - flood->refilled_ms) / 1000 : 0;
   if (seconds == 0)
      return;
   flood->refilled_ms += seconds * 1000;
   for (size_t kind = 0; kind < KV_FLOOD_KINDS; kind++) {
      const int32_t used = flood->used[kind], a_second = budgets[kind].a_second;
      if (used > 0)
         flood->used[kind] =
             (uint64_t)(used / a_second) < seconds ? 0 : used - (int32_t)seconds * a_second;
   }
}

bool kv_flood_admit(struct kv_flood *flood, enum kv_flood_kind kind, uint64_t now_ms)
{
   KV_INVARIANT(kind < KV_FLOOD_KINDS);
   refill(flood, now_ms);
   if (flood->used[kind] >= budgets[kind].at_once)
      return false;
   flood->used[kind]++;
   return true;
}

bool kv_flood_ping(struct kv_flood *flood, uint64_t now_ms)
{
   const bool is_early = now_ms < flood->ping_from_ms;
   flood->ping_from_ms = now_ms + KV_RPC_PING_INTERVAL_MIN_MS;
   if (is_early && flood->ping_strikes == PING_STRIKES_MAX)
      return false;
   flood->ping_strikes += is_early;
   return true;
}

static void earn(struct kv_flood *flood, enum kv_flood_kind kind, int32_t count)
{
   const int32_t used = flood->used[kind] - count;
   flood->used[kind] = used < -EARNED_MAX ? -EARNED_MAX : used;
}

void kv_flood_opened(struct kv_flood *flood)
{
   for (enum kv_flood_kind kind = 0; kind < KV_FLOOD_KINDS; kind++)
      if (budgets[kind].a_call > 0)
         earn(flood, kind, budgets[kind].a_call);
}

void kv_flood_sent(struct kv_flood *flood)
{
   flood->ping_strikes = 0;
   flood->ping_from_ms = 0;
   for (enum kv_flood_kind kind = 0; kind < KV_FLOOD_KINDS; kind++)
      if (budgets[kind].a_frame > 0)
         earn(flood, kind, budgets[kind].a_frame);
}

void kv_flood_answered(struct kv_flood *flood)
{
   for (enum kv_flood_kind kind = 0; kind < KV_FLOOD_KINDS; kind++)
      if (budgets[kind].an_answer > 0)
         earn(flood, kind, budgets[kind].an_answer);
}

static void append_more(char text[KV_FLOOD_REASON_SIZE], int32_t count, const char *why)
{
   const size_t used = strlen(text);
   if (count > 0)
      snprintf(text + used, KV_FLOOD_REASON_SIZE - used, ", %d more for each %s", (int)count, why);
}

const char *kv_flood_reason(enum kv_flood_kind kind, char text[KV_FLOOD_REASON_SIZE])
{
   KV_INVARIANT(kind < KV_FLOOD_KINDS);
   const struct budget *budget = &budgets[kind];
   snprintf(text, KV_FLOOD_REASON_SIZE, "too many %s: the limit is %d at once, %d a second",
            budget->what, (int)budget->at_once, (int)budget->a_second);
   append_more(text, budget->a_call, "call");
   append_more(text, budget->a_frame, "HEADERS or DATA frame received");
   append_more(text, budget->an_answer, "call answered");
   return text;
}

const char *kv_flood_ping_reason(char text[KV_FLOOD_REASON_SIZE])
{
   snprintf(text, KV_FLOOD_REASON_SIZE,
            "too many PING frames: more than %d came within %d ms of the one before, with no reply "
            "in between",
            PING_STRIKES_MAX, KV_RPC_PING_INTERVAL_MIN_MS);
   return text;
}
