#include "core/support/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 4, 0))) static void fill_in(struct kv_status *status,
                                                          enum kv_code code, const char *reason,
                                                          const char *format, va_list arguments)
{
   status->code = code;
   status->reason = reason;
   vsnprintf(status->text, sizeof status->text, format, arguments);
}

const char *kv_code_name(enum kv_code code)
{
   static const char *const names[] = {
       "OK",
       "CANCELLED",
       "UNKNOWN",
       "INVALID_ARGUMENT",
       "DEADLINE_EXCEEDED",
       "NOT_FOUND",
       "ALREADY_EXISTS",
       "PERMISSION_DENIED",
       "RESOURCE_EXHAUSTED",
       "FAILED_PRECONDITION",
       "ABORTED",
       "OUT_OF_RANGE",
       "UNIMPLEMENTED",
       "INTERNAL",
       "UNAVAILABLE",
       "DATA_LOSS",
       "UNAUTHENTICATED",
   };
   return code < sizeof names / sizeof *names ? names[code] : "UNKNOWN";
}

enum kv_code(kv_fail)(struct kv_status *status, enum kv_code code, const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   fill_in(status, code, NULL, format, arguments);
   va_end(arguments);
   return code;
}

enum kv_code(kv_fail_reason)(struct kv_status *status, enum kv_code code, const char *reason,
                             const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   fill_in(status, code, reason, format, arguments);
   va_end(arguments);
   return code;
}

static enum kv_code code_of_errno(int error_number)
{
   switch (error_number) {
   case ENOSPC:
   case EDQUOT:
   case EFBIG:
   case ENOMEM:
      return KV_RESOURCE_EXHAUSTED;
   case EACCES:
   case EPERM:
      return KV_PERMISSION_DENIED;
   default:
      return KV_UNAVAILABLE;
   }
}

static const char *reason_of_errno(int error_number)
{
   const bool full = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
   return full ? KV_REASON_STORAGE_FULL : NULL;
}

enum kv_code(kv_fail_errno)(struct kv_status *status, int error_number, const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   fill_in(status, code_of_errno(error_number), reason_of_errno(error_number), format, arguments);
   va_end(arguments);
   size_t used = strlen(status->text);
   snprintf(status->text + used, sizeof status->text - used, ": %s", strerrordesc_np(error_number));
   return status->code;
}
