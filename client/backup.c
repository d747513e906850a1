/* backup: receives the data as a file. The file gets its name once it is complete, durable and was
 * read back, so that whatever happens an older one stays as it was. */
#include "client/backup_file.h"
#include "client/commands.h"
#include "client/progress.h"
#include "client/words.h"
#include "core/support/size.h"

#include <inttypes.h>
#include <kvstore/v1/admin.pb-c.h>
#include <string.h>

#define RATE_OPTION "--rate="

struct transfer {
   struct backup_file *file;
   struct progress progress;
   uint64_t bytes, total_bytes, version;
   bool complete;
   uint8_t checksum[BACKUP_DIGEST_SIZE];
};

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
   progress_show(&transfer->progress, transfer->bytes, transfer->total_bytes, "at most ");
   return backup_file_write(transfer->file, session_bytes(piece->data), status);
}

static int receive(struct session *session, const char *path, uint64_t rate)
{
   struct kv_status status;
   struct transfer transfer = {0};
   progress_begin(&transfer.progress);
   if (backup_file_create(path, &transfer.file, &status) != KV_OK)
      return session_fail_local(session, "%s", status.text);
   Kvstore__V1__BackupRequest request = KVSTORE__V1__BACKUP_REQUEST__INIT;
   request.rate_bytes_per_second = rate;
   enum kv_code code = session_stream(session,
                                      SESSION_REQUEST(SESSION_ADMIN "Backup", SESSION_SLOW, request,
                                                      kvstore__v1__backup_response__descriptor),
                                      take_piece, &transfer, &status);
   progress_end(&transfer.progress);
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
