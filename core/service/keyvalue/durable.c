/* WaitDurable: answered when everything up to a version is as durable as asked. */
#include "core/service/keyvalue/durable.h"

#include "core/service/keyvalue/keyvalue.h"
#include "core/service/keyvalue/operations.h"
#include "core/support/clock.h"

#include <inttypes.h>

#define LOOK_MS 20
/* A mode that tells of its syncs does them within a second (fsync=everysec) and what the disk
 * takes. Where a write waits for much longer they have failed. */
#define PATIENCE_NS ((uint64_t)5000 * 1000 * 1000)

/* Lives in its call's arena. */
struct kv_durable_wait {
   struct kv_call *call;
   enum kv_durability durability;
   uint64_t version;
   bool saved; /* it waits for the save that has been posted */
   LIST_ENTRY(kv_durable_wait) others;
};

/* ---- How durable what is ---- */

enum verdict {
   REACHED,
   TO_COME,  /* the mode will sync it */
   TO_SYNC,  /* the mode syncs it when it is told to */
   TO_SAVE,  /* only a checkpoint makes it so */
   NO_OFFER, /* nothing does */
};

static enum verdict judge(const struct kv_control_durability *durability,
                          const struct kv_durable_wait *wait)
{
   if (wait->durability == KV_DURABILITY_MEMORY)
      return REACHED;
   if (durability->promise == KVS_VOLATILE)
      return NO_OFFER;
   if (wait->durability == KV_DURABILITY_WRITTEN && durability->promise == KVS_DURABLE)
      return REACHED;
   if (durability->synced >= wait->version)
      return REACHED;
   if (durability->lag_ns > 0)
      return durability->lag_ns < PATIENCE_NS ? TO_COME : TO_SAVE;
   return durability->promise == KVS_DURABLE ? TO_SYNC : TO_SAVE;
}

/* ---- Answers ---- */

static void reply(const struct kv_durable_wait *wait)
{
   Kvstore__V1__WaitDurableResponse response = KVSTORE__V1__WAIT_DURABLE_RESPONSE__INIT;
   response.version = wait->version;
   kv_message_reply(wait->call, &response.base);
}

static void refuse_offer(struct kv_call *call)
{
   struct kv_status status;
   kv_fail_reason(&status, KV_FAILED_PRECONDITION, KV_REASON_DURABILITY_NOT_OFFERED,
                  "durability: the active mode keeps nothing on disk; switch to another one, for "
                  "example with: kvstore-cli configure hybrid");
   kv_message_fail(call, &status);
}

static void refuse_stopping(struct kv_call *call)
{
   struct kv_status status;
   kv_fail_reason(&status, KV_UNAVAILABLE, "STOPPING", "the server is stopping; try again");
   kv_message_fail(call, &status);
}

/* ---- The thread; with the lock held ---- */

/* Answers the call if it need not wait further. Else says whether a save is needed. */
static bool look_at(struct kv_durable_waits *waits, struct kv_durable_wait *wait,
                    const struct kv_control_durability *durability)
{
   const enum verdict verdict = judge(durability, wait);
   const bool cancelled = kv_call_is_cancelled(wait->call);
   if (!waits->draining && !cancelled && verdict != REACHED && verdict != NO_OFFER)
      return verdict != TO_COME;
   LIST_REMOVE(wait, others);
   if (verdict == REACHED)
      reply(wait);
   else if (cancelled)
      kv_call_fail(wait->call, KV_CANCELLED, "the call has been cancelled");
   else if (waits->draining)
      refuse_stopping(wait->call);
   else
      refuse_offer(wait->call);
   return false;
}

/* Returns whether a save is to be posted. While a call waits there is an active instance. */
static bool look(struct kv_durable_waits *waits)
{
   struct kv_control_durability durability;
   struct kv_durable_wait *next;
   bool to_save = false;
   if (LIST_EMPTY(&waits->waits))
      return false;
   kv_control_read_durability(waits->control, &durability);
   for (struct kv_durable_wait *wait = LIST_FIRST(&waits->waits); wait; wait = next) {
      next = LIST_NEXT(wait, others);
      if (look_at(waits, wait, &durability) && !waits->saving)
         to_save = wait->saved = true;
   }
   return to_save;
}

static void *run(void *argument)
{
   struct kv_durable_waits *waits = argument;
   pthread_mutex_lock(&waits->lock);
   while (!waits->stopping) {
      if (LIST_EMPTY(&waits->waits))
         pthread_cond_wait(&waits->changed, &waits->lock);
      else
         kv_clock_wait(&waits->changed, &waits->lock, kv_clock_monotonic_ms() + LOOK_MS);
      if (!look(waits))
         continue;
      waits->saving = true;
      pthread_mutex_unlock(&waits->lock);
      kv_control_post(waits->control, &waits->save); /* may refuse it at once */
      pthread_mutex_lock(&waits->lock);
   }
   pthread_mutex_unlock(&waits->lock);
   return NULL;
}

/* ---- The save ---- */

static struct kv_durable_waits *waits_of(const struct kv_control_task *task)
{
   return (struct kv_durable_waits *)((char *)task - offsetof(struct kv_durable_waits, save));
}

/* It has ended: those that failed with it are answered, the others by the thread. */
static void end_save(struct kv_control_task *task, const struct kv_status *failure)
{
   struct kv_durable_waits *waits = waits_of(task);
   struct kv_durable_wait *next;
   pthread_mutex_lock(&waits->lock);
   for (struct kv_durable_wait *wait = LIST_FIRST(&waits->waits); wait; wait = next) {
      next = LIST_NEXT(wait, others);
      if (failure && wait->saved) {
         LIST_REMOVE(wait, others);
         kv_message_fail(wait->call, failure);
      } else {
         wait->saved = false;
      }
   }
   waits->saving = false;
   pthread_cond_signal(&waits->changed);
   pthread_mutex_unlock(&waits->lock);
}

static void save(struct kv_control_task *task)
{
   struct kv_status status;
   uint64_t sequence;
   enum kv_code code = kv_control_save(waits_of(task)->control, &sequence, &status);
   end_save(task, code == KV_OK ? NULL : &status);
}

/* Whether nobody waits for it any more. */
static bool is_cancelled(const struct kv_control_task *task)
{
   struct kv_durable_waits *waits = waits_of(task);
   const struct kv_durable_wait *wait;
   bool cancelled = true;
   pthread_mutex_lock(&waits->lock);
   LIST_FOREACH (wait, &waits->waits, others)
      if (wait->saved && !kv_call_is_cancelled(wait->call))
         cancelled = false;
   pthread_mutex_unlock(&waits->lock);
   return cancelled;
}

/* ---- All of them ---- */

void kv_durable_waits_init(struct kv_durable_waits *waits, struct kv_control *control)
{
   *waits = (struct kv_durable_waits){
       .control = control, .save = {.run = save, .refuse = end_save, .is_cancelled = is_cancelled}};
   pthread_mutex_init(&waits->lock, NULL);
   kv_clock_init_condition(&waits->changed);
   LIST_INIT(&waits->waits);
}

void kv_durable_waits_drain(struct kv_durable_waits *waits)
{
   pthread_mutex_lock(&waits->lock);
   waits->draining = true;
   pthread_cond_signal(&waits->changed);
   pthread_mutex_unlock(&waits->lock);
}

void kv_durable_waits_deinit(struct kv_durable_waits *waits)
{
   pthread_mutex_lock(&waits->lock);
   waits->stopping = true;
   pthread_cond_signal(&waits->changed);
   pthread_mutex_unlock(&waits->lock);
   if (waits->started)
      pthread_join(waits->thread, NULL);
   pthread_mutex_destroy(&waits->lock);
   pthread_cond_destroy(&waits->changed);
}

/* With the lock held. */
static enum kv_code start(struct kv_durable_waits *waits, struct kv_status *status)
{
   if (waits->draining)
      return kv_fail_reason(status, KV_UNAVAILABLE, "STOPPING",
                            "the server is stopping; try again");
   int error = waits->started ? 0 : pthread_create(&waits->thread, NULL, run, waits);
   if (error != 0)
      return kv_fail_errno(status, error, "cannot start the thread that waits for syncs");
   waits->started = true;
   return KV_OK;
}

/* ---- A call ---- */

static void synced(struct kv_submission *submission, const struct kv_status *status)
{
   const struct kv_write *write = (struct kv_write *)submission;
   const struct kv_durable_wait *wait = *kv_call_state(write->call);
   if (status)
      kv_message_fail(write->call, status);
   else if (submission->reached < wait->durability)
      refuse_offer(write->call); /* since a switch */
   else
      reply(wait);
}

/* A submission of nothing, which the pipeline has synced with all that was before. */
static void sync_now(struct kv_service *service, struct kv_call *call,
                     const struct kv_durable_wait *wanted)
{
   struct kv_durable_wait *wait = kv_message_alloc(call, sizeof *wait);
   if (!wait)
      return;
   *wait = *wanted;
   *kv_call_state(call) = wait;
   kv_service_submit(service, call,
                     &(struct kv_submission){.durability = wait->durability,
                                             .arena = kv_call_arena(call),
                                             .done = synced});
}

static void begin(struct kv_durable_waits *waits, struct kv_call *call,
                  const struct kv_durable_wait *wanted)
{
   struct kv_status status;
   struct kv_durable_wait *wait = kv_message_alloc(call, sizeof *wait);
   if (!wait)
      return;
   *wait = *wanted;
   kv_call_watch(call);
   pthread_mutex_lock(&waits->lock);
   enum kv_code code = start(waits, &status);
   if (code == KV_OK) {
      LIST_INSERT_HEAD(&waits->waits, wait, others);
      pthread_cond_signal(&waits->changed);
   }
   pthread_mutex_unlock(&waits->lock);
   if (code != KV_OK)
      kv_message_fail(call, &status);
}

/* A crash before the start has taken that change, if there ever was one. */
static bool is_lost(const struct kv_load_result *start, uint64_t version)
{
   return version > start->sequence && version < start->first && version != start->known;
}

/* Fills in what is waited for. */
static enum kv_code resolve(struct kv_service *service, struct kv_call *call,
                            const Kvstore__V1__WaitDurableRequest *request,
                            struct kv_durable_wait *wait, struct kv_status *status)
{
   struct kv_reader *reader = kv_service_reader(service, call);
   const uint64_t current = kv_version_sequence(kv_reader_pin(reader));
   kv_reader_unpin(reader);
   *wait = (struct kv_durable_wait){.call = call,
                                    .version = request->version > 0 ? request->version : current};
   if (request->version > current)
      return kv_fail_reason(status, KV_OUT_OF_RANGE, "VERSION_NOT_REACHED",
                            "version: %" PRIu64 " given, and the last change has version %" PRIu64
                            "; wait for one that a write was answered with",
                            request->version, current);
   const struct kv_load_result start =
       kv_load_report_result(kv_control_load_report(service->config.control));
   if (is_lost(&start, wait->version))
      return kv_fail_reason(status, KV_OUT_OF_RANGE, "VERSION_NOT_REACHED",
                            "version: %" PRIu64 " given, which was lost before the last start: the "
                            "data was kept up to version %" PRIu64 "; write again what it changed",
                            request->version, start.sequence);
   if (kv_take_durability(request->durability, &wait->durability, status) != KV_OK)
      return status->code;
   if (wait->durability == KV_DURABILITY_DEFAULT)
      wait->durability = KV_DURABILITY_SYNCED;
   return KV_OK;
}

void kv_keyvalue_wait_durable(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__WaitDurableRequest *message =
       kv_service_request(service, call, &kvstore__v1__wait_durable_request__descriptor, request);
   if (!message)
      return;
   struct kv_durable_wait wait;
   struct kv_status status;
   if (resolve(service, call, message, &wait, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   struct kv_control_durability durability;
   kv_control_read_durability(service->config.control, &durability);
   switch (judge(&durability, &wait)) {
   case REACHED:
      reply(&wait);
      return;
   case NO_OFFER:
      refuse_offer(call);
      return;
   case TO_SYNC:
      sync_now(service, call, &wait);
      return;
   default:
      begin(&service->durable_waits, call, &wait);
   }
}
