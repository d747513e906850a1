#include "bench/load/workload.h"

#include "bench/load/request.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define POOL_SLACK 4096     /* values begin at this many places of the pool */
#define SCATTER 1000000007u /* a prime: ranks times it, modulo the keys, meet every key once */

struct zipf {
   double low, high, skip; /* see zipf_rank */
};

struct workload_source {
   struct workload_plan plan;
   unsigned weight_sum;
   struct zipf zipf;
   uint8_t *pool; /* random bytes for values */
   atomic_uint_least64_t taken;
   atomic_uint_least64_t next_key;  /* of the sequential distribution */
   atomic_uint_least64_t *versions; /* of each key, plus one; 0: unknown. NULL: nobody asks */
};

struct workload {
   struct workload_source *source;
   uint64_t random;
   struct workload_request request;
   struct request_scan scan;              /* of the request, if it is one */
   struct request_operation operations[]; /* or these */
};

/* ---- Random numbers ---- */

/* SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t random_next(uint64_t *state)
{
   uint64_t x = *state += 0x9e3779b97f4a7c15u;
   x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
   x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
   return x ^ (x >> 31);
}

static uint64_t random_below(uint64_t *state, uint64_t limit)
{
   return (uint64_t)(((unsigned __int128)random_next(state) * limit) >> 64);
}

static double random_unit(uint64_t *state)
{
   return (double)(random_next(state) >> 11) * 0x1p-53;
}

/* Zipf by rejection-inversion: Hörmann and Derflinger, "Rejection-inversion to generate variates
 * from monotone discrete distributions", 1996. No table, whatever the number of keys. */
static double zipf_integral(double x)
{
   return expm1((1 - WORKLOAD_ZIPF_EXPONENT) * log(x)) / (1 - WORKLOAD_ZIPF_EXPONENT);
}

static double zipf_inverse(double y)
{
   return exp(log1p(y * (1 - WORKLOAD_ZIPF_EXPONENT)) / (1 - WORKLOAD_ZIPF_EXPONENT));
}

static double zipf_density(double x)
{
   return exp(-WORKLOAD_ZIPF_EXPONENT * log(x));
}

static void zipf_init(struct zipf *zipf, uint64_t keys)
{
   zipf->low = zipf_integral(1.5) - 1;
   zipf->high = zipf_integral((double)keys + 0.5);
   zipf->skip = 2 - zipf_inverse(zipf_integral(2.5) - zipf_density(2));
}

/* 0 is the most frequent. */
static uint64_t zipf_rank(const struct zipf *zipf, uint64_t keys, uint64_t *state)
{
   for (;;) {
      double area = zipf->high + random_unit(state) * (zipf->low - zipf->high);
      double x = zipf_inverse(area);
      double rank = fmin(fmax(floor(x + 0.5), 1), (double)keys);
      if (rank - x <= zipf->skip || area >= zipf_integral(rank + 0.5) - zipf_density(rank))
         return (uint64_t)rank - 1;
   }
}

/* ---- Choosing ---- */

static uint64_t choose_key(struct workload *workload)
{
   struct workload_source *source = workload->source;
   uint64_t keys = source->plan.keys;
   switch (source->plan.distribution) {
   case WORKLOAD_ZIPFIAN:
      return (uint64_t)((unsigned __int128)zipf_rank(&source->zipf, keys, &workload->random) *
                        SCATTER % keys);
   case WORKLOAD_SEQUENTIAL:
      return atomic_fetch_add(&source->next_key, 1) % keys;
   default:
      return random_below(&workload->random, keys);
   }
}

static enum workload_kind choose_kind(struct workload *workload)
{
   const unsigned *weights = workload->source->plan.weights;
   uint64_t at = random_below(&workload->random, workload->source->weight_sum);
   enum workload_kind kind = WORKLOAD_SET;
   for (; at >= weights[kind]; kind++)
      at -= weights[kind];
   return kind;
}

static void fill_set(struct workload *workload, struct request_operation *operation)
{
   const struct workload_source *source = workload->source;
   const struct workload_plan *plan = &source->plan;
   operation->kind = REQUEST_SET;
   size_t spread = plan->value_size_max - plan->value_size_min;
   operation->value_size = plan->value_size_min;
   if (spread > 0)
      operation->value_size += (size_t)random_below(&workload->random, spread + 1);
   operation->value = source->pool + random_below(&workload->random, POOL_SLACK);
   operation->ttl_ms = plan->ttl_ms_min;
   if (plan->ttl_ms_max > plan->ttl_ms_min)
      operation->ttl_ms += random_below(&workload->random, plan->ttl_ms_max - plan->ttl_ms_min + 1);
}

static void fill_cas(struct workload *workload, struct request_operation *operation)
{
   uint64_t known = atomic_load(&workload->source->versions[operation->key]);
   operation->kind = REQUEST_GET;
   if (known == 0)
      return;
   fill_set(workload, operation);
   operation->conditional = true;
   operation->version = known - 1;
}

/* Chooses all of an operation but a scan. */
static void choose_operation(struct workload *workload, enum workload_kind kind,
                             struct request_operation *operation)
{
   *operation = (struct request_operation){.key = choose_key(workload)};
   switch (kind) {
   case WORKLOAD_GET:
      operation->kind = REQUEST_GET;
      break;
   case WORKLOAD_DEL:
      operation->kind = REQUEST_DEL;
      break;
   case WORKLOAD_INCR:
      operation->kind = REQUEST_INCR;
      break;
   case WORKLOAD_CAS:
      fill_cas(workload, operation);
      break;
   default:
      fill_set(workload, operation);
   }
}

static struct workload_request choose_scan(struct workload *workload)
{
   const struct workload_plan *plan = &workload->source->plan;
   workload->scan = (struct request_scan){.limit = plan->scan_entries,
                                          .key = plan->scan_entries ? choose_key(workload) : 0,
                                          .keys_only = plan->keys_only,
                                          .descending = plan->descending};
   return (struct workload_request){
       .method = WORKLOAD_CALL_SCAN, .operations = 1, .size = request_scan_size(&workload->scan)};
}

static struct workload_request choose_single(struct workload *workload)
{
   static const enum workload_method methods[] = {[REQUEST_SET] = WORKLOAD_CALL_SET,
                                                  [REQUEST_GET] = WORKLOAD_CALL_GET,
                                                  [REQUEST_DEL] = WORKLOAD_CALL_DEL,
                                                  [REQUEST_INCR] = WORKLOAD_CALL_INCR};
   enum workload_kind kind = choose_kind(workload);
   if (kind == WORKLOAD_SCAN)
      return choose_scan(workload);
   struct request_operation *operation = &workload->operations[0];
   choose_operation(workload, kind, operation);
   return (struct workload_request){.method = methods[operation->kind],
                                    .operations = 1,
                                    .size = request_operation_size(operation),
                                    .key = operation->key,
                                    .conditional = operation->conditional};
}

static struct workload_request choose_list(struct workload *workload, size_t count)
{
   const struct workload_plan *plan = &workload->source->plan;
   struct workload_request request = {.method = plan->atomic ? WORKLOAD_CALL_TRANSACTION
                                                             : WORKLOAD_CALL_BATCH,
                                      .operations = count};
   for (size_t i = 0; i < count; i++) {
      choose_operation(workload, choose_kind(workload), &workload->operations[i]);
      request.size += request_item_size(&workload->operations[i]);
   }
   return request;
}

/* ---- Interface ---- */

struct workload_source *workload_source_create(const struct workload_plan *plan)
{
   struct workload_source *source = calloc(1, sizeof *source);
   size_t pool_size = (plan->value_size_max + POOL_SLACK + 7) / 8 * 8;
   uint8_t *pool = source ? malloc(pool_size) : NULL;
   if (!pool) {
      free(source);
      return NULL;
   }
   uint64_t state = plan->seed;
   for (size_t i = 0; i < pool_size; i += 8) {
      uint64_t random = random_next(&state);
      memcpy(pool + i, &random, 8);
   }
   if (plan->weights[WORKLOAD_CAS] > 0) {
      source->versions = calloc((size_t)plan->keys, sizeof *source->versions);
      if (!source->versions) {
         free(pool);
         free(source);
         return NULL;
      }
   }
   source->plan = *plan;
   source->pool = pool;
   for (size_t i = 0; i < WORKLOAD_KINDS; i++)
      source->weight_sum += plan->weights[i];
   zipf_init(&source->zipf, plan->keys);
   return source;
}

void workload_source_destroy(struct workload_source *source)
{
   if (!source)
      return;
   free(source->versions);
   free(source->pool);
   free(source);
}

struct workload *workload_create(struct workload_source *source, unsigned thread)
{
   size_t most = source->plan.batch ? source->plan.batch : 1;
   struct workload *workload = calloc(1, sizeof *workload + most * sizeof *workload->operations);
   if (!workload)
      return NULL;
   workload->source = source;
   workload->random = source->plan.seed + thread;
   workload->random = random_next(&workload->random);
   return workload;
}

void workload_destroy(struct workload *workload)
{
   free(workload);
}

bool workload_next(struct workload *workload, struct workload_request *request)
{
   const struct workload_plan *plan = &workload->source->plan;
   size_t count = plan->batch ? plan->batch : 1;
   if (plan->limit > 0) {
      uint64_t taken = atomic_fetch_add(&workload->source->taken, count);
      if (taken >= plan->limit)
         return false;
      if (count > plan->limit - taken)
         count = (size_t)(plan->limit - taken);
   }
   workload->request = plan->batch ? choose_list(workload, count) : choose_single(workload);
   *request = workload->request;
   return true;
}

void workload_write(const struct workload *workload, uint8_t *message)
{
   switch (workload->request.method) {
   case WORKLOAD_CALL_SCAN:
      request_put_scan(message, &workload->scan);
      break;
   case WORKLOAD_CALL_BATCH:
   case WORKLOAD_CALL_TRANSACTION:
      for (size_t i = 0; i < workload->request.operations; i++)
         message = request_put_item(
             message, workload->source->plan.atomic ? REQUEST_TRANSACTION : REQUEST_BATCH,
             &workload->operations[i]);
      break;
   default:
      request_put_operation(message, &workload->operations[0]);
   }
}

void workload_learn(struct workload_source *source, uint64_t key, uint64_t version)
{
   if (source->versions)
      atomic_store(&source->versions[key], version + 1);
}
