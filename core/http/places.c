#include "core/http/places.h"

#include "core/support/clock.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>

void kv_http_places_init(struct kv_http_places *places)
{
   pthread_mutex_init(&places->lock, NULL);
   for (size_t i = 0; i < KV_HTTP_CONNECTIONS_MAX; i++)
      places->places[i].fd = -1;
}

void kv_http_places_deinit(struct kv_http_places *places)
{
   pthread_mutex_destroy(&places->lock);
}

static struct kv_http_place *find(struct kv_http_places *places, int fd)
{
   for (size_t i = 0; i < KV_HTTP_CONNECTIONS_MAX; i++)
      if (places->places[i].fd == fd)
         return &places->places[i];
   return NULL;
}

bool kv_http_places_take(struct kv_http_places *places, int fd)
{
   struct stat info;
   if (fstat(fd, &info) != 0)
      return false;
   pthread_mutex_lock(&places->lock);
   struct kv_http_place *place = find(places, -1);
   if (place)
      *place = (struct kv_http_place){fd, info.st_ino, kv_clock_monotonic_ms()};
   pthread_mutex_unlock(&places->lock);
   return place;
}

void kv_http_places_give_up(struct kv_http_places *places, int fd)
{
   pthread_mutex_lock(&places->lock);
   struct kv_http_place *place = find(places, fd);
   if (place)
      place->fd = -1;
   pthread_mutex_unlock(&places->lock);
}

/* Not closed, nor the number of another file by now. */
static bool is_open(const struct kv_http_place *place)
{
   struct stat info;
   return fstat(place->fd, &info) == 0 && S_ISSOCK(info.st_mode) && info.st_ino == place->inode;
}

void kv_http_places_look(struct kv_http_places *places)
{
   uint64_t now_ms = kv_clock_monotonic_ms();
   pthread_mutex_lock(&places->lock);
   for (size_t i = 0; i < KV_HTTP_CONNECTIONS_MAX; i++) {
      struct kv_http_place *place = &places->places[i];
      if (place->fd < 0)
         continue;
      if (!is_open(place))
         place->fd = -1;
      else if (now_ms - place->since_ms >= KV_HTTP_LIFE_MS)
         (void)shutdown(place->fd, SHUT_RDWR); /* fails where the client has ended it */
   }
   pthread_mutex_unlock(&places->lock);
}
