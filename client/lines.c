#include "client/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_CAPACITY ((size_t)256 * 1024)

struct lines {
   int file;
   char *buffer;
   size_t capacity;
   size_t start, end; /* read and not yet returned */
   size_t searched;   /* no newline before here */
   size_t count;      /* of lines returned */
   bool ended;
};

struct lines *lines_create(int file)
{
   struct lines *lines = calloc(1, sizeof *lines);
   if (!lines)
      return NULL;
   *lines = (struct lines){.file = file, .buffer = malloc(FIRST_CAPACITY), FIRST_CAPACITY};
   if (lines->buffer)
      return lines;
   free(lines);
   return NULL;
}

void lines_destroy(struct lines *lines)
{
   free(lines->buffer);
   free(lines);
}

/* Makes space after `end`. */
static bool make_space(struct lines *lines)
{
   if (lines->end < lines->capacity)
      return true;
   size_t size = lines->end - lines->start;
   if (size > lines->capacity / 2) {
      char *grown = realloc(lines->buffer, 2 * lines->capacity);
      if (!grown)
         return false;
      lines->buffer = grown;
      lines->capacity *= 2;
   }
   memmove(lines->buffer, lines->buffer + lines->start, size);
   lines->searched -= lines->start;
   lines->start = 0;
   lines->end = size;
   return true;
}

/* 1: a read will not block; 0: it would, and `wait` is false; negative: failed. */
static int await_input(const struct lines *lines, bool wait)
{
   struct pollfd input = {lines->file, POLLIN, 0};
   int ready;
   do
      ready = poll(&input, 1, wait ? -1 : 0);
   while (ready < 0 && errno == EINTR);
   return ready;
}

static bool find_line(struct lines *lines, struct kv_slice *line)
{
   char *from = lines->buffer + lines->searched;
   char *newline = memchr(from, '\n', lines->end - lines->searched);
   size_t end = newline ? (size_t)(newline - lines->buffer) : lines->end;
   lines->searched = end;
   if (!newline && (!lines->ended || lines->start == end))
      return false;
   *line = kv_slice(lines->buffer + lines->start, end - lines->start);
   lines->start = lines->searched = newline ? end + 1 : end;
   lines->count++;
   return true;
}

size_t lines_count(const struct lines *lines)
{
   return lines->count;
}

enum lines_state lines_next(struct lines *lines, bool wait, struct kv_slice *line)
{
   for (;;) {
      if (find_line(lines, line))
         return LINES_LINE;
      if (lines->ended)
         return LINES_END;
      int ready = await_input(lines, wait);
      if (ready < 0 || !make_space(lines))
         return LINES_FAILED;
      if (ready == 0)
         return LINES_NONE_YET;
      ssize_t size = read(lines->file, lines->buffer + lines->end, lines->capacity - lines->end);
      if (size < 0 && errno != EINTR && errno != EAGAIN)
         return LINES_FAILED;
      lines->ended = size == 0;
      lines->end += size > 0 ? (size_t)size : 0;
   }
}
