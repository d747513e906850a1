#include "core/support/log_limit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t mix(uint64_t hash, unsigned char byte)
{
   return (hash ^ byte) * FNV_PRIME;
}

static size_t word_size(const char *text, bool *has_digit)
{
   size_t size = 0;
   *has_digit = false;
   for (; isalnum((unsigned char)text[size]); size++)
      if (isdigit((unsigned char)text[size]))
         *has_digit = true;
   return size;
}

/* The same for texts that differ only in words with digits: numbers, addresses, ports. */
static uint64_t key_of_text(const char *text)
{
   uint64_t hash = FNV_OFFSET;
   while (*text != '\0') {
      bool has_digit;
      size_t size = word_size(text, &has_digit);
      if (has_digit) {
         hash = mix(hash, '#');
         text += size;
         continue;
      }
      for (size = size > 0 ? size : 1; size > 0; size--)
         hash = mix(hash, (unsigned char)*text++);
   }
   return hash | 1;
}

/* Even, so that it is no key of a text. */
static uint64_t key_of_origin(uint64_t origin)
{
   uint64_t hash = FNV_OFFSET;
   for (int shift = 0; shift < 64; shift += 8)
      hash = mix(hash, (unsigned char)(origin >> shift));
   return (hash | 2) & ~UINT64_C(1);
}

static struct kv_log_allowance *find(struct kv_log_limit *limit, uint64_t key, uint64_t full_ms,
                                     uint64_t now_ms)
{
   struct kv_log_allowance *oldest = &limit->allowances[0];
   for (size_t i = 0; i < KV_LOG_LIMITS; i++) {
      struct kv_log_allowance *allowance = &limit->allowances[i];
      if (allowance->key == key)
         return allowance;
      if (allowance->used_ms < oldest->used_ms)
         oldest = allowance;
   }
   limit->forgotten += oldest->left_out;
   *oldest = (struct kv_log_allowance){.key = key, .used_ms = now_ms, .credit_ms = full_ms};
   return oldest;
}

/* What there is of one text, or of one origin, after the time that has passed. */
static struct kv_log_allowance *refill(struct kv_log_limit *limit, uint64_t key, uint64_t burst,
                                       uint64_t interval_ms, uint64_t now_ms)
{
   uint64_t full_ms = burst * interval_ms;
   struct kv_log_allowance *allowance = find(limit, key, full_ms, now_ms);
   uint64_t passed_ms = now_ms - allowance->used_ms;
   uint64_t missing_ms = full_ms - allowance->credit_ms;
   allowance->credit_ms += passed_ms < missing_ms ? passed_ms : missing_ms;
   allowance->used_ms = now_ms;
   return allowance;
}

static bool leave_out(struct kv_log_allowance *allowance, const char *text, uint64_t now_ms)
{
   if (allowance->left_out++ == 0) {
      allowance->first_left_out_ms = now_ms;
      snprintf(allowance->sample, sizeof allowance->sample, "%s", text);
   }
   return false;
}

bool kv_log_limit_admit(struct kv_log_limit *limit, uint64_t origin, const char *text,
                        uint64_t now_ms)
{
   struct kv_log_allowance *of_text =
       refill(limit, key_of_text(text), KV_LOG_TEXT_BURST, KV_LOG_TEXT_INTERVAL_MS, now_ms);
   if (of_text->credit_ms < KV_LOG_TEXT_INTERVAL_MS)
      return leave_out(of_text, text, now_ms);
   struct kv_log_allowance *of_origin =
       refill(limit, key_of_origin(origin), KV_LOG_ORIGIN_BURST, KV_LOG_ORIGIN_INTERVAL_MS, now_ms);
   if (of_origin->credit_ms < KV_LOG_ORIGIN_INTERVAL_MS)
      return leave_out(of_origin, text, now_ms);
   of_text->credit_ms -= KV_LOG_TEXT_INTERVAL_MS;
   of_origin->credit_ms -= KV_LOG_ORIGIN_INTERVAL_MS;
   return true;
}

bool kv_log_limit_pending(const struct kv_log_limit *limit)
{
   for (size_t i = 0; i < KV_LOG_LIMITS; i++)
      if (limit->allowances[i].left_out > 0)
         return true;
   return limit->forgotten > 0;
}

bool kv_log_limit_report(struct kv_log_limit *limit, uint64_t now_ms, bool all, char *message,
                         size_t size)
{
   for (size_t i = 0; i < KV_LOG_LIMITS; i++) {
      struct kv_log_allowance *allowance = &limit->allowances[i];
      uint64_t passed_ms = now_ms - allowance->first_left_out_ms;
      if (allowance->left_out == 0 || (!all && passed_ms < KV_LOG_REPORT_INTERVAL_MS))
         continue;
      snprintf(message, size, "left out %" PRIu64 " lines within %.1f s like this one: %s",
               allowance->left_out, (double)passed_ms / 1000, allowance->sample);
      allowance->left_out = 0;
      return true;
   }
   if (limit->forgotten == 0)
      return false;
   snprintf(message, size, "left out %" PRIu64 " lines of other kinds", limit->forgotten);
   limit->forgotten = 0;
   return true;
}
