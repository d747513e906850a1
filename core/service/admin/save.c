/* Save: makes a checkpoint. */
#include "core/service/admin/admin.h"

struct save {
   struct kv_admin admin; /* first */
   uint64_t sequence;     /* of the checkpoint */
};

static bool always_same(const struct kv_control_task *one, const struct kv_control_task *other)
{
   (void)one, (void)other;
   return true;
}

static void save_reply(struct kv_admin *admin)
{
   Kvstore__V1__SaveResponse response = KVSTORE__V1__SAVE_RESPONSE__INIT;
   response.version = ((struct save *)admin)->sequence;
   kv_call_carried_out(admin->call);
   kv_message_reply(admin->call, &response.base);
}

static void save_run(struct kv_control_task *task)
{
   struct kv_admin *admin = (struct kv_admin *)task;
   struct kv_status status;
   uint64_t sequence = 0;
   enum kv_code code = kv_control_save(admin->service->config.control, &sequence, &status);
   for (struct kv_control_task *each = task; each; each = each->merged)
      ((struct save *)each)->sequence = sequence;
   kv_admin_answer(task, code, &status, save_reply);
}

void kv_service_save(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   if (!kv_service_request(service, call, &kvstore__v1__save_request__descriptor, request))
      return;
   struct save *save = kv_admin_create(service, call, sizeof *save, save_run);
   if (!save)
      return;
   save->admin.task.is_same = always_same;
   kv_admin_post(&save->admin);
}
