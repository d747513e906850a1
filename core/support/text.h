/*
 * Text from outside (a user's value, a plug-in's message) made fit to show: valid UTF-8, cut
 * between two characters, and nothing in it that steers a terminal, breaks a line, or changes how
 * the text around it looks: no control characters, and none of those that are invisible or turn the
 * direction of writing (Unicode's categories Cc, Cf, Zl, Zp).
 *
 * Threads: any.
 */
#ifndef KV_TEXT_H
#define KV_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Enough of a value to recognize it in a message. */
#define KV_TEXT_SHOWN_SIZE 80

bool kv_text_is_printable(const char *text);

/* Lower-case letters, digits and those of `others`; not empty, at most `size_max` bytes. */
bool kv_text_is_plain_name(const char *text, const char *others, size_t size_max);

/* Copies `text` into a buffer of `capacity` (at least 4) bytes: '?' stands for each byte that is
 * not printable, "..." at the end for what did not fit. Returns `to`. */
const char *kv_text_show(const char *text, char *to, size_t capacity);

/* Copies `text`, any bytes, into a buffer of `capacity`: each byte that is not printable as \xNN,
 * and a backslash as two, so that it can be converted back. What does not fit is cut off. */
#define KV_TEXT_ESCAPED_MAX 4 /* by how much it grows at the most */
void kv_text_escape(const char *text, char *to, size_t capacity);

/* Copies `text` into a buffer of `capacity`, cut to fit, with `placeholder` for each of `paths`
 * (NULL ends them) wherever it stands as a whole or before a '/': what a message for strangers is
 * made of. */
void kv_text_hide_paths(const char *text, const char *const *paths, const char *placeholder,
                        char *to, size_t capacity);

/* Cuts the next item off a list "a,b\,c" in place, undoing the escapes: "\," stands for a comma,
 * "\\" for a backslash, and a backslash before anything else for itself. *rest is NULL after the
 * last item. */
char *kv_text_next_item(char **rest);

/* Puts '?' for each byte that is not printable, in place. */
void kv_text_clean(char *text);

#endif
