#include "bench/load/options.h"

#include "bench/load/option_values.h"

#include "client/address.h"
#include "client/times.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define METHOD(name) (OPTIONS_SERVICE name)
#define VALUE_SIZE_MAX ((uint64_t)1 << 30)
#define CALLS_IN_FLIGHT_MAX 1000000
#define TTL_SECONDS_MAX 1e10
#define DEFAULT_SCAN_ENTRIES 100
#define DEFAULT_DURATION_NS 10000000000u

enum flag {
   ADDRESS = 'a',
   CONNECTIONS = 'c',
   STREAMS = 's',
   DURATION = 'd',
   REQUESTS = 'n',
   MIX = 256,
   BATCH,
   TRANSACTION,
   SCAN,
   SCAN_LIMIT,
   REVERSE,
   KEYS,
   DISTRIBUTION,
   VALUE_SIZE,
   TTL,
   WATCHERS,
   WATCH_KEYS,
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

/* ---- The workload ---- */

static bool mix(unsigned weights[WORKLOAD_KINDS])
{
   static const char *const names[WORKLOAD_KINDS] = {"set", "get", "del", "incr", "cas", "scan"};
   uint64_t sum = 0;
   memset(weights, 0, WORKLOAD_KINDS * sizeof *weights);
   for (const char *part = optarg; part; part = strchr(part, ',') ? strchr(part, ',') + 1 : NULL) {
      size_t kind = 0;
      size_t size = strcspn(part, "=,");
      while (kind < WORKLOAD_KINDS &&
             (strlen(names[kind]) != size || strncmp(part, names[kind], size) != 0))
         kind++;
      const char *number = part[size] == '=' ? part + size + 1 : "";
      uint64_t weight;
      if (kind == WORKLOAD_KINDS ||
          !option_read_integer(number, strcspn(number, ","), 0, 1000000, &weight))
         return option_refuse(
             "--mix", optarg,
             "is not of the form set=50,get=45,del=5; there are also incr, cas and scan, and for "
             "expiry and watches the options --ttl and --watchers");
      weights[kind] = (unsigned)weight;
      sum += weight;
   }
   return sum > 0 || option_refuse("--mix", optarg, "has no weight above 0");
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
   return option_refuse("--distribution", optarg, "is not uniform, zipfian or sequential");
}

static bool value_size(struct workload_plan *plan)
{
   uint64_t low, high;
   size_t size = strcspn(optarg, "-");
   const char *rest = optarg[size] ? optarg + size + 1 : optarg;
   if (!option_read_integer(optarg, size, 0, VALUE_SIZE_MAX, &low) ||
       !option_read_integer(rest, strlen(rest), low, VALUE_SIZE_MAX, &high))
      return option_refuse("--value-size", optarg, "is not of the form N or MIN-MAX, up to 1 GiB");
   plan->value_size_min = (size_t)low;
   plan->value_size_max = (size_t)high;
   return true;
}

/* A number of seconds, or a duration as kvstore-cli reads it; moves on to its end or the dash. */
static bool take_duration(const char **text, uint64_t *ms)
{
   char *end, reason[TIMES_REASON_SIZE];
   const double seconds = strtod(*text, &end);
   if (end != *text && (*end == '\0' || *end == '-')) {
      if (!(seconds >= 0.001 && seconds <= TTL_SECONDS_MAX))
         return false;
      *ms = (uint64_t)(seconds * 1000 + 0.5);
      *text = end;
      return true;
   }
   const size_t size = strcspn(*text, "-");
   int64_t read;
   if (!times_duration(kv_slice(*text, size), &read, reason) ||
       (double)read > TTL_SECONDS_MAX * 1000)
      return false;
   *ms = (uint64_t)read;
   *text += size;
   return true;
}

static bool ttl(struct workload_plan *plan)
{
   const char *at = optarg;
   bool good = take_duration(&at, &plan->ttl_ms_min);
   plan->ttl_ms_max = plan->ttl_ms_min;
   if (good && *at == '-') {
      at++;
      good = take_duration(&at, &plan->ttl_ms_max);
   }
   return (good && *at == '\0' && plan->ttl_ms_max >= plan->ttl_ms_min) ||
          option_refuse("--ttl", optarg,
                        "is not of the form DURATION or MIN-MAX; 90, 1.5s, 10m and 1h30m are such, "
                        "from 1ms to 1e10 seconds");
}

static bool list(const char *flag, uint64_t maximum, struct workload_plan *plan)
{
   uint64_t number = 0;
   bool good = option_integer(flag, 1, maximum, &number);
   plan->batch = (size_t)number;
   return good;
}

static bool scan(struct options *options)
{
   struct workload_plan *plan = &options->load.plan;
   options->scan = true;
   plan->keys_only = optarg != NULL;
   return !optarg || strcmp(optarg, "keys") == 0 || option_refuse("--scan", optarg, "is not keys");
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
   return count == 1 || option_refuse("--address", text, "names several servers; give one");
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
    {"transaction", required_argument, NULL, TRANSACTION},
    {"scan", optional_argument, NULL, SCAN},
    {"scan-limit", required_argument, NULL, SCAN_LIMIT},
    {"reverse", no_argument, NULL, REVERSE},
    {"keys", required_argument, NULL, KEYS},
    {"distribution", required_argument, NULL, DISTRIBUTION},
    {"value-size", required_argument, NULL, VALUE_SIZE},
    {"ttl", required_argument, NULL, TTL},
    {"watchers", required_argument, NULL, WATCHERS},
    {"watch-keys", required_argument, NULL, WATCH_KEYS},
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
   switch (flag) {
   case MIX:
      return mix(plan->weights);
   case BATCH:
      plan->atomic = false;
      return list("--batch", OPTIONS_BATCH_MAX, plan);
   case TRANSACTION:
      plan->atomic = true;
      return list("--transaction", OPTIONS_TRANSACTION_MAX, plan);
   case SCAN:
      return scan(options);
   case SCAN_LIMIT:
      return option_integer("--scan-limit", 0, WORKLOAD_KEYS_MAX, &plan->scan_entries);
   case REVERSE:
      return plan->descending = true;
   case TTL:
      return ttl(plan);
   case WATCHERS:
      return option_count("--watchers", OPTIONS_WATCHERS_MAX, &options->load.watchers);
   case WATCH_KEYS:
      return option_integer("--watch-keys", 1, WORKLOAD_KEYS_MAX, &options->load.watch_keys);
   case KEYS:
      return option_integer("--keys", 1, WORKLOAD_KEYS_MAX, &plan->keys);
   case DISTRIBUTION:
      return distribution(&plan->distribution);
   case VALUE_SIZE:
      return value_size(plan);
   default:
      return option_integer("--seed", 0, UINT64_MAX, &plan->seed);
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
      return option_count("--connections", OPTIONS_CONNECTIONS_MAX, &target->connections);
   case STREAMS:
      return option_count("--streams", OPTIONS_STREAMS_MAX, &target->streams);
   case THREADS:
      return option_count("--threads", OPTIONS_CONNECTIONS_MAX, &target->threads);
   case REQUESTS:
      options->by_requests = true;
      return option_integer("--requests", 0, UINT64_MAX, &load->requests);
   case DURATION:
      return option_nanoseconds("--duration", 0.001, &load->duration_ns);
   case WARM_UP:
      return option_nanoseconds("--warm-up", 0, &load->warm_up_ns);
   case INTERVAL:
      return option_nanoseconds("--interval", 0.001, &load->interval_ns);
   case RATE:
      return option_real("--rate", 0.001, 1e9, &load->rate);
   case TIMEOUT:
      if (!option_real("--timeout", 0.001, OPTION_SECONDS_MAX, &seconds))
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
                  .methods = {[WORKLOAD_CALL_SET] = METHOD("Set"),
                              [WORKLOAD_CALL_GET] = METHOD("Get"),
                              [WORKLOAD_CALL_DEL] = METHOD("Delete"),
                              [WORKLOAD_CALL_INCR] = METHOD("Increment"),
                              [WORKLOAD_CALL_SCAN] = METHOD("Scan"),
                              [WORKLOAD_CALL_BATCH] = METHOD("Batch"),
                              [WORKLOAD_CALL_TRANSACTION] = METHOD("Transaction")},
                  .watch_method = METHOD("Watch"),
                  .timeout_ms = 60000},
       .load = {.plan = {.weights = {[WORKLOAD_SET] = 50, [WORKLOAD_GET] = 50},
                         .keys = 100000,
                         .scan_entries = UINT64_MAX,
                         .value_size_min = 100,
                         .value_size_max = 100,
                         .seed = 1},
                .interval_ns = 1000000000},
   };
   credentials_read_environment(&options->credentials);
}

/* What is asked for in all must be possible together. */
static bool check_plan(struct options *options)
{
   struct workload_plan *plan = &options->load.plan;
   if (options->scan) {
      memset(plan->weights, 0, sizeof plan->weights);
      plan->weights[WORKLOAD_SCAN] = 1;
   }
   if (plan->scan_entries == UINT64_MAX)
      plan->scan_entries = options->scan ? 0 : DEFAULT_SCAN_ENTRIES;
   if (plan->batch > 0 && plan->weights[WORKLOAD_CAS] + plan->weights[WORKLOAD_SCAN] > 0) {
      fputs("error: a Batch or a Transaction has no cas and no scan: leave out --batch and "
            "--transaction, or have --mix with set, get, del and incr alone\n",
            stderr);
      return false;
   }
   if (plan->weights[WORKLOAD_CAS] > 0 && plan->keys > WORKLOAD_VERSIONS_MAX) {
      fprintf(stderr,
              "error: cas in --mix takes at most %u --keys, since it remembers a version "
              "of each\n",
              WORKLOAD_VERSIONS_MAX);
      return false;
   }
   if (options->load.watch_keys > 0 && options->load.watchers == 0) {
      fputs("error: --watch-keys needs --watchers\n", stderr);
      return false;
   }
   return true;
}

/* Checks what concerns several options, and fills in what depends on others. */
static bool check(struct options *options)
{
   struct driver_target *target = &options->target;
   struct driver_load *load = &options->load;
   if (!check_address(target->address) || !check_plan(options))
      return false;
   if ((double)target->connections * target->streams > CALLS_IN_FLIGHT_MAX) {
      fprintf(stderr, "error: --connections times --streams is above %d calls in flight\n",
              CALLS_IN_FLIGHT_MAX);
      return false;
   }
   if (options->by_requests && load->requests == 0 && !options->fill)
      return option_refuse("--requests", "0", "leaves nothing to do without --fill");
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
         return option_refuse("option", argv[optind - 1], "needs a value");
      if (flag == '?')
         return option_refuse("unknown option", argv[optind - 1], NULL);
      if (!read_flag(options, flag))
         return false;
   }
   if (optind < argc)
      return option_refuse("unexpected argument", argv[optind], NULL);
   return options->help || options->version || check(options);
}
