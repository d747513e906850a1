/* backup: receives the data as a file. The file gets its name once it is complete, durable and was
 * read back, so that whatever happens an older one stays as it was. */
#include "client/backup_file.h"
#include "client/commands.h"
#include "client/words.h"
#include "core/support/clock.h"
#include "core/support/size.h"

#include <inttypes.h>
#include <kvstore/v1/admin.pb-c.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_INTERVAL_MS 500
#define RATE_OPTION "--rate="
#define MS_PER_S 1000
#define MIB 1048576.0

struct transfer {
   struct backup_file *file;
   bool shown;                  /* progress is */
   uint64_t began_ms, shown_ms; /* monotonic */
   uint64_t bytes, total_bytes, version;
   bool complete;
   uint8_t checksum[BACKUP_DIGEST_SIZE];
};

static void show_progress(struct transfer *transfer)
{
   uint64_t now_ms = kv_clock_monotonic_ms(), elapsed_ms = now_ms - transfer->began_ms;
   if (!transfer->shown || now_ms - transfer->shown_ms < PROGRESS_INTERVAL_MS)
      return;
   transfer->shown_ms = now_ms;
   double rate = (double)transfer->bytes / (double)elapsed_ms * MS_PER_S;
   uint64_t left =
       transfer->total_bytes > transfer->bytes ? transfer->total_bytes - transfer->bytes : 0;
   fprintf(stderr, "\r%.1f of at most %.1f MiB, %.1f MiB/s, %.0f s left\033[K",
           (double)transfer->bytes / MIB, (double)transfer->total_bytes / MIB, rate / MIB,
           rate > 0 ? (double)left / rate : 0.0);
   fflush(stderr);
}

static void end_progress(const struct transfer *transfer)
{
   if (transfer->shown && transfer->shown_ms > transfer->began_ms)
      fputs("\r\033[K", stderr);
}

static enum kv_code take_piece(void *context, const ProtobufCMessage *answer,
                               struct kv_status *status)
{
   const Kvstore__V1__BackupResponse *piece = (const Kvstore__V1__BackupResponse *)answer;
   struct transfer *transfer = context;
   if (transfer->complete)
      return kv_fail(status, KV_INTERNAL, "the server sent more behind the end of the backup");
   transfer->bytes += piece->data.len;
   transfer->total_bytes = piece->total_bytes;
   transfer->version = piece->version;
   if (piece->checksum.len == sizeof transfer->checksum) {
      transfer->complete = true;
      memcpy(transfer->checksum, piece->checksum.data, sizeof transfer->checksum);
   }
   show_progress(transfer);
   return backup_file_write(transfer->file, session_bytes(piece->data), status);
}

static int receive(struct session *session, const char *path, uint64_t rate)
{
   struct kv_status status;
   struct transfer transfer = {.shown = isatty(STDERR_FILENO) == 1,
                               .began_ms = kv_clock_monotonic_ms()};
   transfer.shown_ms = transfer.began_ms;
   if (backup_file_create(path, &transfer.file, &status) != KV_OK)
      return session_fail(session, status.code, "%s", status.text);
   Kvstore__V1__BackupRequest request = KVSTORE__V1__BACKUP_REQUEST__INIT;
   request.rate_bytes_per_second = rate;
   enum kv_code code = session_stream(session,
                                      SESSION_REQUEST(SESSION_ADMIN "Backup", SESSION_SLOW, request,
                                                      kvstore__v1__backup_response__descriptor),
                                      take_piece, &transfer, &status);
   end_progress(&transfer);
   if (code == KV_OK && !transfer.complete)
      code = kv_fail(&status, KV_DATA_LOSS, "the backup ended before its checksum; try again");
   if (code == KV_OK)
      code = backup_file_finish(transfer.file, transfer.checksum, &status);
   backup_file_close(transfer.file);
   if (code != KV_OK)
      return session_report(session, code, &status);
   fprintf(strcmp(path, "-") == 0 ? stderr : session->out,
           "version %" PRIu64 ", %" PRIu64 " bytes\n", transfer.version, transfer.bytes);
   return EXIT_DONE;
}

int command_backup(struct session *session, const struct kv_slice *arguments, size_t count)
{
   char path[BACKUP_PATH_SIZE], text[32];
   uint64_t rate = 0;
   if (count == 2) {
      const size_t prefix = strlen(RATE_OPTION);
      if (arguments[1].size <= prefix || memcmp(arguments[1].data, RATE_OPTION, prefix) != 0 ||
          arguments[1].size - prefix >= sizeof text)
         return session_misuse(session, "after FILE only --rate=SIZE is known");
      snprintf(text, sizeof text, "%.*s", (int)(arguments[1].size - prefix),
               (const char *)arguments[1].data + prefix);
      if (!kv_size_parse(text, &rate))
         return session_misuse(session, "--rate takes bytes a second, such as 500K or 20M");
   }
   if (arguments[0].size == 0 || arguments[0].size >= sizeof path ||
       memchr(arguments[0].data, '\0', arguments[0].size))
      return session_misuse(session, "FILE must be a path, or - for standard output");
   memcpy(path, arguments[0].data, arguments[0].size);
   path[arguments[0].size] = '\0';
   return receive(session, path, rate);
}
