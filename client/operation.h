/*
 * An operation on one key: from the words of a command to its message, and from its result to what
 * is shown. The same alone, in a transaction and in a pipe.
 *
 * One thread.
 */
#ifndef CLIENT_OPERATION_H
#define CLIENT_OPERATION_H

#include "client/options.h"
#include "client/session.h"

#include <kvstore/v1/key_value.pb-c.h>

struct operation {
   Kvstore__V1__Operation message; /* holds a pointer into this struct, which must not move */
   union {
      Kvstore__V1__GetRequest get;
      Kvstore__V1__SetRequest set;
      Kvstore__V1__DeleteRequest delete;
      Kvstore__V1__IncrementRequest increment;
      Kvstore__V1__SetExpiryRequest set_expiry;
   };
   Kvstore__V1__Condition condition;
   Kvstore__V1__Expiry expiry;
   bool verbose;  /* get -v: all that there is to know of the entry */
   bool json;     /* get --json: the same for programs */
   bool is_plain; /* set, get and del without options */
   bool is_ttl;   /* a get that shows the time left */
   bool is_alone; /* it has options that a transaction takes as a whole */
};

#define OPERATION_TEXT_SIZE OPTIONS_ERROR_SIZE

/* Reads a command: set, get, del, incr, decr, expire, persist or ttl. The words must outlive the
 * operation. False with what is wrong, for a person. */
bool operation_read(struct operation *operation, const struct kv_slice *words, size_t count,
                    char error[OPERATION_TEXT_SIZE]);
/* Whether that is the name of one. */
bool operation_is(struct kv_slice name);
struct kv_slice operation_key(const struct operation *operation);

/* Makes the call of an operation alone; returns the exit code. */
int operation_run(struct session *session, const struct operation *operation);
/* Shows the result of one in a list; returns the exit code. */
int operation_show(struct session *session, const struct operation *operation,
                   const Kvstore__V1__OperationResult *result);

/* The level of the option --durability, which `options` has just returned: memory, written or
 * synced. False with `error` there. */
bool operation_durability(struct options *options, Kvstore__V1__Durability *durability);

#endif
