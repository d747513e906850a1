#include "client/history.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first line of libedit's history files; libedit defines and checks it. */
#define HEADER "_HiStOrY_V2_\n"
#define HEADER_SIZE (sizeof HEADER - 1)

struct history_file {
   char path[PATH_MAX]; /* with links resolved, so that a replacement lands in the same place */
};

const char *history_path(const struct history_file *file)
{
   return file->path;
}

void history_close(struct history_file *file)
{
   free(file);
}

/* ---- Opening ---- */

/* Returns false when no history is wanted. */
static bool choose_path(char path[PATH_MAX])
{
   const char *file = getenv("KVSTORE_HISTORY");
   const char *state = getenv("XDG_STATE_HOME");
   const char *home = getenv("HOME");
   int size = 0;
   if (file)
      size = snprintf(path, PATH_MAX, "%s", file);
   else if (state && state[0] == '/')
      size = snprintf(path, PATH_MAX, "%s/kvstore_history", state);
   else if (home && home[0] == '/')
      size = snprintf(path, PATH_MAX, "%s/.kvstore_history", home);
   return size > 0 && size < PATH_MAX;
}

static bool refuse(struct history_problem *problem, const char *path, const char *reason)
{
   snprintf(problem->text, sizeof problem->text, "%.300s %s", path, reason);
   return false;
}

/* Whether the path still leads to this file. */
static bool is_at(int file, const char *path)
{
   struct stat ours, named;
   return fstat(file, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
          ours.st_ino == named.st_ino;
}

/* Opens and locks the file, again if another prompt replaces it in between. -1 with errno. */
static int open_locked(const char *path)
{
   for (;;) {
      /* Without blocking: a FIFO must not delay us before it is refused. */
      int file = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
      if (file < 0)
         return -1;
      bool locked = flock(file, LOCK_EX) == 0;
      if (locked && is_at(file, path))
         return file;
      int reason = errno;
      close(file);
      errno = reason;
      if (!locked)
         return -1;
   }
}

/* Writes all of it, also across signals. */
static bool write_all(int file, const char *text, size_t size)
{
   while (size > 0) {
      ssize_t written = write(file, text, size);
      if (written < 0 && errno == EINTR)
         continue;
      if (written <= 0)
         return false;
      text += written;
      size -= (size_t)written;
   }
   return true;
}

/* A line that a full disk cut short must not swallow the next one. */
static bool end_line(int file)
{
   struct stat status;
   char last;
   return fstat(file, &status) == 0 && pread(file, &last, 1, status.st_size - 1) == 1 &&
          (last == '\n' || write_all(file, "\n", 1));
}

/* Whether the file is a history; an empty one becomes one. */
static bool is_history(int file, const char *path, struct history_problem *problem)
{
   struct stat status;
   if (fstat(file, &status) != 0)
      return refuse(problem, path, strerror(errno));
   if (S_ISCHR(status.st_mode))
      return false; /* /dev/null: none is wanted */
   if (!S_ISREG(status.st_mode))
      return refuse(problem, path, "is not a regular file");
   if (status.st_size == 0)
      return write_all(file, HEADER, HEADER_SIZE) || refuse(problem, path, strerror(errno));
   char head[HEADER_SIZE];
   ssize_t size = pread(file, head, sizeof head, 0);
   if (size < 0)
      return refuse(problem, path, strerror(errno));
   if ((size_t)size < sizeof head || memcmp(head, HEADER, sizeof head) != 0)
      return refuse(problem, path,
                    "holds something else and is left as it is; name another file "
                    "in KVSTORE_HISTORY, or leave it empty for no history");
   return true;
}

/* ---- Cutting down ---- */

static char *read_whole(int file, size_t *size)
{
   struct stat status;
   if (fstat(file, &status) != 0)
      return NULL;
   char *text = malloc((size_t)status.st_size + 1);
   size_t done = 0;
   while (text && done < (size_t)status.st_size) {
      ssize_t part = pread(file, text + done, (size_t)status.st_size - done, (off_t)done);
      if (part < 0 && errno == EINTR)
         continue;
      if (part <= 0)
         break;
      done += (size_t)part;
   }
   *size = done;
   return text;
}

/* Where the last `count` lines begin; `text` if there are no more. */
static const char *last_lines(const char *text, size_t size, size_t count)
{
   const char *at = text + size;
   while (at > text && (at[-1] != '\n' || at == text + size || count-- > 1))
      at--;
   return at;
}

/* Replaces the file atomically. If that fails, the long one stays. */
static void replace(const char *path, const char *lines, size_t size)
{
   char next[PATH_MAX + 8];
   snprintf(next, sizeof next, "%s.XXXXXX", path);
   int file = mkostemp(next, O_CLOEXEC);
   if (file < 0)
      return;
   bool good = write_all(file, HEADER, HEADER_SIZE) && write_all(file, lines, size);
   good = close(file) == 0 && good;
   if (!good || rename(next, path) != 0)
      unlink(next);
}

/* Under the lock. Only once there are twice as many lines, so that not every start does it. */
static void cut_down(int file, const char *path, size_t lines_max)
{
   size_t size;
   char *text = read_whole(file, &size);
   if (!text)
      return;
   size_t body = size < HEADER_SIZE ? size : HEADER_SIZE;
   if (last_lines(text + body, size - body, 2 * lines_max) > text + body) {
      const char *kept = last_lines(text + body, size - body, lines_max);
      replace(path, kept, (size_t)(text + size - kept));
   }
   free(text);
}

/* ---- Interface ---- */

struct history_file *history_open(size_t lines_max, struct history_problem *problem)
{
   char path[PATH_MAX];
   problem->text[0] = '\0';
   if (!choose_path(path))
      return NULL;
   int file = open_locked(path);
   if (file < 0) {
      refuse(problem, path, strerror(errno));
      return NULL;
   }
   struct history_file *history = NULL;
   if (is_history(file, path, problem)) {
      history = calloc(1, sizeof *history);
      if (!history || !realpath(path, history->path)) {
         refuse(problem, path, strerror(errno));
         free(history);
         history = NULL;
      }
   }
   if (history)
      cut_down(file, history->path, lines_max);
   close(file);
   return history;
}

/* libedit's encoding: all but printable ASCII as \ooo. */
static char *encode(const char *line, size_t *size)
{
   char *text = malloc(4 * strlen(line) + 2);
   char *out = text;
   for (const unsigned char *c = (const unsigned char *)line; text && *c; c++) {
      if (*c > ' ' && *c < 0x7F && *c != '\\')
         *out++ = (char)*c;
      else
         out += sprintf(out, "\\%03o", *c);
   }
   if (!text)
      return NULL;
   *out++ = '\n';
   *size = (size_t)(out - text);
   return text;
}

bool history_append(struct history_file *history, const char *line)
{
   size_t size;
   struct history_problem problem;
   char *text = encode(line, &size);
   int file = text ? open_locked(history->path) : -1;
   bool good = file >= 0 && is_history(file, history->path, &problem) && end_line(file) &&
               write_all(file, text, size);
   if (file >= 0)
      good = close(file) == 0 && good;
   free(text);
   return good;
}
