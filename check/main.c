/*
 * kvstore-check: verifies a data directory without a server, and writes repaired copies. It never
 * changes what it looks at.
 */
#include "check/print.h"
#include "check/recover.h"
#include "check/shown.h"
#include "check/survey.h"
#include "core/support/log.h"
#include "core/support/standard_files.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

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
       "usage: kvstore-check [--json] DIR\n"
       "       kvstore-check [--json] --recover=prefix [--output COPY] DIR\n"
       "\n"
       "Verifies the data directory DIR without a server and changes nothing in it: each file, "
       "and\n"
       "the state that a start would reach.\n"
       "\n"
       "  --json            print the report as JSON\n"
       "  --recover=prefix  also write a repaired copy that a server starts on. It holds the "
       "newest\n"
       "                    sound snapshot and the log up to the first damage or gap; what is "
       "given\n"
       "                    up is reported\n"
       "  --output COPY     where the copy goes; it must not exist. Default: DIR.recovered\n"
       "  --help, --version\n"
       "\n"
       "Exit code: 0 sound (with --recover: the copy is written), 1 damage found, 2 usage error,\n"
       "in use by a server, or unreadable.\n",
       stdout);
}

static int misuse(const char *what)
{
   fprintf(stderr, "kvstore-check: %s\nTry: kvstore-check --help\n", what);
   return EXIT_CANNOT;
}

/* What getopt_long found wrong. */
static int misuse_option(const char *option, const char *why)
{
   fputs("kvstore-check: ", stderr);
   shown_print(stderr, option);
   fprintf(stderr, " %s\nTry: kvstore-check --help\n", why);
   return EXIT_CANNOT;
}

static int fail(const struct kv_status *status)
{
   fputs("kvstore-check: ", stderr);
   shown_print(stderr, status->text);
   fputc('\n', stderr);
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

static enum kv_code recover(const struct request *request,
                            const struct kv_data_directory *directory, const struct survey *survey,
                            struct kv_status *status)
{
   char *output = output_of(request, directory);
   if (!output)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
   enum kv_code code = recover_prefix(directory, survey, output, status);
   free(output);
   return code;
}

static int exit_code_of(enum verdict verdict)
{
   return verdict == VERDICT_SOUND     ? EXIT_SOUND
          : verdict == VERDICT_DAMAGED ? EXIT_DAMAGED
                                       : EXIT_CANNOT;
}

static int report(const struct request *request, const struct kv_data_directory *directory,
                  const struct survey *survey)
{
   struct kv_status status;
   int result = exit_code_of(survey->verdict);
   enum kv_code recovered = KV_OK;
   if (request->recover)
      recovered = recover(request, directory, survey, &status);
   if (request->json) {
      json_dumpf(survey->report, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
      putchar('\n');
   } else {
      print_report(stdout, survey->report);
   }
   if (recovered != KV_OK)
      return fail(&status);
   return request->recover ? EXIT_SOUND : result;
}

static int run(const struct request *request)
{
   struct kv_data_directory *directory;
   struct kv_status status;
   if (kv_data_directory_open_to_read(request->directory, &directory, &status) != KV_OK)
      return fail(&status);
   struct survey survey;
   int result = survey_make(directory, &survey, &status) == KV_OK
                    ? report(request, directory, &survey)
                    : fail(&status);
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
            return misuse("--recover knows only \"prefix\"");
         request.recover = true;
         break;
      case 'o':
         if (*optarg == '\0')
            return misuse("--output needs a path for the copy");
         request.output = optarg;
         break;
      case 'h':
         print_help();
         return EXIT_SOUND;
      case 'v':
         puts("kvstore-check " KVSTORE_VERSION);
         return EXIT_SOUND;
      case ':':
         return misuse_option(argv[optind - 1], "needs a value");
      default:
         return misuse_option(argv[optind - 1], "is not an option here");
      }
   }
   if (optind + 1 != argc || *argv[optind] == '\0')
      return misuse("name one data directory");
   if (request.output && !request.recover)
      return misuse("--output goes with --recover=prefix");
   request.directory = argv[optind];
   /* What a load has to say stands in the report. */
   kv_log_set_level(KV_LOG_ERROR);
   return run(&request);
}
