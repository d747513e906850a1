#include "core/store/object.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* As large as malloc aligns, so that what follows is aligned alike. */
struct count {
   _Alignas(max_align_t) atomic_size_t holders;
};

static bool is_counted(const struct kv_object *object)
{
   return object->stamp >> 16 & 1;
}

static struct count *count_of(void *object)
{
   return (struct count *)object - 1;
}

void *kv_object_allocate_counted(size_t size)
{
   struct count *count = malloc(sizeof *count + size);
   if (!count)
      return NULL;
   atomic_init(&count->holders, 1);
   return count + 1;
}

void kv_object_keep(void *object)
{
   atomic_fetch_add_explicit(&count_of(object)->holders, 1, memory_order_relaxed);
}

size_t kv_object_size(void *object)
{
   return malloc_usable_size(is_counted(object) ? count_of(object) : object);
}

void kv_object_release(void *object)
{
   if (!is_counted(object))
      free(object);
   else if (atomic_fetch_sub(&count_of(object)->holders, 1) == 1)
      free(count_of(object));
}
