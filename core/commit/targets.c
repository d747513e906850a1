#include "core/commit/targets.h"

#include "core/commit/internal.h"
#include "core/support/invariant.h"

void kv_targets_init(struct kv_targets *targets, struct kv_store *store)
{
   *targets = (struct kv_targets){.store = store};
   pthread_mutex_init(&targets->lock, NULL);
}

void kv_targets_deinit(struct kv_targets *targets)
{
   pthread_mutex_destroy(&targets->lock);
}

/* ---- For the committer ---- */

static void set_read_only(struct kv_targets *targets, const struct kv_status *status)
{
   pthread_mutex_lock(&targets->lock);
   targets->read_only = *status;
   pthread_mutex_unlock(&targets->lock);
   if (targets->observer.read_only_changed)
      targets->observer.read_only_changed(targets->observer.context, status->code != KV_OK);
}

enum kv_code kv_targets_check(const struct kv_targets *targets, struct kv_status *status)
{
   if (!targets->active)
      return kv_fail_reason(status, KV_UNAVAILABLE, "LOADING",
                            "the server has not loaded its data yet; try again");
   if (targets->read_only.code != KV_OK)
      *status = targets->read_only;
   return targets->read_only.code;
}

enum kv_durability kv_targets_offer(const struct kv_targets *targets)
{
   return kv_instance_plugin(targets->active)->promise == KVS_DURABLE ? KV_DURABILITY_SYNCED
                                                                      : KV_DURABILITY_MEMORY;
}

enum kv_durability kv_targets_reached(const struct kv_targets *targets, uint64_t sequence,
                                      bool synced)
{
   if (kv_targets_offer(targets) < KV_DURABILITY_SYNCED)
      return KV_DURABILITY_MEMORY;
   return synced || kv_instance_synced(targets->active) >= sequence ? KV_DURABILITY_SYNCED
                                                                    : KV_DURABILITY_WRITTEN;
}

static enum kv_code write_active(struct kv_targets *targets, const struct kv_effects *effects,
                                 uint32_t flags, struct kv_status *status)
{
   enum kv_code code =
       kv_instance_write(targets->active, effects->records, effects->count, flags, status);
   if (code == KV_OK)
      return code;
   status->reason = code == KV_RESOURCE_EXHAUSTED ? KV_REASON_STORAGE_FULL : "READ_ONLY";
   if (code == KV_RESOURCE_EXHAUSTED)
      return code;
   struct kv_status failure;
   kv_fail_reason(
       &failure, KV_UNAVAILABLE, "READ_ONLY",
       "writes are refused because the persistence plug-in failed (%s); reads go on; free some "
       "space or repair the disk, then use Save or Configure to start a fresh generation",
       status->text);
   set_read_only(targets, &failure);
   return code;
}

enum kv_code kv_targets_write(struct kv_targets *targets, const struct kv_effects *effects,
                              bool synced, struct kv_status *status)
{
   KV_INVARIANT(targets->active && effects->count > 0);
   enum kv_code code = write_active(targets, effects, synced ? KVS_WRITE_SYNC : 0, status);
   if (code == KV_OK && targets->standby && targets->standby_failure.code == KV_OK)
      (void)kv_instance_write(targets->standby, effects->records, effects->count,
                              targets->standby_flags, &targets->standby_failure);
   return code;
}

void kv_targets_published(const struct kv_targets *targets, const struct kv_effects *effects)
{
   if (targets->observer.published)
      targets->observer.published(targets->observer.context, effects->records,
                                  effects->keeps_replaced ? effects->replaced : NULL,
                                  effects->count);
}

void kv_targets_refused(const struct kv_targets *targets, const struct kv_status *status,
                        size_t changes)
{
   if (targets->observer.refused)
      targets->observer.refused(targets->observer.context, status, changes);
}

static bool is_prompt(const struct kv_instance *instance)
{
   return !instance || (kv_instance_plugin(instance)->flags & KVS_PLUGIN_PROMPT);
}

bool kv_targets_are_prompt(const struct kv_targets *targets)
{
   return is_prompt(targets->active) && is_prompt(targets->standby);
}

/* ---- For the control thread ---- */

static enum kv_code take_point(const struct kv_targets *targets, struct kv_commit_point *point,
                               struct kv_status *status)
{
   point->view = kv_store_view_create(targets->store);
   kv_hook_timing_read(kv_instance_timing(targets->active), KV_HOOK_WRITE, &point->writes);
   return point->view
              ? KV_OK
              : kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a view of the data");
}

void kv_commit_set_active(struct kv_commit *commit, struct kv_instance *active)
{
   struct kv_targets *targets = kv_commit_pause(commit);
   targets->active = active;
   kv_commit_resume(commit);
}

enum kv_code kv_commit_attach(struct kv_commit *commit, struct kv_instance *standby,
                              enum kv_standby kind, struct kv_commit_point *point,
                              struct kv_status *status)
{
   struct kv_targets *targets = kv_commit_pause(commit);
   enum kv_code code = take_point(targets, point, status);
   if (code == KV_OK) {
      targets->standby = standby;
      targets->standby_flags = kind == KV_STANDBY_CANDIDATE ? KVS_WRITE_SYNC : 0;
      targets->standby_failure.code = KV_OK;
   }
   kv_commit_resume(commit);
   return code;
}

enum kv_code kv_commit_detach(struct kv_commit *commit, struct kv_commit_point *point,
                              struct kv_status *status)
{
   struct kv_targets *targets = kv_commit_pause(commit);
   enum kv_code code = point ? take_point(targets, point, status) : KV_OK;
   if (targets->standby && targets->standby_failure.code != KV_OK) {
      *status = targets->standby_failure;
      code = status->code;
   }
   targets->standby = NULL;
   kv_commit_resume(commit);
   return code;
}

static enum kv_code promote(struct kv_targets *targets, kv_commit_record *record, void *context,
                            struct kv_status *status)
{
   struct kv_status doubt = {.code = KV_OK};
   KV_INVARIANT(targets->standby);
   if (targets->standby_failure.code != KV_OK) {
      *status = targets->standby_failure;
      return status->code;
   }
   enum kv_code code = record(context, &doubt, status);
   if (code != KV_OK) {
      if (doubt.code != KV_OK)
         set_read_only(targets, &doubt);
      return code;
   }
   targets->active = targets->standby;
   targets->standby = NULL;
   if (targets->read_only.code != KV_OK)
      set_read_only(targets, &doubt);
   return KV_OK;
}

enum kv_code kv_commit_promote(struct kv_commit *commit, kv_commit_record *record, void *context,
                               struct kv_status *status)
{
   struct kv_targets *targets = kv_commit_pause(commit);
   enum kv_code code = promote(targets, record, context, status);
   kv_commit_resume(commit);
   return code;
}

enum kv_code kv_commit_replace(struct kv_commit *commit, struct kv_instance *instance,
                               kv_commit_record *record, void *context, struct kv_status *status)
{
   struct kv_targets *targets = kv_commit_pause(commit);
   KV_INVARIANT(!targets->standby);
   targets->standby = instance;
   targets->standby_failure.code = KV_OK;
   enum kv_code code = promote(targets, record, context, status);
   targets->standby = NULL;
   kv_commit_resume(commit);
   return code;
}

void kv_commit_refuse_writes(struct kv_commit *commit, const struct kv_status *status)
{
   set_read_only(kv_commit_pause(commit), status);
   kv_commit_resume(commit);
}

bool kv_commit_read_only(struct kv_commit *commit, struct kv_status *status)
{
   struct kv_targets *targets = kv_commit_targets(commit);
   pthread_mutex_lock(&targets->lock);
   bool read_only = targets->read_only.code != KV_OK;
   if (read_only && status)
      *status = targets->read_only;
   pthread_mutex_unlock(&targets->lock);
   return read_only;
}

void kv_commit_observe(struct kv_commit *commit, const struct kv_commit_observer *observer)
{
   kv_commit_targets(commit)->observer = *observer;
}
