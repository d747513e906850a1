#include "client/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#define UNIX "unix:"

static enum kv_code refuse(const char *text, const char *reason, struct kv_status *status)
{
   return kv_fail(status, KV_INVALID_ARGUMENT, "address \"%.200s\" %s", text, reason);
}

static enum kv_code take_path(struct address *address, struct kv_status *status)
{
   const char *path = address->text + strlen(UNIX);
   if (strncmp(path, "//", 2) == 0 && path[2] == '/')
      path += 2; /* unix:///PATH */
   if (!*path)
      return refuse(address->text, "has no path; write unix:PATH", status);
   if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
      return refuse(address->text, "is longer than a socket's path may be (107 bytes)", status);
   address->path = path;
   return KV_OK;
}

static bool is_port(const char *text)
{
   size_t size = strlen(text);
   if (size == 0 || size > 5 || strspn(text, "0123456789") != size)
      return false;
   long port = strtol(text, NULL, 10);
   return port >= 1 && port <= 65535;
}

/* Cuts HOST:PORT or [HOST]:PORT, which is `address->text` once more, in two. */
static enum kv_code take_host(struct address *address, char *copy, struct kv_status *status)
{
   char *colon = strrchr(copy, ':');
   if (!colon)
      return refuse(address->text, "has no port; write HOST:PORT, such as localhost:50051", status);
   bool brackets = copy[0] == '[';
   if (brackets ? colon[-1] != ']' : strchr(copy, ':') != colon)
      return refuse(address->text,
                    "is not of the form HOST:PORT; an IPv6 address stands in brackets, such as "
                    "[::1]:50051",
                    status);
   colon[brackets ? -1 : 0] = '\0';
   address->host = copy + brackets;
   address->port = colon + 1;
   if (!*address->host)
      return refuse(address->text, "has no host; write HOST:PORT, such as localhost:50051", status);
   if (strlen(address->host) >= NI_MAXHOST)
      return refuse(address->text, "is longer than the name of a host may be", status);
   if (!is_port(address->port))
      return refuse(address->text, "needs a port from 1 to 65535 after the colon", status);
   return KV_OK;
}

static enum kv_code take(struct address *address, char *text, char *copy, struct kv_status *status)
{
   *address = (struct address){.text = text};
   if (!*text)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "an address is empty; write HOST:PORT or unix:PATH, or several with commas");
   if (strncmp(text, UNIX, strlen(UNIX)) == 0)
      return take_path(address, status);
   for (const char *c = text; *c; c++)
      if (isspace((unsigned char)*c))
         return refuse(text, "has a space in it; write a list without spaces, such as a:1,b:2",
                       status);
   if (strstr(text, "://"))
      return refuse(text, "has a scheme; write only HOST:PORT, such as localhost:50051", status);
   if (strchr(text, '/'))
      return refuse(text, "has a slash in it; write only HOST:PORT, or unix:PATH for a socket",
                    status);
   return take_host(address, copy, status);
}

enum kv_code address_list_init(struct address_list *list, const char *text,
                               struct kv_status *status)
{
   size_t size = strlen(text) + 1;
   size_t count = 1;
   for (const char *c = text; *c; c++)
      count += *c == ',';
   /* The text twice: as given, and to be cut into host and port. */
   *list = (struct address_list){.items = calloc(count, sizeof *list->items),
                                 .storage = malloc(2 * size)};
   if (!list->items || !list->storage) {
      address_list_deinit(list);
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
   }
   memcpy(list->storage, text, size);
   memcpy(list->storage + size, text, size);
   char *rest = list->storage;
   for (char *next; (next = strsep(&rest, ",")) != NULL;) {
      char *copy = next + size;
      copy[strlen(next)] = '\0';
      if (take(&list->items[list->count++], next, copy, status) != KV_OK) {
         address_list_deinit(list);
         return status->code;
      }
   }
   return KV_OK;
}

void address_list_deinit(struct address_list *list)
{
   free(list->items);
   free(list->storage);
   *list = (struct address_list){0};
}

bool address_is_loopback(const char *host)
{
   struct in_addr four;
   struct in6_addr six;
   if (inet_pton(AF_INET, host, &four) == 1)
      return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET;
   if (inet_pton(AF_INET6, host, &six) == 1)
      return IN6_IS_ADDR_LOOPBACK(&six) ||
             (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == IN_LOOPBACKNET);
   return strcasecmp(host, "localhost") == 0;
}
