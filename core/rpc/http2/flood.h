/*
 * Budgets against clients that send much and ask for nothing: what they send costs the server work
 * for each frame, and flow control does not hold it back.
 *
 * Each kind of frame has a budget: so many at once, which time refills. Useful traffic earns more,
 * so that a busy client meets no limit however fast it is: a call that it makes, a frame that it
 * gets, a call that is answered to its end. A client whose budget is spent is ended with
 * ENHANCE_YOUR_CALM. For pings it is gRPC's rule (gRFC A8): of those that come too soon after one
 * another, the third ends the connection, unless the server has sent HEADERS or DATA in between.
 *
 * Threads: a flood belongs to its connection, and so to one worker. Nothing here asks the clock:
 * `now_ms` is monotonic, and may be as old as the turn.
 */
#ifndef KV_RPC_HTTP2_FLOOD_H
#define KV_RPC_HTTP2_FLOOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kv_flood_kind {
   KV_FLOOD_SETTINGS,        /* each is acknowledged, and may change every stream's window */
   KV_FLOOD_PRIORITY,        /* orders what the server may order as it likes */
   KV_FLOOD_WINDOW_UPDATE,   /* says little, in the smallest of frames */
   KV_FLOOD_EMPTY_DATA,      /* DATA with no byte but padding that does not end the request */
   KV_FLOOD_UNKNOWN,         /* of a type that the server does not know */
   KV_FLOOD_LATE,            /* for a call that is over, or an ACK of what was not sent */
   KV_FLOOD_RESET_BY_SERVER, /* of a stream, for a fault that is the client's (MadeYouReset); not
                                one that is refused before it is a call */
   KV_FLOOD_RESET_BY_CLIENT, /* rapid reset: calls are begun and cancelled */
   KV_FLOOD_KINDS,
};

/* For embedding; begins as zeros. */
struct kv_flood {
   int32_t used[KV_FLOOD_KINDS]; /* below 0: what was earned and not yet used */
   uint8_t ping_strikes;
   uint64_t refilled_ms;  /* up to then time has refilled the budgets */
   uint64_t ping_from_ms; /* a ping before that is a strike */
};

/* The client has sent one more of this kind, or caused it. False: end the connection. */
bool kv_flood_admit(struct kv_flood *flood, enum kv_flood_kind kind, uint64_t now_ms);

/* The client has sent a PING that is no ACK. False: end the connection. */
bool kv_flood_ping(struct kv_flood *flood, uint64_t now_ms);
/* The debug data of that GOAWAY; gRPC's clients know it, and send pings more seldom. */
#define KV_FLOOD_TOO_MANY_PINGS "too_many_pings"

/* ---- What earns ---- */

/* The client has begun a call. */
void kv_flood_opened(struct kv_flood *flood);
/* HEADERS or DATA has been written to the client. */
void kv_flood_sent(struct kv_flood *flood);
/* A call's last frame has been written to the client. */
void kv_flood_answered(struct kv_flood *flood);

/* ---- Why a connection is ended, with the limit ---- */

#define KV_FLOOD_REASON_SIZE 160
/* For the log and the debug data of GOAWAY. Returns `text`. */
const char *kv_flood_reason(enum kv_flood_kind kind, char text[KV_FLOOD_REASON_SIZE]);
/* For the log. Returns `text`. */
const char *kv_flood_ping_reason(char text[KV_FLOOD_REASON_SIZE]);

#endif
