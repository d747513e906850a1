/*
 * Transactions as people write them, one part a line: what must hold, `then` what to do, `else`
 * what to do otherwise.
 *
 *    version account 7        # or: exists KEY, missing KEY, value KEY VALUE
 *    then
 *    set account 10
 *    else
 *    get account
 *
 * Without anything that must hold, `then` may be left out.
 *
 * One thread.
 */
#ifndef CLIENT_TRANSACTION_H
#define CLIENT_TRANSACTION_H

#include "client/session.h"
#include "client/words.h"

#include <kvstore/v1/key_value.pb-c.h>

/* For `help txn`. */
extern const char transaction_help[];

struct transaction;

/* NULL when memory runs out. */
struct transaction *transaction_create(void);
void transaction_destroy(struct transaction *transaction);

#define TRANSACTION_TEXT_SIZE 320

enum transaction_line {
   TRANSACTION_MORE,    /* it was taken, or is empty */
   TRANSACTION_SEND,    /* `commit`, and everything is right */
   TRANSACTION_DISCARD, /* `abort` */
   TRANSACTION_REFUSED, /* `commit`, but a line before was wrong: as the text says */
   TRANSACTION_HELP,    /* `help` */
   TRANSACTION_WRONG,   /* the text says why; from now on it cannot be sent */
};

/* Takes a line, without the newline, which counts as the line `number`. One that is wrong changes
 * nothing but that the transaction is refused. */
enum transaction_line transaction_add(struct transaction *transaction, const char *line,
                                      size_t size, size_t number,
                                      char error[TRANSACTION_TEXT_SIZE]);
/* Says that this line was wrong for another reason. */
void transaction_spoil(struct transaction *transaction, size_t number);
/* As the line `commit`, for where the end of the text means that. */
enum transaction_line transaction_commit(const struct transaction *transaction,
                                         char error[TRANSACTION_TEXT_SIZE]);
/* Whether it has any part. */
bool transaction_is_empty(const struct transaction *transaction);
/* What the next line is part of: "if", "then" or "else". */
const char *transaction_section(const struct transaction *transaction);

/* Fills in what was taken; valid as long as the transaction. */
void transaction_fill(const struct transaction *transaction,
                      Kvstore__V1__TransactionRequest *request);
/* Has the text of a failed call name the line that it is about, instead of the part's place. */
void transaction_explain(const struct transaction *transaction, struct kv_status *status);
/* Shows the answer; returns the exit code. */
int transaction_show(struct session *session, const struct transaction *transaction,
                     const Kvstore__V1__TransactionResponse *answer);

#endif
