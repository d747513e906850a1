#include "bench/load/workload.h"

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
   atomic_uint_least64_t next_key; /* of the sequential distribution */
};

struct operation {
   enum workload_kind kind;
   uint64_t key;
   const uint8_t *value;
   size_t value_size;
};

struct workload {
   struct workload_source *source;
   uint64_t random;
   struct workload_request request;
   struct operation operations[]; /* of the request */
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

static void choose_operation(struct workload *workload, struct operation *operation)
{
   const struct workload_source *source = workload->source;
   const struct workload_plan *plan = &source->plan;
   *operation = (struct operation){.kind = choose_kind(workload), .key = choose_key(workload)};
   if (operation->kind != WORKLOAD_SET)
      return;
   size_t spread = plan->value_size_max - plan->value_size_min;
   operation->value_size = plan->value_size_min;
   if (spread > 0)
      operation->value_size += (size_t)random_below(&workload->random, spread + 1);
   operation->value = source->pool + random_below(&workload->random, POOL_SLACK);
}

/* ---- Writing protobuf ---- */

enum { WIRE_VARINT = 0, WIRE_LENGTH = 2 };

static size_t varint_size(uint64_t number)
{
   size_t size = 1;
   for (; number > 127; number >>= 7)
      size++;
   return size;
}

static size_t field_size(size_t content)
{
   return 1 + varint_size(content) + content;
}

static uint8_t *put_head(uint8_t *at, unsigned number, uint64_t length)
{
   *at++ = (uint8_t)(number << 3 | WIRE_LENGTH);
   for (; length > 127; length >>= 7)
      *at++ = (uint8_t)(length | 128);
   *at++ = (uint8_t)length;
   return at;
}

/* Set, Get and Del have their key in field 1, Set its value in field 2. */
static size_t operation_size(const struct operation *operation)
{
   size_t size = field_size(WORKLOAD_KEY_SIZE);
   return operation->value_size > 0 ? size + field_size(operation->value_size) : size;
}

static uint8_t *put_operation(uint8_t *at, const struct operation *operation)
{
   at = put_head(at, 1, WORKLOAD_KEY_SIZE);
   memcpy(at, "key:", 4);
   uint64_t rest = operation->key;
   for (size_t i = WORKLOAD_KEY_SIZE; i-- > 4; rest /= 10)
      at[i] = (uint8_t)('0' + rest % 10);
   at += WORKLOAD_KEY_SIZE;
   if (operation->value_size == 0)
      return at;
   at = put_head(at, 2, operation->value_size);
   memcpy(at, operation->value, operation->value_size);
   return at + operation->value_size;
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
   source->plan = *plan;
   source->pool = pool;
   for (size_t i = 0; i < WORKLOAD_KINDS; i++)
      source->weight_sum += plan->weights[i];
   zipf_init(&source->zipf, plan->keys);
   return source;
}

void workload_source_destroy(struct workload_source *source)
{
   if (source)
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
   if (plan->scan) {
      *request = workload->request =
          (struct workload_request){.method = WORKLOAD_CALL_SCAN, .size = plan->keys_only ? 2 : 0};
      return true;
   }
   size_t count = plan->batch ? plan->batch : 1;
   if (plan->limit > 0) {
      uint64_t taken = atomic_fetch_add(&workload->source->taken, count);
      if (taken >= plan->limit)
         return false;
      if (count > plan->limit - taken)
         count = (size_t)(plan->limit - taken);
   }
   *request = (struct workload_request){.method = WORKLOAD_CALL_BATCH, .operations = count};
   for (size_t i = 0; i < count; i++) {
      choose_operation(workload, &workload->operations[i]);
      size_t size = operation_size(&workload->operations[i]);
      request->size += plan->batch ? field_size(field_size(size)) : size;
   }
   if (!plan->batch)
      request->method = (enum workload_method)workload->operations[0].kind;
   workload->request = *request;
   return true;
}

void workload_write(const struct workload *workload, uint8_t *message)
{
   if (workload->request.method == WORKLOAD_CALL_SCAN) {
      if (workload->request.size > 0)
         memcpy(message, (uint8_t[]){3 << 3 | WIRE_VARINT, true}, 2); /* keys_only */
      return;
   }
   for (size_t i = 0; i < workload->request.operations; i++) {
      const struct operation *operation = &workload->operations[i];
      if (workload->request.method == WORKLOAD_CALL_BATCH) {
         size_t size = operation_size(operation);
         message = put_head(message, 1, field_size(size));
         message = put_head(message, (unsigned)operation->kind + 1, size);
      }
      message = put_operation(message, operation);
   }
}
