/*
 * How failures travel: a code that decides what the caller does, and a text for the person who can
 * act on it. The codes are those of gRPC, so that a failure can go out on the wire as it is.
 *
 * A function that can fail takes a `struct kv_status *` as its last parameter, fills it in on
 * failure only, and returns the code. Callers may pass an uninitialized struct. Text that does not
 * fit is cut. Every text says what was wrong, with which value, and what to do.
 */
#ifndef KV_STATUS_H
#define KV_STATUS_H

#define KV_STATUS_TEXT_SIZE 768

/* Reasons that several modules give (docs/errors.md). */
#define KV_REASON_STORAGE_FULL "STORAGE_FULL"   /* RESOURCE_EXHAUSTED */
#define KV_REASON_PLUGIN_FAILED "PLUGIN_FAILED" /* UNAVAILABLE, DATA_LOSS, INTERNAL */

enum kv_code {
   KV_OK = 0,
   KV_CANCELLED = 1,
   KV_INVALID_ARGUMENT = 3,
   KV_DEADLINE_EXCEEDED = 4,
   KV_NOT_FOUND = 5,
   KV_ALREADY_EXISTS = 6,
   KV_PERMISSION_DENIED = 7,
   KV_RESOURCE_EXHAUSTED = 8,
   KV_FAILED_PRECONDITION = 9,
   KV_ABORTED = 10,
   KV_OUT_OF_RANGE = 11,
   KV_UNIMPLEMENTED = 12,
   KV_INTERNAL = 13,
   KV_UNAVAILABLE = 14,
   KV_DATA_LOSS = 15,
   KV_UNAUTHENTICATED = 16,
};

/* As gRPC names it, "NOT_FOUND"; "UNKNOWN" for a code that gRPC does not have. */
const char *kv_code_name(enum kv_code code);

struct kv_status {
   enum kv_code code;
   const char *reason; /* for programs: UPPER_SNAKE_CASE, static; NULL: none */
   char text[KV_STATUS_TEXT_SIZE];
};

/* Fills in code and text (printf style) and returns the code. */
enum kv_code kv_fail(struct kv_status *status, enum kv_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with a reason. */
enum kv_code kv_fail_reason(struct kv_status *status, enum kv_code code, const char *reason,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));

/* As kv_fail for a failed system call: appends ": " and the text of `error_number`, and derives the
 * code from it (ENOSPC, EDQUOT, EFBIG: RESOURCE_EXHAUSTED, with STORAGE_FULL as the reason; ENOMEM:
 * RESOURCE_EXHAUSTED; EACCES, EPERM: PERMISSION_DENIED; everything else: UNAVAILABLE). */
enum kv_code kv_fail_errno(struct kv_status *status, int error_number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Tells an analyzer that sees one file at a time that a failure is one. */
#ifdef __clang_analyzer__
#define kv_fail(status, code, ...) ((kv_fail)(status, code, __VA_ARGS__), (code))
#define kv_fail_reason(status, code, ...) ((kv_fail_reason)(status, code, __VA_ARGS__), (code))
#define kv_fail_errno(...) ((kv_fail_errno)(__VA_ARGS__), KV_UNAVAILABLE)
#endif

#endif
