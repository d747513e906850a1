/*
 * grpc.health.v1: whether the server works and its store accepts writes, by one answer or by a
 * watch.
 *
 * Known are "" (the process serves calls), and "kvstore.v1.KeyValueService" and
 * "kvstore.KeyValueStore" (writes are accepted). All are NOT_SERVING until they are set.
 *
 * Threads: kv_health_set and kv_health_drain from any thread.
 */
#ifndef KV_HEALTH_H
#define KV_HEALTH_H

#include "core/rpc/rpc.h"

#include <stdbool.h>
#include <stddef.h>

struct kv_health;

enum kv_health_service {
   KV_HEALTH_SERVER, /* "" */
   KV_HEALTH_STORE,  /* the services of the data */
   KV_HEALTH_SERVICES,
};

struct kv_health *kv_health_create(struct kv_status *status);
/* All calls must have ended. */
void kv_health_destroy(struct kv_health *health);

void kv_health_set(struct kv_health *health, enum kv_health_service service, bool serving);
/* Both are NOT_SERVING from now on; watchers are sent that, and their calls end. */
void kv_health_drain(struct kv_health *health);

#define KV_HEALTH_METHODS 2
size_t kv_health_methods(struct kv_health *health, struct kv_rpc_method *methods);

#endif
