#include "core/service/admin/admin.h"

#include <string.h>

static void refuse(struct kv_control_task *task, const struct kv_status *status)
{
   kv_message_fail(((struct kv_admin *)task)->call, status);
}

static bool is_cancelled(const struct kv_control_task *task)
{
   return kv_call_is_cancelled(((const struct kv_admin *)task)->call);
}

void kv_admin_answer(struct kv_control_task *task, enum kv_code code,
                     const struct kv_status *status, void (*reply)(struct kv_admin *admin))
{
   while (task) {
      struct kv_control_task *next = task->merged;
      if (code == KV_OK)
         reply((struct kv_admin *)task);
      else
         refuse(task, status);
      task = next;
   }
}

void *kv_admin_create(struct kv_service *service, struct kv_call *call, size_t size,
                      void (*run)(struct kv_control_task *task))
{
   struct kv_admin *admin = kv_message_alloc(call, size);
   if (!admin)
      return NULL;
   memset(admin, 0, size);
   *admin = (struct kv_admin){
       .task = {.run = run,
                .refuse = refuse,
                .is_cancelled = is_cancelled,
                .caller = kv_call_connection(call)},
       .service = service,
       .call = call,
   };
   return admin;
}

void kv_admin_post(struct kv_admin *admin)
{
   kv_call_watch(admin->call);
   kv_control_post(admin->service->config.control, &admin->task);
}

/* ---- Config and Configure ---- */

static bool has_same_request(const struct kv_control_task *one, const struct kv_control_task *other)
{
   const struct kv_configuration *a = (const struct kv_configuration *)one;
   const struct kv_configuration *b = (const struct kv_configuration *)other;
   if (a->request.option_count != b->request.option_count ||
       strcmp(a->request.plugin, b->request.plugin) != 0 || a->etag.size != b->etag.size ||
       (a->etag.size > 0 && memcmp(a->etag.data, b->etag.data, a->etag.size) != 0))
      return false;
   for (size_t i = 0; i < a->request.option_count; i++)
      if (strcmp(a->request.options[i].name, b->request.options[i].name) != 0 ||
          strcmp(a->request.options[i].value, b->request.options[i].value) != 0)
         return false;
   return true;
}

struct kv_configuration *kv_configuration_create(struct kv_service *service, struct kv_call *call,
                                                 void (*run)(struct kv_control_task *task))
{
   struct kv_configuration *configuration =
       kv_admin_create(service, call, sizeof *configuration, run);
   if (configuration)
      configuration->admin.task.is_same = has_same_request;
   return configuration;
}
