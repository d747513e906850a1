/*
 * kvstore-plugin-check: does a plug-in keep what the ABI and its own promise say?
 *
 * This file reads the command line, runs the cases one after the other and reports. The options
 * that begin with --run and those beside them are how it starts itself; they are not for people.
 */
#include "core/support/standard_files.h"
#include "sdk/check/report.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Sanitizers must come first among the libraries, so nothing can be put in front. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FAULTS_POSSIBLE false
#else
#define FAULTS_POSSIBLE true
#endif

enum { EXIT_USAGE = 2, ROUNDS_DEFAULT = 16, ROUNDS_MAX = 100000 };

static const char usage[] =
    "kvstore-plugin-check: checks a persistence plug-in against the ABI\n\n"
    "Usage: kvstore-plugin-check [OPTIONS] FILE.so\n\n"
    "Runs each case in a process of its own.\n\n"
    "  --list               list the cases and what each one checks\n"
    "  --case NAME          run only this case; repeatable\n"
    "  --option NAME=VALUE  option of the plug-in; repeatable\n"
    "  --seed N             random seed, to repeat a run; each run prints its own\n"
    "  --rounds N           how often the cases that kill a worker repeat (default 16)\n"
    "  --timeout SECONDS    limit of each case (default: the case's own)\n"
    "  --json FILE          write the results to FILE; - is standard output\n"
    "  --keep               keep the files of failed cases\n"
    "  -h, --help           print this help and exit\n"
    "  --version            print the version and exit\n\n"
    "Exit codes: 0 all cases passed, 1 a case failed, 2 usage error, or it could not start.\n";

struct arguments {
   struct check_subject subject;
   bool list, keep, chosen[64];
   size_t chosen_count;
   unsigned timeout;
   const char *json;
   /* Of the processes that it starts. */
   const char *run_case, *run_worker, *worker_argument;
   int result_fd;
};

__attribute__((format(printf, 1, 2), noreturn)) static void fail_usage(const char *format, ...)
{
   va_list values;
   fprintf(stderr, "kvstore-plugin-check: ");
   va_start(values, format);
   vfprintf(stderr, format, values);
   va_end(values);
   fprintf(stderr, "; see kvstore-plugin-check --help\n");
   exit(EXIT_USAGE);
}

static uint64_t number_of(const char *text, uint64_t maximum)
{
   char *end;
   errno = 0;
   uint64_t number = strtoull(text, &end, 10);
   if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number > maximum)
      fail_usage("\"%s\" is not a number that fits here", text);
   return number;
}

static void add_option(struct check_subject *subject, char *text)
{
   char *equals = strchr(text, '=');
   if (!equals || equals == text)
      fail_usage("--option takes NAME=VALUE, not \"%s\"", text);
   if (subject->option_count == KV_OPTION_COUNT_MAX)
      fail_usage("--option %s is one too many", text);
   *equals = '\0';
   subject->options[subject->option_count++] = (struct kv_mode_option){text, equals + 1};
}

static void choose_case(struct arguments *arguments, const char *name)
{
   const struct check_case *found = check_find(name);
   if (!found)
      fail_usage("unknown case \"%s\"; --list shows all cases", name);
   arguments->chosen[found - check_cases] = true;
   arguments->chosen_count++;
}

static void take_file(struct check_subject *subject, const char *path)
{
   char real[PATH_MAX];
   if (!realpath(path, real)) {
      fprintf(stderr, "kvstore-plugin-check: %s: %s\n", path, strerror(errno));
      exit(EXIT_USAGE);
   }
   /* The server looks it up by name in a directory, and follows no link out of it. */
   char *slash = strrchr(real, '/');
   size_t name_size = strlen(slash + 1);
   if (name_size <= 3 || strcmp(slash + 1 + name_size - 3, ".so") != 0 ||
       name_size - 3 >= sizeof subject->name)
      fail_usage("\"%s\" is not named NAME.so", path);
   snprintf(subject->file, sizeof subject->file, "%s", real);
   memcpy(subject->name, slash + 1, name_size - 3);
   *slash = '\0';
   snprintf(subject->directory, sizeof subject->directory, "%s", slash == real ? "/" : real);
}

enum {
   OPTION_RUN_CASE = 256,
   OPTION_RUN_WORKER,
   OPTION_WORKER_ARGUMENT,
   OPTION_RESULT_FD,
   OPTION_WORKSPACE
};

static const struct option long_options[] = {
    {"list", no_argument, NULL, 'l'},
    {"case", required_argument, NULL, 'c'},
    {"option", required_argument, NULL, 'o'},
    {"seed", required_argument, NULL, 's'},
    {"rounds", required_argument, NULL, 'r'},
    {"timeout", required_argument, NULL, 't'},
    {"json", required_argument, NULL, 'j'},
    {"keep", no_argument, NULL, 'k'},
    {"version", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"run-case", required_argument, NULL, OPTION_RUN_CASE},
    {"run-worker", required_argument, NULL, OPTION_RUN_WORKER},
    {"worker-argument", required_argument, NULL, OPTION_WORKER_ARGUMENT},
    {"result-fd", required_argument, NULL, OPTION_RESULT_FD},
    {"workspace", required_argument, NULL, OPTION_WORKSPACE},
    {0}};

static void take_argument(struct arguments *arguments, int option)
{
   struct check_subject *subject = &arguments->subject;
   switch (option) {
   case 'l':
      arguments->list = true;
      break;
   case 'c':
      choose_case(arguments, optarg);
      break;
   case 'o':
      add_option(subject, optarg);
      break;
   case 's':
      subject->seed = number_of(optarg, UINT64_MAX);
      break;
   case 'r':
      subject->rounds = (unsigned)number_of(optarg, ROUNDS_MAX);
      break;
   case 't':
      arguments->timeout = (unsigned)number_of(optarg, 86400);
      break;
   case 'j':
      arguments->json = optarg;
      break;
   case 'k':
      arguments->keep = true;
      break;
   case OPTION_RUN_CASE:
      arguments->run_case = optarg;
      break;
   case OPTION_RUN_WORKER:
      arguments->run_worker = optarg;
      break;
   case OPTION_WORKER_ARGUMENT:
      arguments->worker_argument = optarg;
      break;
   case OPTION_RESULT_FD:
      arguments->result_fd = (int)number_of(optarg, INT_MAX);
      break;
   case OPTION_WORKSPACE:
      snprintf(subject->workspace, sizeof subject->workspace, "%s", optarg);
      break;
   case 'v':
      printf("kvstore-plugin-check %s, ABI %d.%d\n", KVSTORE_VERSION, KVS_ABI_MAJOR, KVS_ABI_MINOR);
      exit(0);
   case 'h':
      fputs(usage, stdout);
      exit(0);
   default:
      fputs(usage, stderr);
      exit(EXIT_USAGE);
   }
}

static void parse(struct arguments *arguments, int argc, char **argv)
{
   for (int option; (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1;)
      take_argument(arguments, option);
   if (arguments->list)
      return;
   if (optind + 1 != argc)
      fail_usage("%s", optind == argc ? "no plug-in file is given" : "give one plug-in file");
   take_file(&arguments->subject, argv[optind]);
}

/* Beside the program, in the build tree as where it is installed. */
static const char *find_fault_library(char path[PATH_MAX])
{
   char program[PATH_MAX];
   ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
   if (!FAULTS_POSSIBLE || size <= 0)
      return NULL;
   program[size] = '\0';
   *strrchr(program, '/') = '\0';
   int length = snprintf(path, PATH_MAX, "%s/%s", program, KVSTORE_FAULT_LIBRARY);
   return length < PATH_MAX && access(path, R_OK) == 0 ? path : NULL;
}

static bool is_chosen(const struct arguments *arguments, size_t i)
{
   return arguments->chosen_count == 0 || arguments->chosen[i];
}

/* Without a descriptor there is nothing more to be said. */
static bool ends_all(const struct report *report)
{
   return report->result.verdict == RUN_FAILED && strcmp(report->chosen->name, "descriptor") == 0;
}

static int write_json(const struct arguments *arguments, const struct report *reports)
{
   bool standard = strcmp(arguments->json, "-") == 0;
   FILE *file = standard ? stdout : fopen(arguments->json, "w");
   if (file)
      report_json(file, &arguments->subject, reports, check_case_count);
   if (!file || ferror(file) || (!standard && fclose(file) != 0)) {
      fprintf(stderr, "kvstore-plugin-check: cannot write %s: %s\n", arguments->json,
              strerror(errno));
      return EXIT_USAGE;
   }
   return 0;
}

static int run_all(const struct arguments *arguments)
{
   static struct report reports[sizeof arguments->chosen];
   const struct check_subject *subject = &arguments->subject;
   char library[PATH_MAX];
   const struct run_config config = {.subject = subject,
                                     .fault_library = find_fault_library(library),
                                     .seconds = arguments->timeout,
                                     .keep = arguments->keep};
   FILE *text = arguments->json && strcmp(arguments->json, "-") == 0 ? stderr : stdout;
   fprintf(text, "%s, checked by kvstore-plugin-check %s (ABI %d.%d), seed %" PRIu64 "\n",
           subject->file, KVSTORE_VERSION, KVS_ABI_MAJOR, KVS_ABI_MINOR, subject->seed);
   for (size_t i = 0; i < check_case_count; i++) {
      if (!is_chosen(arguments, i))
         continue;
      reports[i].chosen = &check_cases[i];
      run_case(&config, &check_cases[i], &reports[i].result);
      report_case(text, subject, &reports[i]);
      fflush(text);
      if (ends_all(&reports[i])) {
         fputs("the other cases need a descriptor that the server accepts, and were not run\n",
               text);
         break;
      }
   }
   report_summary(text, reports, check_case_count);
   int code = arguments->json ? write_json(arguments, reports) : 0;
   return code ? code : report_exit_code(reports, check_case_count);
}

int main(int argc, char **argv)
{
   if (!kv_standard_files_occupy())
      return EXIT_FAILURE;
   static struct arguments arguments;
   arguments.subject.rounds = ROUNDS_DEFAULT;
   arguments.subject.seed = (uint64_t)time(NULL);
   parse(&arguments, argc, argv);
   if (arguments.list) {
      report_list(stdout);
      return 0;
   }
   if (arguments.run_case)
      check_run(check_find(arguments.run_case), &arguments.subject, arguments.result_fd);
   if (arguments.run_worker)
      check_work(arguments.run_worker, &arguments.subject, arguments.worker_argument,
                 arguments.result_fd);
   return run_all(&arguments);
}
