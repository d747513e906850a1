#include "core/http/host.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define NAME_SIZE 64 /* an address has less */

static bool is_port(const char *text)
{
   return text[0] == '\0' || (text[0] == ':' && text[1 + strspn(text + 1, "0123456789")] == '\0');
}

static bool is_number(int family, const char *name)
{
   unsigned char address[sizeof(struct in6_addr)];
   return inet_pton(family, name, address) == 1;
}

bool kv_http_host_is_local(const char *host)
{
   char name[NAME_SIZE];
   if (!host)
      return true;
   bool bracket = host[0] == '[';
   const char *start = host + bracket;
   size_t size = strcspn(start, bracket ? "]" : ":");
   if (size >= sizeof name || (bracket && start[size] != ']') || !is_port(start + size + bracket))
      return false;
   memcpy(name, start, size);
   name[size] = '\0';
   if (bracket)
      return is_number(AF_INET6, name);
   return strcasecmp(name, "localhost") == 0 || is_number(AF_INET, name);
}
