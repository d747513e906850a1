#include "bench/load/options.h"

#include "client/address.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_SIZE_MAX ((uint64_t)1 << 30)
#define SECONDS_MAX 1e6
#define CALLS_IN_FLIGHT_MAX 1000000
#define DEFAULT_DURATION_NS 10000000000u

enum flag {
   ADDRESS = 'a',
   CONNECTIONS = 'c',
   STREAMS = 's',
   DURATION = 'd',
   REQUESTS = 'n',
   MIX = 256,
   BATCH,
   SCAN,
   KEYS,
   DISTRIBUTION,
   VALUE_SIZE,
   SEED,
   FILL,
   THREADS,
   WARM_UP,
   RATE,
   TIMEOUT,
   INTERVAL,
   JSON,
   CSV,
   SET_METHOD,
   GET_METHOD,
   VERSION
};

void options_print_help(FILE *file)
{
   fputs("kvstore-bench: loads a kvstore server and measures rate and latency\n\n"
         "Usage: kvstore-bench [OPTIONS]\n\n"
         "  -a, --address ADDR     server, HOST:PORT or unix:PATH (default $KVSTORE_SERVER_ADDR,\n"
         "                         " ADDRESS_DEFAULT ")\n" CREDENTIALS_HELP "\n"
         "Workload\n"
         "  --mix KIND=N[,...]     weights of set, get and del (default set=50,get=50)\n"
         "  --batch N              send Batch calls of N operations instead of single calls\n"
         "  --scan[=keys]          scan all entries instead, or only the keys\n"
         "  --keys N               size of the key space (default 100000)\n"
         "  --distribution NAME    uniform, zipfian or sequential (default uniform)\n"
         "  --value-size N[-MAX]   size of a value in bytes (default 100)\n"
         "  --fill                 set every key once before measuring\n"
         "  --seed N               random seed (default 1)\n\n"
         "Concurrency\n"
         "  -c, --connections N    connections (default 8)\n"
         "  -s, --streams N        calls in flight on each connection (default 16)\n"
         "  --threads N            generator threads (default: processors, at most connections)\n"
         "  --rate N               open loop: N calls a second at fixed times, latency measured\n"
         "                         from when a call was due (default: closed loop)\n"
         "  --timeout SECONDS      deadline of each call (default 60)\n\n"
         "Length\n"
         "  -d, --duration SECONDS length of the measurement (default 10)\n"
         "  -n, --requests N       stop after N calls instead; 0 with --fill only fills\n"
         "  --warm-up SECONDS      load before the measurement (default 0)\n\n"
         "Output\n"
         "  --json                 print the result as JSON\n"
         "  --csv FILE             write one row per interval\n"
         "  --interval SECONDS     length of an interval (default 1)\n"
         "  -h, --help             print this help and exit\n"
         "  --version              print the version and exit\n\n"
         "Other servers (key in field 1, value in field 2 of the request)\n"
         "  --set-method NAME      (default /kvstore.KeyValueStore/Set)\n"
         "  --get-method NAME      (default /kvstore.KeyValueStore/Get)\n\n"
         "Exit codes: 0 success, 1 a call or operation failed or the server cannot be reached,\n"
         "2 usage error.\n",
         file);
}

/* ---- Values of options ---- */

static bool refuse(const char *what, const char *value, const char *why)
{
   fprintf(stderr, "error: %s \"%s\"%s%s; see --help\n", what, value, why ? " " : "",
           why ? why : "");
   return false;
}

static bool read_integer(const char *text, size_t size, uint64_t minimum, uint64_t maximum,
                         uint64_t *number)
{
   char copy[24], *end;
   if (size == 0 || size >= sizeof copy || strspn(text, "0123456789") < size)
      return false;
   memcpy(copy, text, size);
   copy[size] = '\0';
   errno = 0;
   *number = strtoull(copy, &end, 10);
   return errno == 0 && *number >= minimum && *number <= maximum;
}

static bool integer(const char *flag, uint64_t minimum, uint64_t maximum, uint64_t *number)
{
   if (read_integer(optarg, strlen(optarg), minimum, maximum, number))
      return true;
   fprintf(stderr, "error: %s \"%s\" is not a whole number from %ju to %ju; see --help\n", flag,
           optarg, (uintmax_t)minimum, (uintmax_t)maximum);
   return false;
}

static bool count(const char *flag, unsigned maximum, unsigned *number)
{
   uint64_t value = 0;
   bool good = integer(flag, 1, maximum, &value);
   *number = (unsigned)value;
   return good;
}

static bool real(const char *flag, double minimum, double maximum, double *number)
{
   char *end;
   *number = strtod(optarg, &end);
   if (end != optarg && *end == '\0' && *number >= minimum && *number <= maximum)
      return true;
   fprintf(stderr, "error: %s \"%s\" is not a number from %g to %g; see --help\n", flag, optarg,
           minimum, maximum);
   return false;
}

static bool nanoseconds(const char *flag, double minimum, uint64_t *ns)
{
   double seconds = 0;
   bool good = real(flag, minimum, SECONDS_MAX, &seconds);
   *ns = (uint64_t)(seconds * 1e9);
   return good;
}

static bool mix(unsigned weights[WORKLOAD_KINDS])
{
   static const char *const names[WORKLOAD_KINDS] = {"set=", "get=", "del="};
   uint64_t sum = 0;
   memset(weights, 0, WORKLOAD_KINDS * sizeof *weights);
   for (const char *part = optarg; part; part = strchr(part, ',') ? strchr(part, ',') + 1 : NULL) {
      size_t kind = 0;
      while (kind < WORKLOAD_KINDS && strncmp(part, names[kind], 4) != 0)
         kind++;
      uint64_t weight;
      if (kind == WORKLOAD_KINDS ||
          !read_integer(part + 4, strcspn(part, ",") - 4, 0, 1000000, &weight))
         return refuse("--mix", optarg, "is not of the form set=50,get=45,del=5");
      weights[kind] = (unsigned)weight;
      sum += weight;
   }
   return sum > 0 || refuse("--mix", optarg, "has no weight above 0");
}

static bool distribution(enum workload_distribution *distribution)
{
   static const char *const names[] = {"uniform", "zipfian", "sequential"};
   for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      if (strcmp(optarg, names[i]) == 0) {
         *distribution = (enum workload_distribution)i;
         return true;
      }
   }
   return refuse("--distribution", optarg, "is not uniform, zipfian or sequential");
}

static bool value_size(struct workload_plan *plan)
{
   uint64_t low, high;
   size_t size = strcspn(optarg, "-");
   const char *rest = optarg[size] ? optarg + size + 1 : optarg;
   if (!read_integer(optarg, size, 0, VALUE_SIZE_MAX, &low) ||
       !read_integer(rest, strlen(rest), low, VALUE_SIZE_MAX, &high))
      return refuse("--value-size", optarg, "is not of the form N or MIN-MAX, up to 1 GiB");
   plan->value_size_min = (size_t)low;
   plan->value_size_max = (size_t)high;
   return true;
}

static bool scan(struct workload_plan *plan)
{
   plan->scan = true;
   plan->keys_only = optarg != NULL;
   return !optarg || strcmp(optarg, "keys") == 0 || refuse("--scan", optarg, "is not keys");
}

/* One server is measured. */
static bool check_address(const char *text)
{
   struct address_list list;
   struct kv_status status;
   if (address_list_init(&list, text, &status) != KV_OK) {
      fprintf(stderr, "error: %s\n", status.text);
      return false;
   }
   size_t count = list.count;
   address_list_deinit(&list);
   return count == 1 || refuse("--address", text, "names several servers; give one");
}

/* ---- All options ---- */

static const struct option flags[] = {
    {"address", required_argument, NULL, ADDRESS},
    {"connections", required_argument, NULL, CONNECTIONS},
    {"streams", required_argument, NULL, STREAMS},
    {"duration", required_argument, NULL, DURATION},
    {"requests", required_argument, NULL, REQUESTS},
    {"mix", required_argument, NULL, MIX},
    {"batch", required_argument, NULL, BATCH},
    {"scan", optional_argument, NULL, SCAN},
    {"keys", required_argument, NULL, KEYS},
    {"distribution", required_argument, NULL, DISTRIBUTION},
    {"value-size", required_argument, NULL, VALUE_SIZE},
    {"seed", required_argument, NULL, SEED},
    {"fill", no_argument, NULL, FILL},
    {"threads", required_argument, NULL, THREADS},
    {"warm-up", required_argument, NULL, WARM_UP},
    {"rate", required_argument, NULL, RATE},
    {"timeout", required_argument, NULL, TIMEOUT},
    {"interval", required_argument, NULL, INTERVAL},
    {"json", no_argument, NULL, JSON},
    {"csv", required_argument, NULL, CSV},
    {"set-method", required_argument, NULL, SET_METHOD},
    {"get-method", required_argument, NULL, GET_METHOD},
    CREDENTIALS_OPTIONS,
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, VERSION},
    {0},
};

static bool read_workload(struct options *options, int flag)
{
   struct workload_plan *plan = &options->load.plan;
   uint64_t number = 0;
   bool good;
   switch (flag) {
   case MIX:
      return mix(plan->weights);
   case BATCH:
      good = integer("--batch", 1, OPTIONS_BATCH_MAX, &number);
      plan->batch = (size_t)number;
      return good;
   case SCAN:
      return scan(plan);
   case KEYS:
      return integer("--keys", 1, WORKLOAD_KEYS_MAX, &plan->keys);
   case DISTRIBUTION:
      return distribution(&plan->distribution);
   case VALUE_SIZE:
      return value_size(plan);
   default:
      return integer("--seed", 0, UINT64_MAX, &plan->seed);
   }
}

static bool read_flag(struct options *options, int flag)
{
   if (credentials_take_option(&options->credentials, flag, optarg))
      return true;
   struct driver_load *load = &options->load;
   struct driver_target *target = &options->target;
   double seconds = 0;
   switch (flag) {
   case ADDRESS:
      target->address = optarg;
      return true;
   case CONNECTIONS:
      return count("--connections", OPTIONS_CONNECTIONS_MAX, &target->connections);
   case STREAMS:
      return count("--streams", OPTIONS_STREAMS_MAX, &target->streams);
   case THREADS:
      return count("--threads", OPTIONS_CONNECTIONS_MAX, &target->threads);
   case REQUESTS:
      options->by_requests = true;
      return integer("--requests", 0, UINT64_MAX, &load->requests);
   case DURATION:
      return nanoseconds("--duration", 0.001, &load->duration_ns);
   case WARM_UP:
      return nanoseconds("--warm-up", 0, &load->warm_up_ns);
   case INTERVAL:
      return nanoseconds("--interval", 0.001, &load->interval_ns);
   case RATE:
      return real("--rate", 0.001, 1e9, &load->rate);
   case TIMEOUT:
      if (!real("--timeout", 0.001, SECONDS_MAX, &seconds))
         return false;
      target->timeout_ms = (int64_t)(seconds * 1000);
      return true;
   case CSV:
      options->csv = optarg;
      return true;
   case SET_METHOD:
      target->methods[WORKLOAD_CALL_SET] = optarg;
      return true;
   case GET_METHOD:
      target->methods[WORKLOAD_CALL_GET] = optarg;
      return true;
   case FILL:
      return options->fill = true;
   case JSON:
      return options->json = true;
   case 'h':
      return options->help = true;
   case VERSION:
      return options->version = true;
   default:
      return read_workload(options, flag);
   }
}

/* ---- All together ---- */

static void set_defaults(struct options *options)
{
   const char *address = getenv("KVSTORE_SERVER_ADDR");
   *options = (struct options){
       .target = {.address = address && address[0] ? address : ADDRESS_DEFAULT,
                  .connections = 8,
                  .streams = 16,
                  .methods = {[WORKLOAD_CALL_SET] = "/kvstore.KeyValueStore/Set",
                              [WORKLOAD_CALL_GET] = "/kvstore.KeyValueStore/Get",
                              [WORKLOAD_CALL_DEL] = "/kvstore.KeyValueStore/Del",
                              [WORKLOAD_CALL_BATCH] = "/kvstore.KeyValueStore/Batch",
                              [WORKLOAD_CALL_SCAN] = "/kvstore.KeyValueStore/Scan"},
                  .timeout_ms = 60000},
       .load = {.plan = {.weights = {[WORKLOAD_SET] = 50, [WORKLOAD_GET] = 50},
                         .keys = 100000,
                         .value_size_min = 100,
                         .value_size_max = 100,
                         .seed = 1},
                .interval_ns = 1000000000},
   };
   credentials_read_environment(&options->credentials);
}

/* Checks what concerns several options, and fills in what depends on others. */
static bool check(struct options *options)
{
   struct driver_target *target = &options->target;
   struct driver_load *load = &options->load;
   if (!check_address(target->address))
      return false;
   if ((double)target->connections * target->streams > CALLS_IN_FLIGHT_MAX) {
      fprintf(stderr, "error: --connections times --streams is above %d calls in flight\n",
              CALLS_IN_FLIGHT_MAX);
      return false;
   }
   if (options->by_requests && load->requests == 0 && !options->fill)
      return refuse("--requests", "0", "leaves nothing to do without --fill");
   if (!options->by_requests && load->duration_ns == 0)
      load->duration_ns = DEFAULT_DURATION_NS;
   long processors = sysconf(_SC_NPROCESSORS_ONLN);
   if (target->threads == 0)
      target->threads = processors > 0 ? (unsigned)processors : 1;
   if (target->threads > target->connections)
      target->threads = target->connections;
   return true;
}

bool options_read(struct options *options, int argc, char **argv)
{
   set_defaults(options);
   opterr = 0;
   for (int flag; (flag = getopt_long(argc, argv, ":a:c:s:d:n:h", flags, NULL)) != -1;) {
      if (flag == ':')
         return refuse("option", argv[optind - 1], "needs a value");
      if (flag == '?')
         return refuse("unknown option", argv[optind - 1], NULL);
      if (!read_flag(options, flag))
         return false;
   }
   if (optind < argc)
      return refuse("unexpected argument", argv[optind], NULL);
   return options->help || options->version || check(options);
}
