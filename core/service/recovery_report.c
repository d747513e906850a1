/* How the start went, as Status tells it. */
#include "core/service/internal.h"

/* `count` messages of `size` bytes and the pointers to them that a repeated field takes; false when
 * memory is out. */
static bool make_messages(struct kv_arena *arena, size_t count, size_t size, void *messages,
                          void *pointers)
{
   char *array = kv_arena_alloc(arena, count * size);
   void **list = kv_arena_alloc(arena, count * sizeof *list);
   if (!array || !list)
      return false;
   for (size_t i = 0; i < count; i++)
      list[i] = array + i * size;
   *(void **)messages = array;
   *(void **)pointers = list;
   return true;
}

static bool add_files(struct kv_arena *arena, struct kv_load_items items,
                      Kvstore__Recovery *recovery)
{
   Kvstore__Recovery__File *files;
   if (!make_messages(arena, items.count, sizeof *files, &files, &recovery->files))
      return false;
   for (size_t i = 0; i < items.count; i++) {
      kvstore__recovery__file__init(&files[i]);
      files[i].name = kv_message_text(items.items[i].file);
      files[i].bytes = items.items[i].bytes;
      files[i].records = items.items[i].records;
      files[i].sequence = items.items[i].sequence;
   }
   recovery->n_files = items.count;
   recovery->file_count = items.total;
   return true;
}

static bool add_torn(struct kv_arena *arena, struct kv_load_items items,
                     Kvstore__Recovery *recovery)
{
   Kvstore__Recovery__Torn *torn;
   if (!make_messages(arena, items.count, sizeof *torn, &torn, &recovery->torn))
      return false;
   for (size_t i = 0; i < items.count; i++) {
      kvstore__recovery__torn__init(&torn[i]);
      torn[i].file = kv_message_text(items.items[i].file);
      torn[i].offset = items.items[i].offset;
      torn[i].bytes = items.items[i].bytes;
      torn[i].outcome = kv_message_text(items.items[i].text);
   }
   recovery->n_torn = items.count;
   return true;
}

static bool add_passed_over(struct kv_arena *arena, struct kv_load_items items,
                            Kvstore__Recovery *recovery)
{
   Kvstore__Recovery__PassedOver *passed;
   if (!make_messages(arena, items.count, sizeof *passed, &passed, &recovery->passed_over))
      return false;
   for (size_t i = 0; i < items.count; i++) {
      kvstore__recovery__passed_over__init(&passed[i]);
      passed[i].file = kv_message_text(items.items[i].file);
      passed[i].reason = kv_message_text(items.items[i].text);
   }
   recovery->n_passed_over = items.count;
   return true;
}

Kvstore__Recovery *kv_service_recovery(struct kv_arena *arena, const struct kv_load_report *report)
{
   Kvstore__Recovery *recovery = kv_arena_alloc(arena, sizeof *recovery);
   if (!recovery)
      return NULL;
   kvstore__recovery__init(recovery);
   const struct kv_load_result result = kv_load_report_result(report);
   recovery->records = result.records;
   recovery->duration_ms = result.duration_ms;
   recovery->sequence = result.sequence;
   recovery->keys = result.keys;
   recovery->bytes = result.bytes;
   bool complete =
       add_files(arena, kv_load_report_items(report, KVS_LOAD_FILE), recovery) &&
       add_torn(arena, kv_load_report_items(report, KVS_LOAD_TORN), recovery) &&
       add_passed_over(arena, kv_load_report_items(report, KVS_LOAD_PASSED_OVER), recovery);
   return complete ? recovery : NULL;
}
