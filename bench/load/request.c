#include "bench/load/request.h"

#include <string.h>

/* Counters are keys of their own: the values of the others are no numbers. */
#define KEY_PREFIX "key:"
#define COUNTER_PREFIX "num:"
#define PREFIX_SIZE 4

enum { WIRE_VARINT = 0, WIRE_LENGTH = 2 };

/* ---- Fields ---- */

static size_t varint_size(uint64_t number)
{
   size_t size = 1;
   for (; number > 127; number >>= 7)
      size++;
   return size;
}

static size_t number_size(uint64_t number)
{
   return 1 + varint_size(number);
}

static size_t field_size(size_t content)
{
   return 1 + varint_size(content) + content;
}

static uint8_t *put_varint(uint8_t *at, uint64_t number)
{
   for (; number > 127; number >>= 7)
      *at++ = (uint8_t)(number | 128);
   *at++ = (uint8_t)number;
   return at;
}

static uint8_t *put_number(uint8_t *at, unsigned field, uint64_t number)
{
   *at++ = (uint8_t)(field << 3 | WIRE_VARINT);
   return put_varint(at, number);
}

static uint8_t *put_head(uint8_t *at, unsigned field, uint64_t length)
{
   *at++ = (uint8_t)(field << 3 | WIRE_LENGTH);
   return put_varint(at, length);
}

static uint8_t *put_key(uint8_t *at, unsigned field, const char *prefix, uint64_t number)
{
   at = put_head(at, field, REQUEST_KEY_SIZE);
   memcpy(at, prefix, PREFIX_SIZE);
   for (size_t i = REQUEST_KEY_SIZE; i-- > PREFIX_SIZE; number /= 10)
      at[i] = (uint8_t)('0' + number % 10);
   return at + REQUEST_KEY_SIZE;
}

static uint8_t *put_prefix(uint8_t *at)
{
   at = put_head(at, 1, PREFIX_SIZE);
   memcpy(at, KEY_PREFIX, PREFIX_SIZE);
   return at + PREFIX_SIZE;
}

/* ---- Operations ---- */

size_t request_operation_size(const struct request_operation *operation)
{
   size_t size = field_size(REQUEST_KEY_SIZE);
   if (operation->kind == REQUEST_INCR)
      return size + number_size(1);
   if (operation->value_size > 0)
      size += field_size(operation->value_size);
   if (operation->ttl_ms > 0)
      size += field_size(number_size(operation->ttl_ms));
   if (operation->conditional)
      size += field_size(number_size(operation->version));
   return size;
}

uint8_t *request_put_operation(uint8_t *at, const struct request_operation *operation)
{
   bool counter = operation->kind == REQUEST_INCR;
   at = put_key(at, 1, counter ? COUNTER_PREFIX : KEY_PREFIX, operation->key);
   if (counter)
      return put_number(at, 2, 1);
   if (operation->value_size > 0) {
      at = put_head(at, 2, operation->value_size);
      memcpy(at, operation->value, operation->value_size);
      at += operation->value_size;
   }
   if (operation->ttl_ms > 0) {
      at = put_head(at, 3, number_size(operation->ttl_ms));
      at = put_number(at, 1, operation->ttl_ms);
   }
   if (operation->conditional) {
      at = put_head(at, 4, number_size(operation->version));
      at = put_number(at, 2, operation->version);
   }
   return at;
}

size_t request_item_size(const struct request_operation *operation)
{
   return field_size(field_size(request_operation_size(operation)));
}

uint8_t *request_put_item(uint8_t *at, enum request_list list,
                          const struct request_operation *operation)
{
   static const unsigned fields[] = {
       [REQUEST_GET] = 1, [REQUEST_SET] = 2, [REQUEST_DEL] = 3, [REQUEST_INCR] = 4};
   size_t size = request_operation_size(operation);
   at = put_head(at, list, field_size(size));
   at = put_head(at, fields[operation->kind], size);
   return request_put_operation(at, operation);
}

/* ---- Ranges ---- */

static size_t scan_range_size(const struct request_scan *scan)
{
   return field_size(PREFIX_SIZE) + (scan->limit > 0 ? field_size(REQUEST_KEY_SIZE) : 0);
}

size_t request_scan_size(const struct request_scan *scan)
{
   return field_size(scan_range_size(scan)) + (scan->descending ? number_size(true) : 0) +
          (scan->limit > 0 ? number_size(scan->limit) : 0) +
          (scan->keys_only ? number_size(true) : 0);
}

uint8_t *request_put_scan(uint8_t *at, const struct request_scan *scan)
{
   at = put_prefix(put_head(at, 1, scan_range_size(scan)));
   if (scan->limit > 0) {
      /* A backward one begins below the key after its own. */
      at = scan->descending ? put_key(at, 3, KEY_PREFIX, scan->key + 1)
                            : put_key(at, 2, KEY_PREFIX, scan->key);
   }
   if (scan->descending)
      at = put_number(at, 2, true);
   if (scan->limit > 0)
      at = put_number(at, 3, scan->limit);
   return scan->keys_only ? put_number(at, 4, 1) : at;
}

size_t request_write_watch(uint8_t message[REQUEST_WATCH_SIZE_MAX], uint64_t first, uint64_t end,
                           uint32_t progress_ms)
{
   size_t range = end > 0 ? 2 * field_size(REQUEST_KEY_SIZE) : field_size(PREFIX_SIZE);
   size_t create =
       number_size(1) + field_size(range) + number_size(true) + number_size(progress_ms);
   uint8_t *at = put_head(message, 1, create);
   at = put_number(at, 1, 1);
   at = put_head(at, 2, range);
   at = end > 0 ? put_key(put_key(at, 2, KEY_PREFIX, first), 3, KEY_PREFIX, end) : put_prefix(at);
   at = put_number(at, 6, true);
   at = put_number(at, 8, progress_ms);
   return (size_t)(at - message);
}
