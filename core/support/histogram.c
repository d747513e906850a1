#include "core/support/histogram.h"

size_t kv_histogram_bucket(struct kv_histogram_shape shape, uint64_t value)
{
   const size_t parts = (size_t)1 << shape.part_bits;
   if (value < parts)
      return (size_t)value;
   unsigned shift = 63 - (unsigned)__builtin_clzll(value) - shape.part_bits;
   size_t bucket = shift * parts + (size_t)(value >> shift);
   return bucket < shape.size ? bucket : shape.size - 1;
}

uint64_t kv_histogram_bucket_end(struct kv_histogram_shape shape, size_t bucket)
{
   const size_t parts = (size_t)1 << shape.part_bits;
   if (bucket == shape.size - 1)
      return UINT64_MAX;
   if (bucket < 2 * parts)
      return bucket;
   unsigned shift = (unsigned)(bucket / parts) - 1;
   return ((uint64_t)(bucket % parts + parts + 1) << shift) - 1;
}

uint64_t kv_histogram_at_rank(struct kv_histogram_shape shape, const uint64_t *counts,
                              uint64_t rank)
{
   uint64_t passed = 0;
   for (size_t i = 0; i < shape.size; i++) {
      passed += counts[i];
      if (passed >= rank)
         return kv_histogram_bucket_end(shape, i);
   }
   return UINT64_MAX;
}
