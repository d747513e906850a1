#include "client/progress.h"

#include "core/support/clock.h"

#include <stdio.h>
#include <unistd.h>

#define INTERVAL_MS 500
#define MS_PER_S 1000
#define MIB 1048576.0

void progress_begin(struct progress *progress)
{
   progress->shown = isatty(STDERR_FILENO) == 1;
   progress->began_ms = progress->shown_ms = kv_clock_monotonic_ms();
}

void progress_show(struct progress *progress, uint64_t bytes, uint64_t total, const char *most)
{
   uint64_t now_ms = kv_clock_monotonic_ms(), elapsed_ms = now_ms - progress->began_ms;
   if (!progress->shown || now_ms - progress->shown_ms < INTERVAL_MS)
      return;
   progress->shown_ms = now_ms;
   double rate = (double)bytes / (double)elapsed_ms * MS_PER_S;
   uint64_t left = total > bytes ? total - bytes : 0;
   if (total > 0)
      fprintf(stderr, "\r%.1f of %s%.1f MiB, %.1f MiB/s, %.0f s left\033[K", (double)bytes / MIB,
              most, (double)total / MIB, rate / MIB, rate > 0 ? (double)left / rate : 0.0);
   else
      fprintf(stderr, "\r%.1f MiB, %.1f MiB/s\033[K", (double)bytes / MIB, rate / MIB);
   fflush(stderr);
}

void progress_say(struct progress *progress, const char *text)
{
   if (!progress->shown)
      return;
   progress->shown_ms = UINT64_MAX; /* there is a line to be taken away */
   fprintf(stderr, "\r%s\033[K", text);
   fflush(stderr);
}

void progress_end(const struct progress *progress)
{
   if (progress->shown && progress->shown_ms > progress->began_ms)
      fputs("\r\033[K", stderr);
}
