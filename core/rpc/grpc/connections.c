#include "core/rpc/grpc/connections.h"

#include "core/rpc/grpc/monopoly.h"
#include "core/rpc/grpc/server.h"

#include <grpc/grpc_posix.h>
#include <grpc/support/alloc.h>

#include <stdlib.h>
#include <string.h>

#define PREFIX "fd:"
/* No process has more descriptors than that; what has no number counts as 0, which none has. */
#define NUMBER_MAX ((size_t)1 << 21)

void kv_grpc_accept(void *context, int fd)
{
   struct kv_grpc_server *server = context;
   struct kv_grpc_worker *worker = &server->workers[server->next_worker];
   server->next_worker = (server->next_worker + 1) % server->worker_count;
   kv_monopoly_note(server->monopoly, fd);
   grpc_server_add_channel_from_fd(worker->server, fd, server->credentials);
}

static size_t number_of(grpc_call *call)
{
   char *peer = grpc_call_get_peer(call);
   size_t number = 0;
   if (peer && strncmp(peer, PREFIX, strlen(PREFIX)) == 0)
      number = strtoul(peer + strlen(PREFIX), NULL, 10);
   gpr_free(peer);
   return number <= NUMBER_MAX ? number : 0;
}

void *kv_table_extend(void *table, size_t size, size_t *count, size_t number)
{
   if (number < *count)
      return table;
   size_t more = 2 * number + 64;
   char *extended = reallocarray(table, more, size);
   if (!extended)
      return NULL;
   memset(extended + *count * size, 0, (more - *count) * size);
   *count = more;
   return extended;
}

static struct kv_connection *create(struct kv_account *account, size_t number)
{
   struct kv_connection *connection = calloc(1, sizeof *connection);
   if (!connection)
      return NULL;
   connection->fd = number > 0 ? (int)number : -1;
   connection->number = number;
   connection->share = kv_share_open(account);
   if (connection->share)
      return connection;
   free(connection);
   return NULL;
}

struct kv_connection *kv_grpc_connection_of(struct kv_grpc_worker *worker, grpc_call *call)
{
   size_t number = number_of(call);
   void *table = kv_table_extend(worker->connections, sizeof(struct kv_connection *),
                                 &worker->connection_count, number);
   if (!table)
      return NULL;
   worker->connections = table;
   if (!worker->connections[number])
      worker->connections[number] = create(worker->base.rpc->account, number);
   return worker->connections[number];
}

void kv_grpc_connections_destroy(struct kv_grpc_worker *worker)
{
   for (size_t i = 0; i < worker->connection_count; i++) {
      if (!worker->connections[i])
         continue;
      kv_connection_set_note(worker->connections[i], NULL, NULL);
      kv_share_close(worker->connections[i]->share);
      free(worker->connections[i]);
   }
   free(worker->connections);
}
