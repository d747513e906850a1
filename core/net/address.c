#include "core/net/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"
#define PATH_MAX_SIZE (sizeof((struct sockaddr_un *)0)->sun_path - 1)

static bool split(const char *text, struct kv_address *address)
{
   const char *colon = strrchr(text, ':');
   if (!colon)
      return false;
   const char *start = text, *end = colon;
   if (*start == '[') {
      start++;
      if (end - start < 1 || *--end != ']')
         return false;
   } else if (memchr(start, ':', (size_t)(end - start))) {
      return false;
   }
   size_t size = (size_t)(end - start), digits = strspn(colon + 1, "0123456789");
   if (size == 0 || size >= sizeof address->host || digits == 0 || digits > 5 ||
       colon[1 + digits] != '\0')
      return false;
   memcpy(address->host, start, size);
   address->host[size] = '\0';
   address->port = (unsigned)strtoul(colon + 1, NULL, 10);
   return address->port <= UINT16_MAX;
}

enum kv_code kv_address_parse(const char *text, struct kv_address *address,
                              struct kv_status *status)
{
   *address = (struct kv_address){0};
   if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
      address->path = text + strlen(UNIX_PREFIX);
      size_t size = strlen(address->path);
      if (size > 0 && size <= PATH_MAX_SIZE)
         return KV_OK;
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "cannot listen on %s: the path has %zu bytes; write 1 to %zu", text, size,
                     PATH_MAX_SIZE);
   }
   if (split(text, address))
      return KV_OK;
   return kv_fail(status, KV_INVALID_ARGUMENT,
                  "\"%s\" is not an address to listen on; write host:port, [v6]:port with a port "
                  "of at most 65535, or unix:PATH",
                  text);
}

unsigned kv_address_port(const struct sockaddr *address)
{
   return address->sa_family == AF_INET
              ? ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port)
              : ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
}

void kv_address_set_port(struct sockaddr *address, unsigned port)
{
   if (address->sa_family == AF_INET)
      ((struct sockaddr_in *)(void *)address)->sin_port = htons((in_port_t)port);
   else
      ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons((in_port_t)port);
}

void kv_address_print(const struct sockaddr *address, socklen_t size,
                      char text[KV_ADDRESS_TEXT_SIZE])
{
   char host[KV_ADDRESS_TEXT_SIZE - sizeof "[]:65535"];
   if (getnameinfo(address, size, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
      snprintf(host, sizeof host, "?");
   snprintf(text, KV_ADDRESS_TEXT_SIZE, address->sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
            kv_address_port(address));
}

static bool is_loopback(const struct in_addr *address)
{
   return ntohl(address->s_addr) >> 24 == IN_LOOPBACKNET;
}

bool kv_address_is_local(const struct sockaddr *address)
{
   if (address->sa_family == AF_INET)
      return is_loopback(&((const struct sockaddr_in *)(const void *)address)->sin_addr);
   if (address->sa_family != AF_INET6)
      return address->sa_family == AF_UNIX;
   const struct in6_addr *own = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
   struct in_addr mapped;
   memcpy(&mapped, &own->s6_addr[sizeof own->s6_addr - sizeof mapped], sizeof mapped);
   return IN6_IS_ADDR_LOOPBACK(own) || (IN6_IS_ADDR_V4MAPPED(own) && is_loopback(&mapped));
}

bool kv_address_covers(const struct sockaddr *a, const struct sockaddr *b)
{
   if (a->sa_family != b->sa_family || kv_address_port(a) != kv_address_port(b))
      return false;
   if (a->sa_family == AF_INET) {
      const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
      return x->sin_addr.s_addr == htonl(INADDR_ANY) || x->sin_addr.s_addr == y->sin_addr.s_addr;
   }
   const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
   return IN6_IS_ADDR_UNSPECIFIED(&x->sin6_addr) ||
          (IN6_ARE_ADDR_EQUAL(&x->sin6_addr, &y->sin6_addr) &&
           x->sin6_scope_id == y->sin6_scope_id);
}
