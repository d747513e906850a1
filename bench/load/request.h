/*
 * The bytes of the request messages of kvstore.v1.KeyValueService, as far as the benchmark sends
 * them. Pure functions, any thread.
 */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_KEY_SIZE 16

enum request_kind { REQUEST_SET, REQUEST_GET, REQUEST_DEL, REQUEST_INCR };

struct request_operation {
   enum request_kind kind;
   uint64_t key;
   const uint8_t *value; /* of a set */
   size_t value_size;
   uint64_t ttl_ms;  /* of a set; 0: the key never expires */
   bool conditional; /* of a set: the key must have `version`; 0: it must be missing */
   uint64_t version;
};

/* The fields in which the lists of a Batch and of a Transaction have their operations. */
enum request_list { REQUEST_BATCH = 1, REQUEST_TRANSACTION = 2 };

struct request_scan {
   uint64_t limit; /* entries; 0: all of the key space, and `key` is ignored */
   uint64_t key;   /* where it begins; backwards it ends below it */
   bool keys_only, descending;
};

/* Sizes and contents of messages; each function that writes returns the end of what it wrote. */
size_t request_operation_size(const struct request_operation *operation);
uint8_t *request_put_operation(uint8_t *at, const struct request_operation *operation);
size_t request_item_size(const struct request_operation *operation); /* in a list */
uint8_t *request_put_item(uint8_t *at, enum request_list list,
                          const struct request_operation *operation);
size_t request_scan_size(const struct request_scan *scan);
uint8_t *request_put_scan(uint8_t *at, const struct request_scan *scan);

/* A watch of the keys from number `first` to below number `end`; 0: of the whole key space. It asks
 * for a progress mark each `progress_ms`. */
#define REQUEST_WATCH_SIZE_MAX 128
size_t request_write_watch(uint8_t message[REQUEST_WATCH_SIZE_MAX], uint64_t first, uint64_t end,
                           uint32_t progress_ms);

#endif
