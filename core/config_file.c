#include "core/config_file.h"

#include "core/support/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct file {
   const char *path;
   char *content;
   size_t size;
   unsigned number;  /* of the line at hand */
   const char *line; /* as it stands in the file, but for its end */
   struct kv_status *status;
};

/* ---- One line ---- */

/* Says where the fault is, then what. */
static enum kv_code refuse(const struct file *file, const char *fault)
{
   char shown[KV_TEXT_SHOWN_SIZE];
   kv_text_show(file->line + strspn(file->line, BLANKS), shown, sizeof shown);
   return kv_fail(file->status, KV_INVALID_ARGUMENT, "%s, line %u (%s): %s", file->path,
                  file->number, shown, fault);
}

static bool is_comment(char c)
{
   return c == '#' || c == ';';
}

static bool is_blank(char c)
{
   return c == ' ' || c == '\t';
}

/* Whether nothing but a comment is left of the line. */
static bool is_end(const char *text)
{
   size_t blanks = strspn(text, BLANKS);
   return text[blanks] == '\0' || (blanks > 0 && is_comment(text[blanks]));
}

/* Ends a plain value before its comment and the blanks at its end. */
static void cut_plain(char *value)
{
   char *end = value;
   for (char *c = value; *c != '\0'; c++) {
      if (is_comment(*c) && (c == value || is_blank(c[-1])))
         break;
      if (!is_blank(*c))
         end = c + 1;
   }
   *end = '\0';
}

/* Undoes the quotes of a value, in place. NULL, or what is wrong. */
static const char *unquote(char *value)
{
   char *to = value, *from = value + 1;
   for (; *from != '"'; from++) {
      if (*from == '\0')
         return "the quote at the start of the value is not closed";
      if (*from == '\\' && *++from != '"' && *from != '\\')
         return "in quotes, a backslash may only precede a quote or another backslash";
      *to++ = *from;
   }
   if (!is_end(from + 1))
      return "something follows the quoted value; put a comment after a blank and '#'";
   *to = '\0';
   return NULL;
}

/* Takes `line` apart, in place. *name is NULL when there is no setting in it. Returns what is
 * wrong. */
static const char *parse(char *line, char **name, char **value)
{
   static const char form[] = "is not of the form \"name = value\"";
   *name = line + strspn(line, BLANKS);
   if (**name == '\0' || is_comment(**name)) {
      *name = NULL;
      return NULL;
   }
   if (**name == '[')
      return "sections are not supported; write a setting as \"name = value\"";
   size_t name_size = strcspn(*name, BLANKS "=");
   char *equals = *name + name_size + strspn(*name + name_size, BLANKS);
   if (name_size == 0 || *equals != '=')
      return form;
   *value = equals + 1 + strspn(equals + 1, BLANKS);
   (*name)[name_size] = '\0';
   if (**value == '"')
      return unquote(*value);
   cut_plain(*value);
   return NULL;
}

/* ---- The file ---- */

static enum kv_code fail_memory(struct kv_status *status)
{
   return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the configuration");
}

/* All of it, with a NUL at its end. */
static enum kv_code read_content(struct file *file)
{
   FILE *stream = fopen(file->path, "re");
   if (!stream)
      return kv_fail_errno(file->status, errno, "cannot read configuration file %s", file->path);
   enum kv_code code = KV_OK;
   file->content = malloc(KV_CONFIG_FILE_SIZE_MAX + 1);
   if (!file->content) {
      code = fail_memory(file->status);
   } else {
      file->size = fread(file->content, 1, KV_CONFIG_FILE_SIZE_MAX + 1, stream);
      if (ferror(stream))
         code = kv_fail_errno(file->status, errno, "cannot read configuration file %s", file->path);
      else if (file->size > KV_CONFIG_FILE_SIZE_MAX)
         code = kv_fail(file->status, KV_INVALID_ARGUMENT,
                        "%s has more than %zu bytes; that is not a configuration file", file->path,
                        KV_CONFIG_FILE_SIZE_MAX);
      else
         file->content[file->size] = '\0';
   }
   fclose(stream);
   return code;
}

/* What no line may hold, or NULL. Tabs are blanks. */
static const char *find_bad_text(char *line)
{
   for (char *tab = line; (tab = strchr(tab, '\t'));)
      *tab = ' ';
   return kv_text_is_printable(line)
              ? NULL
              : "holds a control character, or bytes that are not UTF-8; write plain text";
}

/* `line` is a copy that may be changed. */
static enum kv_code take_line(struct file *file, char *line, kv_config_take *take, void *context)
{
   char *name = NULL, *value = NULL;
   const char *fault = find_bad_text(line);
   if (!fault)
      fault = parse(line, &name, &value);
   if (fault)
      return refuse(file, fault);
   if (!name)
      return KV_OK;
   const struct kv_config_line taken = {name, value, file->number};
   struct kv_status reason;
   enum kv_code code = take(context, &taken, &reason);
   if (code != KV_OK) {
      refuse(file, reason.text);
      file->status->code = code;
   }
   return code;
}

/* Cuts off the next line. False when there is none. */
static bool next_line(struct file *file, char **rest)
{
   char *line = *rest;
   size_t left = file->size - (size_t)(line - file->content);
   if (left == 0)
      return false;
   char *end = memchr(line, '\n', left);
   *rest = end ? end + 1 : line + left;
   if (!end)
      end = line + left;
   if (end > line && end[-1] == '\r')
      end--;
   for (char *nul = line; (nul = memchr(nul, '\0', (size_t)(end - nul)));)
      *nul = '\x01'; /* which no line may hold either */
   *end = '\0';
   file->line = line;
   file->number++;
   return true;
}

enum kv_code kv_config_file_read(const char *path, kv_config_take *take, void *context,
                                 struct kv_status *status)
{
   struct file file = {.path = path, .status = status};
   enum kv_code code = read_content(&file);
   char *rest = file.content;
   if (code == KV_OK && strncmp(rest, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
      rest += strlen(BYTE_ORDER_MARK);
   while (code == KV_OK && next_line(&file, &rest)) {
      char *line = strdup(file.line);
      code = line ? take_line(&file, line, take, context) : fail_memory(status);
      free(line);
   }
   free(file.content);
   return code;
}
