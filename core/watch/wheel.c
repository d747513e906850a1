#include "core/watch/wheel.h"

void kv_wheel_init(struct kv_wheel *wheel)
{
   wheel->turned = 0;
   wheel->count = 0;
   for (size_t i = 0; i < KV_WHEEL_SLOTS; i++)
      LIST_INIT(&wheel->slots[i]);
}

void kv_wheel_set(struct kv_wheel *wheel, struct kv_timer *timer, uint64_t due_ms)
{
   timer->slot = due_ms / KV_WHEEL_SLOT_MS + (due_ms % KV_WHEEL_SLOT_MS > 0);
   if (timer->slot <= wheel->turned)
      timer->slot = wheel->turned + 1;
   LIST_INSERT_HEAD(&wheel->slots[timer->slot % KV_WHEEL_SLOTS], timer, others);
   wheel->count++;
}

void kv_wheel_stop(struct kv_wheel *wheel, struct kv_timer *timer)
{
   LIST_REMOVE(timer, others);
   wheel->count--;
}

size_t kv_wheel_turn(struct kv_wheel *wheel, uint64_t now_ms,
                     void (*due)(void *context, struct kv_timer *timer), void *context)
{
   const uint64_t now = now_ms / KV_WHEEL_SLOT_MS, before = wheel->turned;
   size_t looked_at = 0;
   if (now <= before)
      return 0;
   wheel->turned = now; /* what is set again meanwhile is for later */
   const uint64_t slots = now - before < KV_WHEEL_SLOTS ? now - before : KV_WHEEL_SLOTS;
   for (uint64_t i = 0; i < slots && wheel->count > 0; i++) {
      struct kv_timer *timer = LIST_FIRST(&wheel->slots[(now - i) % KV_WHEEL_SLOTS]), *next;
      for (; timer; timer = next, looked_at++) {
         next = LIST_NEXT(timer, others);
         if (timer->slot > now)
            continue; /* it is for another turn of the wheel */
         kv_wheel_stop(wheel, timer);
         due(context, timer);
      }
   }
   return looked_at;
}

uint64_t kv_wheel_next(const struct kv_wheel *wheel)
{
   uint64_t slot = wheel->turned + 1;
   if (wheel->count == 0)
      return 0;
   while (LIST_EMPTY(&wheel->slots[slot % KV_WHEEL_SLOTS]))
      slot++;
   return slot * KV_WHEEL_SLOT_MS;
}
