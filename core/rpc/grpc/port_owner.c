#include "core/rpc/grpc/port_owner.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_LISTEN 0x0A /* of the kernel's TCP states, as /proc/net/tcp prints it */

/* An address the way /proc/net/tcp (8 digits) and tcp6 (32 digits) print it. */
struct printed_address {
   char digits[33];
   unsigned port;
};

static void describe_process(pid_t pid, char *text)
{
   char path[64], name[32] = "";
   snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
   FILE *file = fopen(path, "re");
   if (file) {
      if (!fgets(name, sizeof name, file))
         name[0] = '\0';
      fclose(file);
   }
   name[strcspn(name, "\n")] = '\0';
   snprintf(text, KV_PORT_OWNER_TEXT_SIZE, "held by process %ld (%s)", (long)pid,
            name[0] ? name : "name unknown");
}

static void describe_unseen(char *text)
{
   snprintf(text, KV_PORT_OWNER_TEXT_SIZE,
            "held by a process of another user or container that cannot be seen from here");
}

static bool print_address(const struct sockaddr *address, struct printed_address *printed)
{
   if (address->sa_family == AF_INET) {
      const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
      snprintf(printed->digits, sizeof printed->digits, "%08" PRIX32, v4->sin_addr.s_addr);
      printed->port = ntohs(v4->sin_port);
      return true;
   }
   if (address->sa_family == AF_INET6) {
      const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
      uint32_t words[4];
      memcpy(words, &v6->sin6_addr, sizeof words);
      snprintf(printed->digits, sizeof printed->digits,
               "%08" PRIX32 "%08" PRIX32 "%08" PRIX32 "%08" PRIX32, words[0], words[1], words[2],
               words[3]);
      printed->port = ntohs(v6->sin6_port);
      return true;
   }
   return false;
}

/* An IPv4 address inside an IPv6 one (gRPC listens that way) is the same as the plain one. */
static const char *without_mapping(const char *digits)
{
   static const char prefix[] = "0000000000000000FFFF0000";
   size_t size = sizeof prefix - 1;
   return strncmp(digits, prefix, size) == 0 ? digits + size : digits;
}

static bool is_wildcard(const char *digits)
{
   return digits[strspn(digits, "0")] == '\0';
}

/* A wildcard takes the port on every address, of both families. */
static bool excludes(const char *digits, const struct printed_address *wanted)
{
   return is_wildcard(digits) || is_wildcard(wanted->digits) ||
          strcmp(without_mapping(digits), without_mapping(wanted->digits)) == 0;
}

/* The inode of the listening socket in one of the kernel's tables, or 0. */
static uint64_t find_inode(const char *table, const struct printed_address *wanted)
{
   FILE *file = fopen(table, "re");
   if (!file)
      return 0;
   char line[512], digits[33];
   uint64_t found = 0;
   while (found == 0 && fgets(line, sizeof line, file)) {
      unsigned port, state;
      uint64_t inode;
      if (sscanf(line, " %*d: %32[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %" SCNu64, digits, &port,
                 &state, &inode) != 4)
         continue;
      if (state == STATE_LISTEN && port == wanted->port && excludes(digits, wanted))
         found = inode;
   }
   fclose(file);
   return found;
}

static bool has_descriptor(const char *pid, const char *link_wanted)
{
   char path[300];
   snprintf(path, sizeof path, "/proc/%s/fd", pid);
   DIR *descriptors = opendir(path);
   if (!descriptors)
      return false;
   bool found = false;
   struct dirent *entry;
   while (!found && (entry = readdir(descriptors)) != NULL) {
      char target[64];
      ssize_t size = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof target - 1);
      if (size <= 0)
         continue;
      target[size] = '\0';
      found = strcmp(target, link_wanted) == 0;
   }
   closedir(descriptors);
   return found;
}

/* The process that has the socket open, or 0. */
static pid_t find_process(uint64_t inode)
{
   char link[64];
   snprintf(link, sizeof link, "socket:[%" PRIu64 "]", inode);
   DIR *processes = opendir("/proc");
   if (!processes)
      return 0;
   pid_t found = 0;
   struct dirent *entry;
   while (found == 0 && (entry = readdir(processes)) != NULL) {
      if (isdigit((unsigned char)entry->d_name[0]) && has_descriptor(entry->d_name, link))
         found = (pid_t)strtol(entry->d_name, NULL, 10);
   }
   closedir(processes);
   return found;
}

void kv_port_owner_of_address(const struct sockaddr *address, char text[KV_PORT_OWNER_TEXT_SIZE])
{
   struct printed_address wanted;
   uint64_t inode = 0;
   if (print_address(address, &wanted)) {
      inode = find_inode("/proc/net/tcp", &wanted);
      if (inode == 0)
         inode = find_inode("/proc/net/tcp6", &wanted);
   }
   pid_t pid = inode != 0 ? find_process(inode) : 0;
   if (pid != 0)
      describe_process(pid, text);
   else
      describe_unseen(text);
}

void kv_port_owner_of_peer(int fd, char text[KV_PORT_OWNER_TEXT_SIZE])
{
   struct ucred peer;
   socklen_t size = sizeof peer;
   if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid != 0)
      describe_process(peer.pid, text);
   else
      describe_unseen(text);
}
