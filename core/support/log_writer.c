#include "core/support/log_writer.h"

#include "core/support/clock.h"
#include "core/support/log_limit.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_EVERY_MS 1000

struct line {
   enum kv_log_level level;
   struct timespec time;
   uint64_t dropped_before; /* lines that were dropped right before this one */
   char message[KV_LOG_MESSAGE_SIZE];
};

struct kv_log_writer {
   int fd;
   struct kv_log_style style;
   pthread_t thread;
   struct line taken; /* the thread's */

   pthread_mutex_t lock; /* for what follows */
   pthread_cond_t changed;
   bool closed, ended;
   size_t first, count; /* of `lines`, a ring */
   uint64_t dropped;    /* since the last line that was put */
   struct kv_log_limit limit;
   struct line lines[KV_LOG_QUEUE_LINES];
};

/* One write(2) a line keeps lines of different processes whole. A log that cannot be written has
 * nowhere left to complain to. */
void kv_log_write_line(int fd, struct kv_log_style style, enum kv_log_level level,
                       const struct timespec *time, const char *message)
{
   char text[KV_LOG_LINE_SIZE];
   size_t size = kv_log_format_line(style, level, time, message, text);
   for (size_t done = 0; done < size;) {
      ssize_t written = write(fd, text + done, size - done);
      if (written > 0)
         done += (size_t)written;
      else if (written < 0 && errno == EAGAIN) /* somebody else has made it non-blocking */
         poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
      else if (written == 0 || errno != EINTR)
         return;
   }
}

/* ---- The thread ---- */

static void write_dropped(const struct kv_log_writer *writer)
{
   char message[128];
   snprintf(message, sizeof message,
            "%" PRIu64 " lines are missing here: the log was not read fast enough",
            writer->taken.dropped_before);
   kv_log_write_line(writer->fd, writer->style, KV_LOG_WARNING, &writer->taken.time, message);
}

/* Takes what is to be written next: a line, or a message about lines that were not. Under the lock.
 * False: there is nothing. */
static bool take(struct kv_log_writer *writer)
{
   struct line *taken = &writer->taken;
   if (writer->count > 0) {
      *taken = writer->lines[writer->first];
      writer->first = (writer->first + 1) % KV_LOG_QUEUE_LINES;
      writer->count--;
      return true;
   }
   taken->level = KV_LOG_WARNING;
   clock_gettime(CLOCK_REALTIME, &taken->time);
   taken->dropped_before = writer->dropped;
   writer->dropped = 0;
   bool reported = kv_log_limit_report(&writer->limit, kv_clock_monotonic_ms(), writer->closed,
                                       taken->message, sizeof taken->message);
   if (!reported)
      taken->message[0] = '\0';
   return reported || taken->dropped_before > 0;
}

static void wait_for_lines(struct kv_log_writer *writer)
{
   if (!kv_log_limit_pending(&writer->limit)) {
      pthread_cond_wait(&writer->changed, &writer->lock);
      return;
   }
   kv_clock_wait(&writer->changed, &writer->lock, kv_clock_monotonic_ms() + LOOK_EVERY_MS);
}

static void *run(void *argument)
{
   struct kv_log_writer *writer = argument;
   pthread_mutex_lock(&writer->lock);
   for (;;) {
      if (take(writer)) {
         pthread_mutex_unlock(&writer->lock);
         if (writer->taken.dropped_before > 0)
            write_dropped(writer);
         if (writer->taken.message[0] != '\0')
            kv_log_write_line(writer->fd, writer->style, writer->taken.level, &writer->taken.time,
                              writer->taken.message);
         pthread_mutex_lock(&writer->lock);
      } else if (writer->closed) {
         break;
      } else {
         wait_for_lines(writer);
      }
   }
   writer->ended = true;
   pthread_cond_broadcast(&writer->changed);
   pthread_mutex_unlock(&writer->lock);
   return NULL;
}

/* ---- Interface ---- */

struct kv_log_writer *kv_log_writer_create(int fd, struct kv_log_style style,
                                           struct kv_status *status)
{
   struct kv_log_writer *writer = calloc(1, sizeof *writer);
   if (!writer) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the log");
      return NULL;
   }
   writer->fd = fd;
   writer->style = style;
   pthread_mutex_init(&writer->lock, NULL);
   kv_clock_init_condition(&writer->changed);
   int error = pthread_create(&writer->thread, NULL, run, writer);
   if (error == 0)
      return writer;
   kv_fail_errno(status, error, "cannot start the thread that writes the log");
   kv_log_writer_destroy(writer);
   return NULL;
}

static void append(struct kv_log_writer *writer, enum kv_log_level level, const char *message)
{
   if (writer->count == KV_LOG_QUEUE_LINES) {
      writer->dropped++;
      return;
   }
   struct line *line = &writer->lines[(writer->first + writer->count) % KV_LOG_QUEUE_LINES];
   line->level = level;
   clock_gettime(CLOCK_REALTIME, &line->time);
   line->dropped_before = writer->dropped;
   snprintf(line->message, sizeof line->message, "%s", message);
   writer->dropped = 0;
   writer->count++;
}

void kv_log_writer_put(struct kv_log_writer *writer, enum kv_log_level level, uint64_t origin,
                       const char *message)
{
   pthread_mutex_lock(&writer->lock);
   /* Who asked for debug lines wants them all. */
   bool admitted = !writer->closed &&
                   (level >= KV_LOG_DEBUG ||
                    kv_log_limit_admit(&writer->limit, origin, message, kv_clock_monotonic_ms()));
   if (admitted)
      append(writer, level, message);
   pthread_cond_signal(&writer->changed);
   pthread_mutex_unlock(&writer->lock);
}

bool kv_log_writer_close(struct kv_log_writer *writer, int64_t patience_ms)
{
   uint64_t until_ms = kv_clock_monotonic_ms() + (uint64_t)patience_ms;
   pthread_mutex_lock(&writer->lock);
   writer->closed = true;
   pthread_cond_broadcast(&writer->changed);
   bool in_time = true;
   while (!writer->ended && in_time)
      in_time = kv_clock_wait(&writer->changed, &writer->lock, until_ms);
   bool ended = writer->ended;
   pthread_mutex_unlock(&writer->lock);
   if (ended)
      pthread_join(writer->thread, NULL);
   return ended;
}

void kv_log_writer_destroy(struct kv_log_writer *writer)
{
   pthread_cond_destroy(&writer->changed);
   pthread_mutex_destroy(&writer->lock);
   free(writer);
}
