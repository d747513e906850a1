/*
 * What each call of kvstore.v1.KeyValueService must do to a store: the checks of request_check.c
 * for them. What may be refused for want of memory or for its content, they only require to have
 * changed nothing; whatever is answered with OK must be what the model says.
 */
#ifndef FUZZ_KEYVALUE_CHECK_H
#define FUZZ_KEYVALUE_CHECK_H

#include "tests/fuzz/request_call.h"

void check_keyvalue_get(const struct check *check);
void check_keyvalue_set(const struct check *check);
void check_keyvalue_delete(const struct check *check);
void check_keyvalue_increment(const struct check *check);
void check_keyvalue_set_expiry(const struct check *check);
void check_keyvalue_batch(const struct check *check);
void check_keyvalue_transaction(const struct check *check);
void check_keyvalue_scan(const struct check *check);
void check_keyvalue_delete_range(const struct check *check);

#endif
