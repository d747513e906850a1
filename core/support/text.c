#include "core/support/text.h"

#include "core/support/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct range {
   uint32_t first, last;
};

/* Controls beyond ASCII, format characters, and separators of lines and paragraphs, of Unicode 15:
 * what could hide in a text or show it otherwise than it is. */
static const struct range invisible[] = {
    {0x80, 0x9f},       {0xad, 0xad},       {0x600, 0x605},     {0x61c, 0x61c},
    {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},     {0x8e2, 0x8e2},
    {0x180e, 0x180e},   {0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},
    {0xfeff, 0xfeff},   {0xfff9, 0xfffb},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
    {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe007f},
};

static bool is_invisible(uint32_t point)
{
   for (size_t i = 0; i < sizeof invisible / sizeof *invisible; i++)
      if (point >= invisible[i].first && point <= invisible[i].last)
         return true;
   return false;
}

/* The size of the printable character that `text` begins with; 0 when there is none. */
static size_t character_size(const char *text)
{
   uint32_t point;
   size_t size = kv_utf8_decode(text, KV_UTF8_SIZE_MAX, &point);
   bool is_control = size == 1 && (point < 0x20 || point == 0x7f);
   return is_control || is_invisible(point) ? 0 : size;
}

void kv_text_escape(const char *text, char *to, size_t capacity)
{
   size_t used = 0;
   while (*text != '\0') {
      char piece[8];
      size_t size = character_size(text), taken = size > 0 ? size : 1;
      if (size == 0)
         size = (size_t)snprintf(piece, sizeof piece, "\\x%02x", (unsigned char)*text);
      else if (*text == '\\')
         size = (size_t)snprintf(piece, sizeof piece, "\\\\");
      else
         memcpy(piece, text, size);
      if (size >= capacity - used)
         break;
      memcpy(to + used, piece, size);
      used += size;
      text += taken;
   }
   to[used] = '\0';
}

bool kv_text_is_printable(const char *text)
{
   while (*text != '\0') {
      size_t size = character_size(text);
      if (size == 0)
         return false;
      text += size;
   }
   return true;
}

bool kv_text_is_plain_name(const char *text, const char *others, size_t size_max)
{
   size_t size = 0;
   for (; size <= size_max && text[size] != '\0'; size++) {
      char c = text[size];
      if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !strchr(others, c))
         return false;
   }
   return size > 0 && size <= size_max;
}

const char *kv_text_show(const char *text, char *to, size_t capacity)
{
   static const char ellipsis[] = "...";
   size_t used = 0;
   size_t fits = 0; /* up to here the ellipsis still fits */
   while (*text != '\0') {
      size_t size = character_size(text);
      size_t taken = size > 0 ? size : 1;
      if (used + taken >= capacity) {
         memcpy(to + fits, ellipsis, sizeof ellipsis);
         return to;
      }
      if (size > 0)
         memcpy(to + used, text, size);
      else
         to[used] = '?';
      used += taken;
      text += taken;
      if (used + sizeof ellipsis <= capacity)
         fits = used;
   }
   to[used] = '\0';
   return to;
}

void kv_text_clean(char *text)
{
   while (*text != '\0') {
      size_t size = character_size(text);
      if (size == 0) {
         *text = '?';
         size = 1;
      }
      text += size;
   }
}

char *kv_text_next_item(char **rest)
{
   char *item = *rest, *to = item, *from = item;
   for (; *from != '\0' && *from != ','; from++) {
      if (*from == '\\' && (from[1] == ',' || from[1] == '\\'))
         from++;
      *to++ = *from;
   }
   *rest = *from == ',' ? from + 1 : NULL;
   *to = '\0';
   return item;
}

/* Whether a path can go on with this byte. */
static bool is_in_name(char c)
{
   return (unsigned char)c >= 0x80 || (c != '\0' && strchr("-._/", c)) || (c >= '0' && c <= '9') ||
          (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The size of the one of `paths` that `text` begins with as a whole, or 0. */
static size_t match_path(const char *text, const char *const *paths)
{
   for (; *paths; paths++) {
      size_t size = strlen(*paths);
      if (size > 1 && strncmp(text, *paths, size) == 0 &&
          (text[size] == '/' || !is_in_name(text[size])))
         return size;
   }
   return 0;
}

void kv_text_hide_paths(const char *text, const char *const *paths, const char *placeholder,
                        char *to, size_t capacity)
{
   size_t used = 0;
   bool inside = false; /* a longer name, that only contains the path */
   while (*text != '\0' && used + 1 < capacity) {
      size_t size = inside ? 0 : match_path(text, paths);
      if (size > 0) {
         size_t left = capacity - used - 1, wanted = strlen(placeholder);
         size_t taken = wanted < left ? wanted : left;
         memcpy(to + used, placeholder, taken);
         used += taken;
         text += size;
         inside = true;
      } else {
         inside = is_in_name(*text);
         to[used++] = *text++;
      }
   }
   to[used] = '\0';
}
