/* Memory that is reused, and grows when it must. */
#ifndef ENCRYPT_BUFFER_H
#define ENCRYPT_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* A larger one is freed after use. */
#define BUFFER_KEPT ((size_t)1 << 20)

struct buffer {
   uint8_t *data; /* aligned for anything; NULL at first */
   size_t size;
};

/* `size` bytes with undefined content; NULL when memory runs out. */
static inline uint8_t *buffer_reserve(struct buffer *buffer, size_t size)
{
   if (size > buffer->size) {
      free(buffer->data);
      buffer->data = malloc(size);
      buffer->size = buffer->data ? size : 0;
   }
   return buffer->data;
}

static inline void buffer_free(struct buffer *buffer)
{
   free(buffer->data);
   *buffer = (struct buffer){0};
}

/* After use. */
static inline void buffer_release(struct buffer *buffer)
{
   if (buffer->size > BUFFER_KEPT)
      buffer_free(buffer);
}

#endif
