/* restore: sends a backup file, which the server puts in place of its data. */
#include "client/commands.h"
#include "client/options.h"
#include "client/print.h"
#include "client/progress.h"
#include "core/support/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <kvstore/v1/admin.pb-c.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a message. */
#define PIECE_SIZE ((size_t)256 * 1024)
/* How often a wait for standard input looks for ^C. */
#define INTERRUPT_CHECK_MS 50
#define MS_PER_S 1000

struct upload {
   struct session *session;
   int fd;
   const char *name; /* for messages */
   uint64_t bytes, total;
   struct progress progress;
   Kvstore__V1__RestoreRequest request;
   bool begun;
   uint8_t piece[PIECE_SIZE];
};

/* False at ^C. */
static bool await_input(const struct upload *upload)
{
   struct pollfd input = {.fd = upload->fd, .events = POLLIN};
   while (poll(&input, 1, INTERRUPT_CHECK_MS) == 0)
      if (connection_interrupted(upload->session->connection))
         return false;
   return true;
}

/* A piece as full as can be; less is the end. */
static enum kv_code read_piece(struct upload *upload, size_t *size, struct kv_status *status)
{
   *size = 0;
   while (*size < PIECE_SIZE) {
      if (!await_input(upload))
         return kv_fail(status, KV_CANCELLED, "interrupted; nothing has changed");
      ssize_t got = read(upload->fd, upload->piece + *size, PIECE_SIZE - *size);
      if (got < 0 && errno == EINTR)
         continue;
      if (got < 0)
         return kv_fail_errno(status, errno, "cannot read %s", upload->name);
      if (got == 0)
         break;
      *size += (size_t)got;
   }
   return KV_OK;
}

/* The first message goes even when the file is empty: it has the questions. */
static enum kv_code next(void *context, bool *last, struct kv_status *status)
{
   struct upload *upload = context;
   size_t size;
   if (read_piece(upload, &size, status) != KV_OK)
      return status->code;
   *last = upload->begun && size == 0;
   upload->begun = true;
   upload->request.data.data = upload->piece;
   upload->request.data.len = size;
   upload->bytes += size;
   if (*last)
      progress_say(&upload->progress, "sent; the server checks and loads it");
   else
      progress_show(&upload->progress, upload->bytes, upload->total, "");
   return KV_OK;
}

/* How long ago that was, in the largest unit that fits. */
static void print_age(FILE *out, int64_t unix_ms)
{
   static const struct {
      int64_t seconds;
      const char *name;
   } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
   int64_t seconds = (kv_clock_unix_ms() - unix_ms) / MS_PER_S;
   size_t i = 0;
   while (i < sizeof units / sizeof *units - 1 && seconds < units[i].seconds)
      i++;
   fprintf(out, "%" PRId64 " %s", seconds > 0 ? seconds / units[i].seconds : 0, units[i].name);
}

static void print(FILE *out, const Kvstore__V1__RestoreResponse *answer, bool validated)
{
   fprintf(out, "%s %" PRIu64 " keys, %" PRIu64 " bytes: version %" PRIu64 " of a store in mode ",
           validated ? "sound:" : "restored", answer->keys, answer->bytes, answer->backup_version);
   print_plain(out, session_bytes(answer->plugin));
   fputs(", ", out);
   print_age(out, answer->created_unix_ms);
   fputs(" old\n", out);
   if (validated && answer->replaced_keys > 0)
      fprintf(out, "a restore would replace %" PRIu64 " keys and needs --replace-existing\n",
              answer->replaced_keys);
   else if (!validated)
      fprintf(out, "in place of %" PRIu64 " keys; the store goes on from version %" PRIu64 "\n",
              answer->replaced_keys, answer->version);
}

static int send_file(struct session *session, struct upload *upload)
{
   struct kv_status status;
   ProtobufCMessage *answer;
   const struct session_upload what = {SESSION_ADMIN "Restore",
                                       &kvstore__v1__restore_response__descriptor,
                                       &upload->request.base, next, upload};
   progress_begin(&upload->progress);
   enum kv_code code = session_upload(session, &what, &answer, &status);
   progress_end(&upload->progress);
   if (code != KV_OK)
      return session_report(session, code, &status);
   print(session->out, (const Kvstore__V1__RestoreResponse *)answer, upload->request.validate_only);
   protobuf_c_message_free_unpacked(answer, NULL);
   return EXIT_DONE;
}

static enum kv_code open_file(struct upload *upload, const char *path, struct kv_status *status)
{
   struct stat file;
   bool standard_input = strcmp(path, "-") == 0;
   upload->name = standard_input ? "standard input" : path;
   upload->fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
   if (upload->fd < 0)
      return kv_fail_errno(status, errno, "cannot open %s", path);
   if (standard_input && isatty(STDIN_FILENO))
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "a backup is no text that can be typed; redirect standard input");
   if (fstat(upload->fd, &file) != 0)
      return kv_fail_errno(status, errno, "cannot look at %s", path);
   if (S_ISDIR(file.st_mode))
      return kv_fail_errno(status, EISDIR, "cannot read %s", path);
   if (S_ISREG(file.st_mode))
      upload->total = (uint64_t)file.st_size;
   return KV_OK;
}

static int restore(struct session *session, const char *path, bool validate_only,
                   bool replace_existing)
{
   struct kv_status status;
   struct upload *upload = malloc(sizeof *upload);
   if (!upload)
      return session_fail(session, KV_RESOURCE_EXHAUSTED, "out of memory");
   *upload = (struct upload){.session = session, .fd = -1};
   kvstore__v1__restore_request__init(&upload->request);
   upload->request.validate_only = validate_only;
   upload->request.replace_existing = replace_existing;
   int result = open_file(upload, path, &status) == KV_OK
                    ? send_file(session, upload)
                    : session_fail_local(session, "%s", status.text);
   if (upload->fd > STDIN_FILENO)
      close(upload->fd);
   free(upload);
   return result;
}

int command_restore(struct session *session, const struct kv_slice *arguments, size_t count)
{
   char path[PATH_MAX];
   struct kv_slice file = {NULL, 0};
   struct options options;
   options_begin(&options, "restore", arguments, count);
   for (int option; (option = options_next(&options)) != OPTIONS_END;) {
      if (option == OPTIONS_WORD && file.data)
         option = options_refuse_word(&options);
      if (option == OPTIONS_WRONG)
         return session_misuse(session, "%s", options.error);
      if (option == OPTIONS_WORD)
         file = options.value;
   }
   if (file.size == 0 || file.size >= sizeof path || memchr(file.data, '\0', file.size))
      return session_misuse(session, "FILE must be a path, or - for standard input");
   memcpy(path, file.data, file.size);
   path[file.size] = '\0';
   return restore(session, path, options_given(&options, OPTION_VALIDATE_ONLY),
                  options_given(&options, OPTION_REPLACE_EXISTING));
}
