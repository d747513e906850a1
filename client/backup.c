/* backup: receives the data as a file. The file gets its name once it is complete, durable and was
 * read back, so that whatever happens an older one stays as it was. */
#include "client/backup_file.h"
#include "client/commands.h"
#include "client/options.h"
#include "client/progress.h"
#include "core/support/size.h"

#include <inttypes.h>
#include <kvstore/v1/admin.pb-c.h>
#include <string.h>

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

static int read_backup(struct options *options, struct kv_slice *file, uint64_t *rate)
{
   for (int option; (option = options_next(options)) != OPTIONS_END;) {
      if (option == OPTIONS_WRONG)
         return option;
      if (option == OPTIONS_WORD && file->data)
         return options_refuse_word(options);
      if (option == OPTIONS_WORD)
         *file = options->value;
      else if (!kv_size_parse(options->value.data, rate)) /* words end with a NUL */
         return options_wrong(options, "--rate takes bytes a second, such as 500K or 20M");
   }
   return OPTIONS_END;
}

int command_backup(struct session *session, const struct kv_slice *arguments, size_t count)
{
   char path[BACKUP_PATH_SIZE];
   uint64_t rate = 0;
   struct kv_slice file = {NULL, 0};
   struct options options;
   options_begin(&options, "backup", arguments, count);
   if (read_backup(&options, &file, &rate) == OPTIONS_WRONG)
      return session_misuse(session, "%s", options.error);
   if (file.size == 0 || file.size >= sizeof path || memchr(file.data, '\0', file.size))
      return session_misuse(session, "FILE must be a path, or - for standard output");
   memcpy(path, file.data, file.size);
   path[file.size] = '\0';
   return receive(session, path, rate);
}
