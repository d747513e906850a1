#include "core/rpc/grpc/connections.h"

#include "core/rpc/grpc/monopoly.h"
#include "core/rpc/grpc/server.h"

#include <grpc/grpc_posix.h>
#include <grpc/support/alloc.h>

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define PREFIX "fd:"
/* No process has more descriptors than that; what has no number counts as 0, which none has. */
#define NUMBER_MAX ((size_t)1 << 21)
/* What a client has to take to have moved: pings alone do not count. */
#define MOVE_SIZE 4096

void kv_connection_accept(void *context, int fd)
{
   struct kv_rpc *rpc = context;
   grpc_server *server = rpc->workers[rpc->next_worker].server;
   rpc->next_worker = (rpc->next_worker + 1) % rpc->worker_count;
   kv_monopoly_note(rpc->monopoly, fd);
   grpc_server_add_channel_from_fd(server, fd, rpc->credentials);
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
   connection->share = kv_share_open(account);
   if (connection->share)
      return connection;
   free(connection);
   return NULL;
}

struct kv_connection *kv_connection_of(struct kv_rpc_worker *worker, grpc_call *call)
{
   size_t number = number_of(call);
   void *table = kv_table_extend(worker->connections, sizeof(struct kv_connection *),
                                 &worker->connection_count, number);
   if (!table)
      return NULL;
   worker->connections = table;
   if (!worker->connections[number])
      worker->connections[number] = create(worker->rpc->account, number);
   return worker->connections[number];
}

/* Bytes that the other side has taken, ever; where the system does not count them, those that it
 * has not taken, which differ as they are. The descriptor may be another one by now: nothing but
 * the answer is wrong then. */
static uint64_t taken_from(int fd, bool *counted)
{
   struct tcp_info info;
   socklen_t size = sizeof info;
   int waiting = 0;
   memset(&info, 0, sizeof info);
   *counted = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0;
   if (*counted)
      return info.tcpi_bytes_acked;
   return ioctl(fd, SIOCOUTQ, &waiting) == 0 ? (uint64_t)waiting : 0;
}

unsigned kv_connection_still(struct kv_connection *connection, unsigned look)
{
   if (connection->look == look)
      return connection->still;
   bool counted, was_looked_at = connection->look + 1 == look;
   connection->look = look;
   uint64_t taken = taken_from(connection->fd, &counted);
   uint64_t step =
       taken > connection->taken ? taken - connection->taken : connection->taken - taken;
   bool moved = counted ? step >= MOVE_SIZE : step > 0;
   connection->still = moved || !was_looked_at ? 0 : connection->still + 1;
   if (moved || !was_looked_at)
      connection->taken = taken;
   return connection->still;
}

void kv_connections_destroy(struct kv_rpc_worker *worker)
{
   for (size_t i = 0; i < worker->connection_count; i++) {
      if (!worker->connections[i])
         continue;
      kv_share_close(worker->connections[i]->share);
      free(worker->connections[i]);
   }
   free(worker->connections);
}
