#include "core/support/invariant.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES_MAX 64

static void say(const char *text)
{
   size_t size = strlen(text);
   while (size > 0) {
      ssize_t written = write(STDERR_FILENO, text, size);
      if (written <= 0)
         return; /* nobody is left to read it */
      text += written;
      size -= (size_t)written;
   }
}

void kv_invariant_broken(const char *condition, const char *file, int line, const char *function)
{
   char text[1024];
   /* Not through the log, which has locks and a thread of its own. */
   snprintf(text, sizeof text,
            "kvstore: invariant broken: %s (%s:%d, %s)\n"
            "This is a fault in the program. Please report it with the lines below.\n",
            condition, file, line, function);
   say(text);
   void *frames[FRAMES_MAX];
   backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
   abort();
}
