/*
 * kvstore-check: verifies a data directory without a server, and writes repaired copies. It never
 * changes what it looks at.
 */
#include "check/backup.h"
#include "check/report.h"
#include "check/shown.h"
#include "core/support/log.h"
#include "core/support/standard_files.h"
#include "core/support/uuid.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* As fsck and grep have it. */
enum { EXIT_SOUND = 0, EXIT_DAMAGED = 1, EXIT_CANNOT = 2 };

struct request {
   const char *directory;
   const char *output; /* NULL: beside the directory */
   bool json, recover;
};

static void print_help(void)
{
   fputs(
       "kvstore-check: verifies a data directory without a server, and repairs copies of it\n\n"
       "Usage: kvstore-check [OPTIONS] DIR\n"
       "       kvstore-check backup FILE\n"
       "       kvstore-check restore FILE DIR\n\n"
       "Checks every file of the data directory DIR, and what a start on it would do. Changes\n"
       "nothing in DIR.\n\n"
       "backup verifies a backup file; restore writes its data to DIR, which must not exist or be\n"
       "empty, as a data directory that a server starts on.\n\n"
       "  --json            print the report as JSON\n"
       "  --recover=prefix  write a repaired copy that a server can start on: the newest sound\n"
       "                    snapshot, and the log up to the first damage or gap; the report\n"
       "                    says what is lost\n"
       "  --output COPY     path of the copy, which must not exist (default: DIR.recovered)\n"
       "  -h, --help        print this help and exit\n"
       "  --version         print the version and exit\n\n"
       "Exit codes: 0 sound, or empty (with --recover: the copy is written), 1 damage found,\n"
       "2 usage error, or DIR is in use, unreadable or of an unknown plug-in.\n",
       stdout);
}

static int misuse(const char *before, const char *option, const char *after)
{
   shown_line(stderr, "kvstore-check: %s%s%s", before, option, after);
   fputs("Try: kvstore-check --help\n", stderr);
   return EXIT_CANNOT;
}

static int fail(const struct kv_status *status)
{
   shown_line(stderr, "kvstore-check: %s", status->text);
   return EXIT_CANNOT;
}

/* ---- The work ------------------------------------------------------------------------------ */

/* The path of the copy, allocated; its name does not end in a slash. */
static char *output_of(const struct request *request, const struct kv_data_directory *directory)
{
   char *output = NULL;
   if (request->output) {
      size_t size = strlen(request->output);
      while (size > 1 && request->output[size - 1] == '/')
         size--;
      return strndup(request->output, size);
   }
   if (asprintf(&output, "%s.recovered", kv_data_directory_path(directory)) < 0)
      return NULL;
   return output;
}

static int report(const struct request *request, const struct survey *survey,
                  const struct recovery *recovery, const char *output)
{
   if (!request->json)
      report_text(stdout, survey, recovery, output);
   else if (!report_json(stdout, survey, recovery, output))
      return fail(&(struct kv_status){.text = "out of memory for the report"});
   if (recovery || survey->verdict == VERDICT_SOUND || survey->verdict == VERDICT_EMPTY)
      return EXIT_SOUND;
   return survey->verdict == VERDICT_DAMAGED ? EXIT_DAMAGED : EXIT_CANNOT;
}

/* Prints the report also when no copy could be made. */
static int recover(const struct request *request, const struct kv_data_directory *directory,
                   const struct survey *survey)
{
   struct kv_status status;
   struct recovery recovery;
   char *output = output_of(request, directory);
   if (!output)
      return fail(&(struct kv_status){.text = "out of memory"});
   enum kv_code code = recover_prefix(directory, survey, output, &recovery, &status);
   int result = report(request, survey, code == KV_OK ? &recovery : NULL, output);
   recover_deinit(survey, &recovery);
   free(output);
   return code == KV_OK ? result : fail(&status);
}

static int fail_backup(enum kv_code code, const struct kv_status *status)
{
   int result = fail(status);
   return code == KV_DATA_LOSS ? EXIT_DAMAGED : result;
}

static int check_backup(const char *path)
{
   struct kv_backup_content backup;
   struct kv_status status;
   char uuid[KV_UUID_TEXT_SIZE], made[32];
   enum kv_code code = backup_check(path, &backup, &status);
   int result = EXIT_SOUND;
   if (code == KV_OK) {
      time_t seconds = (time_t)(backup.created_ms / 1000);
      struct tm parts;
      if (!gmtime_r(&seconds, &parts) ||
          strftime(made, sizeof made, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
         made[0] = '\0';
      kv_uuid_format(backup.store_id, uuid);
      shown_line(
          stdout,
          "%s: sound: %llu keys, %llu %sbytes, version %llu, of store %s in mode %s, made %s", path,
          (unsigned long long)(backup.keys - backup.hidden), (unsigned long long)backup.bytes,
          backup.sealed ? "encrypted " : "", (unsigned long long)backup.sequence, uuid,
          backup.active.plugin, made);
   } else {
      result = fail_backup(code, &status);
   }
   kv_backup_content_deinit(&backup);
   return result;
}

static int restore_backup(const char *path, const char *directory)
{
   struct kv_backup_content backup;
   struct kv_status status;
   bool same = true;
   const struct request request = {.output = directory};
   char *output = output_of(&request, NULL);
   if (!output)
      return fail(&(struct kv_status){.text = "out of memory"});
   enum kv_code code = backup_restore(path, output, &backup, &same, &status);
   int result = EXIT_SOUND;
   if (code == KV_OK) {
      shown_line(stdout, "%s: restored %llu keys at version %llu", output,
                 (unsigned long long)(backup.keys - backup.hidden),
                 (unsigned long long)backup.sequence);
      if (!same)
         shown_line(stdout,
                    "The store was in mode %s, which this program cannot write; the copy is in "
                    "mode hybrid. Once a server runs on it: kvstore-cli configure %s",
                    backup.active.plugin, backup.active.plugin);
   } else {
      result = fail_backup(code, &status);
   }
   kv_backup_content_deinit(&backup);
   free(output);
   return result;
}

static int run(const struct request *request)
{
   struct kv_data_directory *directory;
   struct kv_status status;
   if (kv_data_directory_open_to_read(request->directory, &directory, &status) != KV_OK)
      return fail(&status);
   struct survey survey;
   int result;
   if (survey_make(directory, &survey, &status) != KV_OK)
      result = fail(&status);
   else if (request->recover)
      result = recover(request, directory, &survey);
   else
      result = report(request, &survey, NULL, NULL);
   survey_deinit(&survey);
   kv_data_directory_close(directory);
   if (fflush(stdout) != 0 || ferror(stdout)) {
      fputs("kvstore-check: cannot write the report to standard output\n", stderr);
      return EXIT_CANNOT;
   }
   return result;
}

int main(int argc, char **argv)
{
   if (!kv_standard_files_occupy())
      return EXIT_CANNOT;
   static const struct option options[] = {
       {"json", no_argument, NULL, 'j'},         {"recover", required_argument, NULL, 'r'},
       {"output", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},
       {"version", no_argument, NULL, 'v'},      {0}};
   struct request request = {0};
   opterr = 0;
   for (int option; (option = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
      switch (option) {
      case 'j':
         request.json = true;
         break;
      case 'r':
         if (strcmp(optarg, "prefix") != 0)
            return misuse("unknown recovery; use --recover=prefix", "", "");
         request.recover = true;
         break;
      case 'o':
         if (*optarg == '\0')
            return misuse("--output needs a path for the copy", "", "");
         request.output = optarg;
         break;
      case 'h':
         print_help();
         return EXIT_SOUND;
      case 'v':
         puts("kvstore-check " KVSTORE_VERSION);
         return EXIT_SOUND;
      case ':':
         return misuse("option ", argv[optind - 1], " needs a value");
      default:
         return misuse("unknown option ", argv[optind - 1], "");
      }
   }
   bool plain = !request.json && !request.recover && !request.output;
   kv_log_set_level(KV_LOG_ERROR); /* what a load logs is in the report */
   if (plain && optind + 2 == argc && strcmp(argv[optind], "backup") == 0)
      return check_backup(argv[optind + 1]);
   if (plain && optind + 3 == argc && strcmp(argv[optind], "restore") == 0 && *argv[optind + 2])
      return restore_backup(argv[optind + 1], argv[optind + 2]);
   if (optind + 1 != argc || *argv[optind] == '\0')
      return misuse("give one data directory", "", "");
   if (request.output && !request.recover)
      return misuse("--output needs --recover=prefix", "", "");
   request.directory = argv[optind];
   return run(&request);
}
