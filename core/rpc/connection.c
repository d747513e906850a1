#include "core/rpc/connection.h"

#include "core/net/address.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* What a client has to take to have moved: pings alone do not count. */
#define MOVE_SIZE 4096

/* Above 32 bits, in numbers of networks; IPv6 addresses have others there. */
#define ADDRESS_OF_IPV4 (UINT64_C(1) << 32)
#define USER_OF_SYSTEM (UINT64_C(2) << 32)

_Static_assert(KV_RPC_PEER_SIZE == KV_ADDRESS_TEXT_SIZE, "an address fits into a peer's text");

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

/* On other sockets the option gives credentials of nobody, so the family is asked first. */
void kv_connection_identify(struct kv_connection *connection)
{
   struct kv_rpc_identity *identity = &connection->identity;
   struct ucred peer;
   int family = AF_UNSPEC;
   socklen_t size = sizeof family, peer_size = sizeof peer;
   identity->is_local = getsockopt(connection->fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 &&
                        family == AF_UNIX &&
                        getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0;
   if (identity->is_local) {
      identity->uid = peer.uid;
      identity->gid = peer.gid;
   }
}

void kv_connection_set_note(struct kv_connection *connection, void *note,
                            void (*release)(void *note))
{
   if (connection->note)
      connection->release_note(connection->note);
   connection->note = note;
   connection->release_note = release;
}

void kv_connection_peer(const struct kv_connection *connection, char text[KV_RPC_PEER_SIZE])
{
   struct sockaddr_storage address = {0};
   socklen_t size = sizeof address;
   struct sockaddr *peer = (struct sockaddr *)&address;
   if (getpeername(connection->fd, peer, &size) != 0)
      snprintf(text, KV_RPC_PEER_SIZE, "unknown");
   else if (peer->sa_family == AF_UNIX)
      snprintf(text, KV_RPC_PEER_SIZE, "unix:");
   else
      kv_address_print(peer, size, text);
}

uint64_t kv_connection_network(const struct kv_connection *connection)
{
   struct sockaddr_storage address = {0};
   socklen_t size = sizeof address;
   const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)&address;
   const struct in6_addr *ipv6 = &((const struct sockaddr_in6 *)&address)->sin6_addr;
   uint64_t network = 0;
   uint32_t last;
   if (getpeername(connection->fd, (struct sockaddr *)&address, &size) != 0)
      return 0;
   switch (address.ss_family) {
   case AF_INET:
      return ADDRESS_OF_IPV4 | ipv4->sin_addr.s_addr;
   case AF_INET6:
      memcpy(&last, ipv6->s6_addr + 12, sizeof last);
      memcpy(&network, ipv6->s6_addr, sizeof network);
      return IN6_IS_ADDR_V4MAPPED(ipv6) ? ADDRESS_OF_IPV4 | last : network;
   default:
      return connection->identity.is_local ? USER_OF_SYSTEM | connection->identity.uid : 0;
   }
}
