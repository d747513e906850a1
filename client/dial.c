#include "client/dial.h"

#include "client/channel.h"
#include "client/tls_failure.h"
#include "core/support/clock.h"

#include <grpc/support/time.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long an address has before the next one is tried, too; RFC 8305, section 5. */
#define ATTEMPT_DELAY_MS 250
/* How often a wait looks for ^C, and for what comes without an event. */
#define CHECK_MS 50
/* Of a name with more addresses only these are tried. */
#define ADDRESSES_MAX 32

/* A lookup of a host name in the background. On the heap, since a query that cannot be cancelled
 * outlives the dialing. */
struct lookup {
   struct gaicb query;
   struct addrinfo hints;
   enum { RUNNING, TAKEN } state;
   char host[NI_MAXHOST], port[NI_MAXSERV];
};

struct attempt {
   size_t address;        /* index in the list */
   char target[400];      /* what gRPC calls it */
   grpc_channel *channel; /* NULL: not begun, or failed */
   bool begun;
   bool withheld; /* not to be begun, as the token must not go there */
};

struct dialing {
   const struct dial *what;
   struct lookup **lookups; /* one for each address, NULL if none is needed */
   struct attempt *attempts;
   size_t count, capacity;
   int64_t start_ms, last_ms; /* of the last attempt that was begun; 0: the next may begin now */
   const char *unknown;       /* a host without an address, and why */
   const char *reason;
   bool withheld;                   /* an attempt, because of the token */
   char failure[CHANNEL_TEXT_SIZE]; /* of the last attempt that has failed */
};

/* ---- Addresses ---- */

static struct attempt *add_attempt(struct dialing *dialing, size_t address)
{
   if (dialing->count == dialing->capacity) {
      size_t capacity = dialing->capacity ? 2 * dialing->capacity : 8;
      struct attempt *grown = reallocarray(dialing->attempts, capacity, sizeof *grown);
      if (!grown)
         return NULL;
      dialing->attempts = grown;
      dialing->capacity = capacity;
   }
   struct attempt *attempt = &dialing->attempts[dialing->count++];
   *attempt = (struct attempt){.address = address};
   return attempt;
}

/* gRPC takes a path as part of a URI. */
static void write_path(char *out, size_t capacity, const char *path)
{
   size_t size = (size_t)snprintf(out, capacity, "unix:");
   for (; *path && size + 4 < capacity; path++) {
      unsigned char c = (unsigned char)*path;
      bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   strchr("/._-~", c);
      size += (size_t)snprintf(out + size, capacity - size, plain ? "%c" : "%%%02X", c);
   }
}

static void add_socket_address(struct dialing *dialing, size_t address, const struct addrinfo *info)
{
   char host[128], port[8]; /* a number's */
   if (getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof host, port, sizeof port,
                   NI_NUMERICHOST | NI_NUMERICSERV) != 0)
      return;
   struct attempt *attempt = add_attempt(dialing, address);
   if (!attempt)
      return;
   char *zone = strchr(host, '%');
   if (zone)
      *zone++ = '\0';
   attempt->withheld = !credentials_may_send_token(dialing->what->credentials, host);
   if (info->ai_family == AF_INET)
      snprintf(attempt->target, sizeof attempt->target, "ipv4:%.50s:%s", host, port);
   else
      snprintf(attempt->target, sizeof attempt->target, "ipv6:[%.50s%s%.32s]:%s", host,
               zone ? "%25" : "", zone ? zone : "", port);
}

/* In the order of the resolver, but alternating between the two families, so that a family without
 * a route costs only every second attempt. */
static void add_alternating(struct dialing *dialing, size_t address, const struct addrinfo *list)
{
   const struct addrinfo *turn[2] = {list, list};
   int first = list->ai_family;
   for (size_t added = 0; added < ADDRESSES_MAX && (turn[0] || turn[1]); added++) {
      const struct addrinfo **at = &turn[added % 2];
      bool other = added % 2 != 0;
      while (*at && ((*at)->ai_family == first) == other)
         *at = (*at)->ai_next;
      if (*at) {
         add_socket_address(dialing, address, *at);
         *at = (*at)->ai_next;
      }
   }
}

/* True when the host is a number, which needs no lookup. */
static bool add_number(struct dialing *dialing, size_t index)
{
   const struct address *address = &dialing->what->addresses->items[index];
   const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                  .ai_socktype = SOCK_STREAM,
                                  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
   struct addrinfo *info;
   if (getaddrinfo(address->host, address->port, &hints, &info) != 0)
      return false;
   add_socket_address(dialing, index, info);
   freeaddrinfo(info);
   return true;
}

static struct lookup *begin_lookup(const struct address *address)
{
   struct lookup *lookup = calloc(1, sizeof *lookup);
   if (!lookup)
      return NULL;
   lookup->hints = (struct addrinfo){
       .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
   snprintf(lookup->host, sizeof lookup->host, "%s", address->host);
   snprintf(lookup->port, sizeof lookup->port, "%s", address->port);
   lookup->query = (struct gaicb){
       .ar_name = lookup->host, .ar_service = lookup->port, .ar_request = &lookup->hints};
   struct gaicb *list[] = {&lookup->query};
   if (getaddrinfo_a(GAI_NOWAIT, list, 1, NULL) == 0)
      return lookup;
   free(lookup);
   return NULL;
}

/* Adds attempts for the lookups that have ended. */
static void take_lookups(struct dialing *dialing)
{
   const struct address_list *list = dialing->what->addresses;
   for (size_t i = 0; i < list->count; i++) {
      struct lookup *lookup = dialing->lookups[i];
      int code = lookup && lookup->state == RUNNING ? gai_error(&lookup->query) : EAI_INPROGRESS;
      if (code == EAI_INPROGRESS)
         continue;
      lookup->state = TAKEN;
      if (code == 0) {
         add_alternating(dialing, i, lookup->query.ar_result);
      } else {
         dialing->unknown = list->items[i].host;
         dialing->reason = gai_strerror(code);
      }
   }
}

static bool is_running(const struct dialing *dialing, size_t address)
{
   const struct lookup *lookup = dialing->lookups[address];
   return lookup && lookup->state == RUNNING;
}

static void end_lookups(struct dialing *dialing)
{
   for (size_t i = 0; i < dialing->what->addresses->count; i++) {
      struct lookup *lookup = dialing->lookups[i];
      /* One that still runs keeps its memory, at most to the end of the program. */
      if (!lookup || (lookup->state == RUNNING && gai_cancel(&lookup->query) == EAI_NOTCANCELED))
         continue;
      if (lookup->query.ar_result)
         freeaddrinfo(lookup->query.ar_result);
      free(lookup);
   }
}

/* ---- Attempts ---- */

/* The next in the order of the list. An address waits a moment for the names before it. */
static struct attempt *next_attempt(struct dialing *dialing, int64_t now_ms)
{
   struct attempt *next = NULL;
   for (size_t i = 0; i < dialing->count; i++)
      if (!dialing->attempts[i].begun && (!next || dialing->attempts[i].address < next->address))
         next = &dialing->attempts[i];
   if (!next || now_ms - dialing->start_ms >= ATTEMPT_DELAY_MS)
      return next;
   for (size_t i = 0; i < next->address; i++)
      if (is_running(dialing, i))
         return NULL;
   return next;
}

static void begin_attempt(struct dialing *dialing, struct attempt *attempt, int64_t now_ms)
{
   const struct address *address = &dialing->what->addresses->items[attempt->address];
   const grpc_arg authority = {.type = GRPC_ARG_STRING,
                               .key = (char *)GRPC_ARG_DEFAULT_AUTHORITY,
                               .value.string = (char *)address->text};
   attempt->begun = true;
   if (attempt->withheld) {
      dialing->withheld = true;
      return;
   }
   attempt->channel = channel_create(attempt->target, dialing->what->credentials, address->host,
                                     &authority, address->host ? 1 : 0);
   dialing->last_ms = now_ms;
}

/* Drops those that have failed. Returns the one that answers. */
static struct attempt *poll_attempts(struct dialing *dialing)
{
   for (size_t i = 0; i < dialing->count; i++) {
      struct attempt *attempt = &dialing->attempts[i];
      if (!attempt->channel)
         continue;
      grpc_connectivity_state state = grpc_channel_check_connectivity_state(attempt->channel, 1);
      if (state == GRPC_CHANNEL_READY)
         return attempt;
      if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
         channel_ask_why(attempt->channel, dialing->what->queue, dialing->failure);
         grpc_channel_destroy(attempt->channel);
         attempt->channel = NULL;
         dialing->last_ms = 0;
      }
   }
   return NULL;
}

/* Lets the channels work until one of them has changed, or for `ms`. */
static size_t watch_attempts(struct dialing *dialing, int64_t ms)
{
   grpc_completion_queue *queue = dialing->what->queue;
   gpr_timespec until =
       gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
   size_t watched = 0;
   for (size_t i = 0; i < dialing->count; i++) {
      grpc_channel *channel = dialing->attempts[i].channel;
      if (!channel)
         continue;
      grpc_connectivity_state state = grpc_channel_check_connectivity_state(channel, 1);
      grpc_channel_watch_connectivity_state(channel, state, until, queue, NULL);
      watched++;
   }
   for (size_t i = 0; i < watched; i++)
      grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
   return watched;
}

static void watch_lookups(struct dialing *dialing, int64_t ms)
{
   for (size_t i = 0; i < dialing->what->addresses->count; i++) {
      if (!is_running(dialing, i))
         continue;
      const struct gaicb *const list[] = {&dialing->lookups[i]->query};
      gai_suspend(list, 1, &(struct timespec){.tv_nsec = ms * 1000000});
      return;
   }
}

static bool is_exhausted(const struct dialing *dialing)
{
   for (size_t i = 0; i < dialing->what->addresses->count; i++)
      if (is_running(dialing, i))
         return false;
   for (size_t i = 0; i < dialing->count; i++)
      if (!dialing->attempts[i].begun || dialing->attempts[i].channel)
         return false;
   return true;
}

/* ---- The race ---- */

static enum kv_code fail(const struct dialing *dialing, bool in_time, struct kv_status *status)
{
   static const char remedy[] = "start kvstore-server there, or name another address with -a "
                                "HOST:PORT or KVSTORE_SERVER_ADDR";
   const struct address_list *list = dialing->what->addresses;
   char names[256] = "";
   for (size_t i = 0, size = 0; i < list->count && size < sizeof names; i++)
      size += (size_t)snprintf(names + size, sizeof names - size, "%s%s", i ? ", " : "",
                               list->items[i].text);
   if (!in_time)
      return kv_fail(status, KV_UNAVAILABLE,
                     "cannot connect to %s: no answer within %.3g s; %s, or wait longer with "
                     "--timeout SECONDS",
                     names, (double)dialing->what->timeout_ms / 1000, remedy);
   if (dialing->unknown)
      return kv_fail(status, KV_UNAVAILABLE,
                     "cannot connect to %s: the host %.100s has no known address (%s); %s", names,
                     dialing->unknown, dialing->reason, remedy);
   if (dialing->withheld)
      return kv_fail(status, KV_UNAVAILABLE, "cannot connect to %s: " CREDENTIALS_TOKEN_WITHHELD,
                     names);
   const char *why = tls_failure_explain(dialing->failure, dialing->what->credentials);
   if (why)
      return kv_fail(status, KV_UNAVAILABLE, "cannot connect to %s: %s", names, why);
   return kv_fail(status, KV_UNAVAILABLE, "cannot connect to %s; %s", names, remedy);
}

static enum kv_code race(struct dialing *dialing, struct attempt **winner, struct kv_status *status)
{
   const struct dial *what = dialing->what;
   dialing->start_ms = (int64_t)kv_clock_monotonic_ms();
   for (;;) {
      take_lookups(dialing);
      if ((*winner = poll_attempts(dialing)) != NULL)
         return KV_OK;
      if (what->is_interrupted(what->context))
         return kv_fail(status, KV_CANCELLED, "interrupted while connecting");
      int64_t now_ms = (int64_t)kv_clock_monotonic_ms();
      if (now_ms - dialing->start_ms >= what->timeout_ms)
         return fail(dialing, false, status);
      struct attempt *next = next_attempt(dialing, now_ms);
      if (next && (dialing->last_ms == 0 || now_ms - dialing->last_ms >= ATTEMPT_DELAY_MS))
         begin_attempt(dialing, next, now_ms);
      if (is_exhausted(dialing))
         return fail(dialing, true, status);
      int64_t left_ms = dialing->start_ms + what->timeout_ms - now_ms;
      int64_t pause_ms = left_ms < CHECK_MS ? left_ms : CHECK_MS;
      if (watch_attempts(dialing, pause_ms) == 0)
         watch_lookups(dialing, pause_ms);
   }
}

/* Adds an attempt or a lookup for each address. */
static bool begin(struct dialing *dialing)
{
   const struct address_list *list = dialing->what->addresses;
   dialing->lookups = calloc(list->count, sizeof(struct lookup *));
   for (size_t i = 0; dialing->lookups && i < list->count; i++) {
      const struct address *address = &list->items[i];
      if (address->path) {
         struct attempt *attempt = add_attempt(dialing, i);
         if (!attempt)
            return false;
         write_path(attempt->target, sizeof attempt->target, address->path);
      } else if (!add_number(dialing, i) && !(dialing->lookups[i] = begin_lookup(address))) {
         return false;
      }
   }
   return dialing->lookups != NULL;
}

enum kv_code dial(const struct dial *what, grpc_channel **channel, const struct address **which,
                  struct kv_status *status)
{
   struct dialing dialing = {.what = what};
   struct attempt *winner = NULL;
   enum kv_code code = begin(&dialing) ? race(&dialing, &winner, status)
                                       : kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
   if (winner) {
      *channel = winner->channel;
      *which = &what->addresses->items[winner->address];
      winner->channel = NULL;
   }
   for (size_t i = 0; i < dialing.count; i++)
      if (dialing.attempts[i].channel)
         grpc_channel_destroy(dialing.attempts[i].channel);
   if (dialing.lookups)
      end_lookups(&dialing);
   free(dialing.lookups);
   free(dialing.attempts);
   return code;
}
