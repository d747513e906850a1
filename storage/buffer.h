/*
 * Memory that is reused, and grows when it must.
 *
 * Threads: one at a time.
 */
#ifndef STORAGE_BUFFER_H
#define STORAGE_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* A larger one is freed after use. */
#define STORAGE_BUFFER_KEPT ((size_t)4 << 20)

struct storage_buffer {
   uint8_t *data; /* aligned for anything; NULL at first */
   size_t size;
};

/* `size` > 0 bytes with undefined content; NULL when memory runs out. */
static inline uint8_t *storage_buffer_reserve(struct storage_buffer *buffer, size_t size)
{
   if (size > buffer->size) {
      free(buffer->data);
      buffer->data = malloc(size);
      buffer->size = buffer->data ? size : 0;
   }
   return buffer->data;
}

static inline void storage_buffer_free(struct storage_buffer *buffer)
{
   free(buffer->data);
   *buffer = (struct storage_buffer){0};
}

/* After use. */
static inline void storage_buffer_release(struct storage_buffer *buffer)
{
   if (buffer->size > STORAGE_BUFFER_KEPT)
      storage_buffer_free(buffer);
}

#endif
