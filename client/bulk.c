#include "client/bulk.h"

#include "client/commands.h"
#include "client/operation.h"

#include <kvstore/v1/key_value.pb-c.h>
#include <stdlib.h>

/* Large enough to share a round trip and a disk sync among many, small enough that other clients do
 * not wait long for the server. */
#define OPERATIONS_MAX 1000
#define BYTES_MAX ((size_t)1024 * 1024)
/* set -- KEY VALUE */
#define PLAIN_WORDS_MAX 4

struct item {
   struct words words;
   size_t line;
   struct operation operation;
};

struct bulk {
   struct session *session;
   size_t count, bytes;
   bool unsupported; /* by the server */
   struct item items[OPERATIONS_MAX];
   Kvstore__V1__Operation *operations[OPERATIONS_MAX];
};

struct bulk *bulk_create(struct session *session)
{
   struct bulk *bulk = calloc(1, sizeof *bulk);
   if (bulk)
      bulk->session = session;
   return bulk;
}

static void clear(struct bulk *bulk)
{
   for (size_t i = 0; i < bulk->count; i++)
      words_deinit(&bulk->items[i].words);
   bulk->count = bulk->bytes = 0;
}

void bulk_destroy(struct bulk *bulk)
{
   clear(bulk);
   free(bulk);
}

/* ---- Adding ---- */

static bool is_read(const struct item *item)
{
   return item->operation.message.kind_case == KVSTORE__V1__OPERATION__KIND_GET;
}

static size_t size_of(const struct words *words)
{
   size_t size = 0;
   for (size_t i = 1; i < words->count; i++)
      size += words->items[i].size;
   return size;
}

/* What is not plain has a call of its own, and so has what is wrong, which says why. */
static bool read_plain(struct item *item)
{
   char error[OPERATION_TEXT_SIZE];
   const struct words *words = &item->words;
   return words->count > 1 && words->count <= PLAIN_WORDS_MAX &&
          !commands_asks_help(words->items, words->count) &&
          operation_read(&item->operation, words->items, words->count, error) &&
          item->operation.is_plain;
}

bool bulk_add(struct bulk *bulk, const struct words *words, size_t line)
{
   if (bulk->unsupported || bulk->count == OPERATIONS_MAX)
      return false;
   struct item *item = &bulk->items[bulk->count];
   *item = (struct item){.words = *words, .line = line};
   size_t size = size_of(words);
   if (!read_plain(item))
      return false;
   if (bulk->count > 0 &&
       (bulk->bytes + size > BYTES_MAX || is_read(&bulk->items[0]) != is_read(item)))
      return false;
   bulk->operations[bulk->count++] = &item->operation.message;
   bulk->bytes += size;
   return true;
}

/* ---- Running ---- */

static void note(int *first_failure, int result)
{
   if (*first_failure == EXIT_DONE)
      *first_failure = result;
}

static int run_alone(struct bulk *bulk, const struct item *item)
{
   bulk->session->line = item->line;
   return commands_run(bulk->session, item->words.items, item->words.count);
}

/* As client/pipe.c does: goes on after a failure, unless the server cannot be reached. */
static int run_one_by_one(struct bulk *bulk)
{
   int first_failure = EXIT_DONE;
   for (size_t i = 0; i < bulk->count; i++) {
      note(&first_failure, run_alone(bulk, &bulk->items[i]));
      if (!connection_reached(bulk->session->connection))
         break;
   }
   return first_failure;
}

static int show_result(struct bulk *bulk, const struct item *item,
                       const Kvstore__V1__OperationResult *result)
{
   struct session *session = bulk->session;
   const struct kv_slice key = operation_key(&item->operation);
   session->line = item->line;
   switch (result->kind_case) {
   case KVSTORE__V1__OPERATION_RESULT__KIND_SET:
      return data_show_set(session, NULL, NULL);
   case KVSTORE__V1__OPERATION_RESULT__KIND_GET:
      return data_show_get(session, key, result->get->entry ? &result->get->entry->value : NULL);
   case KVSTORE__V1__OPERATION_RESULT__KIND_DELETE:
      return data_show_del(session, key, result->delete_->deleted);
   default:
      break;
   }
   /* A value too large for the batch's reply is asked for alone. */
   if (is_read(item))
      return run_alone(bulk, item);
   if (result->kind_case != KVSTORE__V1__OPERATION_RESULT__KIND_ERROR)
      return session_fail(session, KV_INTERNAL, "the server gave no result for this line");
   return session_fail(session, (enum kv_code)result->error->code, "%.*s",
                       (int)result->error->message.len, (const char *)result->error->message.data);
}

static int show_results(struct bulk *bulk, const Kvstore__V1__BatchResponse *answer)
{
   int first_failure = EXIT_DONE;
   static const Kvstore__V1__OperationResult none = KVSTORE__V1__OPERATION_RESULT__INIT;
   for (size_t i = 0; i < bulk->count; i++)
      note(&first_failure,
           show_result(bulk, &bulk->items[i], i < answer->n_results ? answer->results[i] : &none));
   return first_failure;
}

/* Whether the server has changed nothing when it answers with this code, so that the lines can be
 * sent again to learn which of them it refuses. With other codes the batch may have been applied
 * and only the answer lost. */
static bool is_refusal(enum kv_code code)
{
   return code == KV_INVALID_ARGUMENT || code == KV_RESOURCE_EXHAUSTED ||
          code == KV_FAILED_PRECONDITION || code == KV_UNIMPLEMENTED;
}

static int report_for_each(struct bulk *bulk, const struct kv_status *status)
{
   int result = EXIT_DONE;
   for (size_t i = 0; i < bulk->count; i++) {
      bulk->session->line = bulk->items[i].line;
      result = session_report(bulk->session, status->code, status);
      if (!connection_reached(bulk->session->connection))
         break;
   }
   return result;
}

static int run_together(struct bulk *bulk)
{
   Kvstore__V1__BatchRequest request = KVSTORE__V1__BATCH_REQUEST__INIT;
   request.n_operations = bulk->count;
   request.operations = bulk->operations;
   ProtobufCMessage *answer;
   struct kv_status status;
   enum kv_code code = session_try(bulk->session,
                                   SESSION_REQUEST(SESSION_KEYS "Batch", SESSION_QUICK, request,
                                                   kvstore__v1__batch_response__descriptor),
                                   &answer, &status);
   if (code == KV_OK) {
      int result = show_results(bulk, (const Kvstore__V1__BatchResponse *)answer);
      protobuf_c_message_free_unpacked(answer, NULL);
      return result;
   }
   bulk->unsupported = code == KV_UNIMPLEMENTED;
   bool again = connection_reached(bulk->session->connection) &&
                (is_refusal(code) || is_read(&bulk->items[0]));
   return again ? run_one_by_one(bulk) : report_for_each(bulk, &status);
}

int bulk_run(struct bulk *bulk)
{
   int result = EXIT_DONE;
   if (bulk->count == 1)
      result = run_alone(bulk, &bulk->items[0]);
   else if (bulk->count > 1)
      result = run_together(bulk);
   clear(bulk);
   return result;
}
