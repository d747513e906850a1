#include "core/rpc/grpc/grpc_log.h"

#include "core/support/clock.h"
#include "core/support/log.h"

#include <grpc/support/log.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* Lines of one kind that are written in a period. */
#define LINES_MAX 3
#define PERIOD_MS ((uint64_t)60 * 1000)
/* A server meets a handful of kinds; those beyond share the last place. */
#define KINDS_MAX 32

struct kind {
   const char *file; /* NULL: a free place */
   int line;
   uint64_t since_ms;
   unsigned lines;
   uint64_t left_out;
};

static struct {
   pthread_mutex_t lock; /* for `kinds` */
   struct kind kinds[KINDS_MAX];
   atomic_bool saw_unknown_encoding;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct kind *find_kind(const char *file, int line)
{
   struct kind *kind = state.kinds;
   while (kind < &state.kinds[KINDS_MAX - 1] && kind->file &&
          (kind->file != file || kind->line != line))
      kind++;
   kind->file = file;
   kind->line = line;
   return kind;
}

/* Whether another line of this kind may be written; *left_out: how many were not, before it. */
static bool take_line(const char *file, int line, uint64_t *left_out)
{
   uint64_t now = kv_clock_monotonic_ms();
   *left_out = 0;
   pthread_mutex_lock(&state.lock);
   struct kind *kind = find_kind(file, line);
   if (kind->lines == 0 || now - kind->since_ms >= PERIOD_MS) {
      *left_out = kind->left_out;
      kind->left_out = 0;
      kind->lines = 0;
      kind->since_ms = now;
   }
   bool taken = kind->lines < LINES_MAX;
   if (taken)
      kind->lines++;
   else
      kind->left_out++;
   pthread_mutex_unlock(&state.lock);
   return taken;
}

static void forward(gpr_log_func_args *line)
{
   uint64_t left_out;
   if (strstr(line->message, "key=grpc-encoding "))
      atomic_store_explicit(&state.saw_unknown_encoding, true, memory_order_relaxed);
   if (line->severity != GPR_LOG_SEVERITY_ERROR) {
      kv_log(KV_LOG_DEBUG, "grpc: %s", line->message);
      return;
   }
   if (!take_line(line->file, line->line, &left_out))
      return;
   if (left_out > 0)
      kv_log(KV_LOG_WARNING, "grpc: %" PRIu64 " more lines like the next one were left out",
             left_out);
   kv_log(KV_LOG_WARNING, "grpc: %s", line->message);
}

void kv_grpc_log_begin(void)
{
   gpr_set_log_function(forward);
}

bool kv_grpc_log_saw_unknown_encoding(void)
{
   return atomic_load_explicit(&state.saw_unknown_encoding, memory_order_relaxed);
}
