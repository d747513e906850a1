#include "client/pipe.h"

#include "client/bulk.h"
#include "client/commands.h"
#include "client/lines.h"
#include "client/words.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct pipe {
   struct session *session;
   struct lines *lines;
   struct bulk *bulk;
   int first_failure;
   bool ended;
};

static void note(struct pipe *pipe, int result)
{
   if (pipe->first_failure == EXIT_DONE)
      pipe->first_failure = result;
   if (pipe->session->ended || !connection_reached(pipe->session->connection))
      pipe->ended = true;
}

/* Pending lines run first, so that answers are printed in the order of the lines. */
static void run_pending(struct pipe *pipe)
{
   note(pipe, bulk_run(pipe->bulk));
   if (fflush(pipe->session->out) != 0)
      pipe->ended = true;
}

static void run_line(struct pipe *pipe, struct kv_slice line)
{
   struct words words;
   struct words_error error;
   size_t number = lines_count(pipe->lines);
   bool good = words_split(line.data, line.size, &words, &error);
   if (good && bulk_add(pipe->bulk, &words, number))
      return;
   run_pending(pipe);
   if (pipe->ended) {
      if (good)
         words_deinit(&words);
      return;
   }
   pipe->session->line = number;
   if (!good) {
      note(pipe, session_misread(pipe->session, &error));
      pipe->ended |= error.all;
      return;
   }
   if (bulk_add(pipe->bulk, &words, number))
      return;
   note(pipe, commands_run(pipe->session, words.items, words.count));
   words_deinit(&words);
   if (fflush(pipe->session->out) != 0)
      pipe->ended = true;
}

/* The next line. Before it waits for one, all lines so far are run. */
static enum lines_state next_line(struct pipe *pipe, struct kv_slice *line, int *reason)
{
   enum lines_state state = lines_next(pipe->lines, false, line);
   *reason = errno;
   if (state == LINES_LINE)
      return state;
   run_pending(pipe);
   if (state == LINES_NONE_YET && !pipe->ended) {
      state = lines_next(pipe->lines, true, line);
      *reason = errno;
   }
   return state;
}

static void run_lines(struct pipe *pipe)
{
   int reason;
   struct kv_slice line;
   while (!pipe->ended) {
      enum lines_state state = next_line(pipe, &line, &reason);
      if (pipe->ended || state == LINES_END)
         return;
      if (state == LINES_FAILED) {
         pipe->first_failure = session_local_failure("cannot read standard input", reason);
         return;
      }
      run_line(pipe, line);
   }
}

int pipe_run(struct session *session)
{
   struct pipe pipe = {
       .session = session, .lines = lines_create(STDIN_FILENO), .bulk = bulk_create(session)};
   session->lines = pipe.lines;
   if (pipe.lines && pipe.bulk)
      run_lines(&pipe);
   else
      pipe.first_failure = session_local_failure("cannot read standard input", ENOMEM);
   if (pipe.bulk)
      bulk_destroy(pipe.bulk);
   session->lines = NULL;
   if (pipe.lines)
      lines_destroy(pipe.lines);
   return pipe.first_failure;
}
