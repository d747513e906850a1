/*
 * kvstore-index-bench KEYS random|prefix|expiring [SECONDS]
 *
 * The index alone, without wire, log and threads: fills it with KEYS keys of 16 bytes and values of
 * 100, then reads and overwrites random keys for SECONDS each (default 1), 64 sets in a
 * transaction. `random` keys differ from their first byte on; `prefix` keys have 12 bytes in common
 * with many others; `expiring` keys are random ones of which each has a time of expiry, and in the
 * end all of them expire. Prints one JSON object; memory is the growth of what the process has
 * resident.
 */
#include "core/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEY_SIZE 16
#define VALUE_SIZE 100
#define TRANSACTION_SETS 64
#define CHECK_EVERY 256 /* operations between looks at the clock */
#define TIMES 1000000000

struct bench {
   struct kv_store *store;
   struct kv_reader *reader;
   uint64_t keys, random, sequence;
   bool prefix, expiring;
   uint8_t value[VALUE_SIZE];
};

static double now_s(void)
{
   struct timespec now;
   clock_gettime(CLOCK_MONOTONIC, &now);
   return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(const char *what)
{
   fprintf(stderr, "kvstore-index-bench: %s\n", what);
   exit(1);
}

static double resident_bytes(void)
{
   char line[128];
   FILE *file = fopen("/proc/self/statm", "re");
   if (!file || !fgets(line, sizeof line, file))
      fail("/proc/self/statm cannot be read");
   fclose(file);
   char *resident_text;
   strtoul(line, &resident_text, 10);
   unsigned long resident = strtoul(resident_text, NULL, 10);
   return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* A bijection of 64 bits, so that different numbers are different keys. */
static uint64_t mix(uint64_t x)
{
   x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
   x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
   return x ^ (x >> 31);
}

static uint64_t any_number(struct bench *bench)
{
   return mix(bench->random += 0x9e3779b97f4a7c15u) % bench->keys;
}

/* Printed by hand: printf would cost as much as what is measured. */
static struct kv_slice key_of(const struct bench *bench, uint64_t number, char text[KEY_SIZE])
{
   memcpy(text, "key:", 4);
   uint64_t rest = bench->prefix ? number : mix(number + 1);
   uint64_t base = bench->prefix ? 10 : 16;
   for (size_t i = KEY_SIZE; i-- > (bench->prefix ? 4 : 0); rest /= base)
      text[i] = "0123456789abcdef"[rest % base];
   return kv_slice(text, KEY_SIZE);
}

/* Another one with each set. */
static int64_t expiry_of(const struct bench *bench, uint64_t number)
{
   return bench->expiring ? (int64_t)(1 + mix(number ^ bench->sequence << 32) % TIMES) : 0;
}

/* Sets `count` keys in transactions: the numbers from `first`, or any. */
static void set(struct bench *bench, uint64_t first, uint64_t count, bool any)
{
   char text[KEY_SIZE];
   for (uint64_t i = 0; i < count;) {
      struct kv_transaction *transaction = kv_store_begin(bench->store);
      bench->sequence += TRANSACTION_SETS;
      if (!transaction)
         fail("out of memory");
      for (unsigned sets = 0; sets < TRANSACTION_SETS && i < count; sets++, i++) {
         uint64_t number = any ? any_number(bench) : first + i;
         if (!kv_transaction_set(transaction, key_of(bench, number, text),
                                 kv_slice(bench->value, VALUE_SIZE), expiry_of(bench, number),
                                 bench->sequence))
            fail("out of memory");
      }
      kv_transaction_commit(transaction, bench->sequence);
   }
}

static void get(struct bench *bench, uint64_t count)
{
   char text[KEY_SIZE];
   for (uint64_t i = 0; i < count; i++) {
      const struct kv_version *version = kv_reader_pin(bench->reader);
      if (!kv_version_find(version, key_of(bench, any_number(bench), text)))
         fail("a key is missing");
      kv_reader_unpin(bench->reader);
   }
}

/* As their times come, in ten steps. */
static void expire(struct bench *bench)
{
   for (int64_t now = TIMES / 10; now <= TIMES; now += TIMES / 10) {
      for (bool more = true; more;) {
         struct kv_transaction *transaction = kv_store_begin(bench->store);
         if (!transaction)
            fail("out of memory");
         for (unsigned deletes = 0; more && deletes < TRANSACTION_SETS; deletes++) {
            bool existed;
            size_t looks = SIZE_MAX;
            const struct kv_entry *entry = kv_transaction_find_expired(transaction, now, &looks);
            more = entry;
            if (entry && !kv_transaction_delete(transaction, kv_entry_key(entry), &existed))
               fail("out of memory");
         }
         bench->sequence += TRANSACTION_SETS;
         kv_transaction_commit(transaction, bench->sequence);
      }
   }
}

/* Nanoseconds an operation. */
static double time_of(struct bench *bench, bool sets, double seconds)
{
   double start = now_s(), elapsed;
   uint64_t done = 0;
   do {
      if (sets)
         set(bench, 0, CHECK_EVERY, true);
      else
         get(bench, CHECK_EVERY);
      done += CHECK_EVERY;
      elapsed = now_s() - start;
   } while (elapsed < seconds);
   return elapsed * 1e9 / (double)done;
}

int main(int argc, char **argv)
{
   struct bench bench = {.random = 1};
   if (argc < 3 || argc > 4 || (bench.keys = strtoull(argv[1], NULL, 10)) == 0 ||
       (strcmp(argv[2], "random") != 0 && strcmp(argv[2], "prefix") != 0 &&
        strcmp(argv[2], "expiring") != 0))
      return fputs("usage: kvstore-index-bench KEYS random|prefix|expiring [SECONDS]\n", stderr), 2;
   double seconds = argc == 4 ? strtod(argv[3], NULL) : 1;
   bench.prefix = strcmp(argv[2], "prefix") == 0;
   bench.expiring = strcmp(argv[2], "expiring") == 0;
   bench.store = kv_store_create();
   bench.reader = bench.store ? kv_reader_create(bench.store) : NULL;
   if (!bench.reader)
      fail("out of memory");
   double resident = resident_bytes(), start = now_s();
   set(&bench, 0, bench.keys, false);
   double insert_ns = (now_s() - start) * 1e9 / (double)bench.keys;
   double bytes = (resident_bytes() - resident) / (double)bench.keys;
   time_of(&bench, false, seconds / 4); /* warm up */
   double get_ns = time_of(&bench, false, seconds);
   double set_ns = time_of(&bench, true, seconds);
   start = now_s();
   if (bench.expiring)
      expire(&bench);
   double expire_ns = (now_s() - start) * 1e9 / (double)bench.keys;
   printf("{\"keys\": %llu, \"shape\": \"%s\", \"insert_ns\": %.1f, \"get_ns\": %.1f, "
          "\"set_ns\": %.1f, \"bytes_per_key\": %.1f",
          (unsigned long long)bench.keys, argv[2], insert_ns, get_ns, set_ns, bytes);
   if (bench.expiring)
      printf(", \"expire_ns\": %.1f", expire_ns);
   puts("}");
   kv_reader_destroy(bench.reader);
   kv_store_destroy(bench.store);
   return 0;
}
