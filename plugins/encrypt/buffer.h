/* Memory that is used again and again, and grows when it must. */
#ifndef ENCRYPT_BUFFER_H
#define ENCRYPT_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* What is kept from one use to the next; a larger one is given back. */
#define BUFFER_KEPT ((size_t)1 << 20)

struct buffer {
   uint8_t *data; /* aligned for anything; NULL at first */
   size_t size;
};

/* Room for `size` bytes, whose content is undefined; NULL when memory is out. */
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
