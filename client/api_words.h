/*
 * What the server calls a field, in the words of the commands: its failures begin with the field
 * that is wrong, and a person has typed an option.
 *
 * Pure functions, any thread.
 */
#ifndef CLIENT_API_WORDS_H
#define CLIENT_API_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Copies a failure's text, cut to `size`, with the field it begins with named as commands do. */
void api_words_translate(const char *text, char *out, size_t size);

enum api_list { API_COMPARISONS, API_SUCCESS, API_FAILURE };

/* Where the text begins with a place in a transaction, such as "success[3].set.", gives that and
 * the text after it. */
bool api_words_place(const char *text, enum api_list *list, size_t *index, const char **rest);

#endif
