#include "core/support/log.h"

#include "core/support/log_events.h"
#include "core/support/log_writer.h"
#include "core/support/text.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum kv_log_level log_level = KV_LOG_INFO;
static struct kv_log_style log_style;
/* Set once; never destroyed, since a thread that hangs may log when everything else is over. */
static _Atomic(struct kv_log_writer *) log_writer;
static struct kv_log_events log_events = {.lock = PTHREAD_MUTEX_INITIALIZER};

void kv_log_set_level(enum kv_log_level level)
{
   log_level = level;
}

void kv_log_set_format(enum kv_log_format format)
{
   log_style = (struct kv_log_style){
       .format = format, .journal = kv_log_is_journal(STDERR_FILENO, getenv("JOURNAL_STREAM"))};
}

static void put(enum kv_log_level level, const char *format, char message[KV_LOG_MESSAGE_SIZE])
{
   struct kv_log_writer *writer = atomic_load_explicit(&log_writer, memory_order_acquire);
   if (level > log_level)
      return;
   if (writer) {
      kv_log_writer_put(writer, level, (uint64_t)(uintptr_t)format, message);
   } else {
      struct timespec now;
      clock_gettime(CLOCK_REALTIME, &now);
      kv_log_write_line(STDERR_FILENO, log_style, level, &now, message);
   }
}

/* It may quote what a client sent, which must neither forge a line nor steer a terminal. */
static void compose(char message[KV_LOG_MESSAGE_SIZE], const char *format, va_list arguments)
{
   vsnprintf(message, KV_LOG_MESSAGE_SIZE, format, arguments);
   kv_text_clean(message);
}

void kv_log(enum kv_log_level level, const char *format, ...)
{
   if (level > log_level)
      return;
   char message[KV_LOG_MESSAGE_SIZE];
   va_list arguments;
   va_start(arguments, format);
   compose(message, format, arguments);
   va_end(arguments);
   put(level, format, message);
}

void kv_log_event(enum kv_log_level level, const char *format, ...)
{
   char message[KV_LOG_MESSAGE_SIZE];
   va_list arguments;
   va_start(arguments, format);
   compose(message, format, arguments);
   va_end(arguments);
   kv_log_events_add(&log_events, level, message);
   put(level, format, message);
}

struct kv_log_events *kv_log_events(void)
{
   return &log_events;
}

enum kv_code kv_log_start(struct kv_status *status)
{
   struct kv_log_writer *writer = kv_log_writer_create(STDERR_FILENO, log_style, status);
   if (!writer)
      return status->code;
   atomic_store_explicit(&log_writer, writer, memory_order_release);
   return KV_OK;
}

bool kv_log_stop(int64_t patience_ms)
{
   struct kv_log_writer *writer = atomic_load_explicit(&log_writer, memory_order_acquire);
   return !writer || kv_log_writer_close(writer, patience_ms);
}
