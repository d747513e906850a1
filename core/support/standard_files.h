/*
 * Descriptors 0 to 2, occupied. A program that was started with one of them closed would be given
 * its number for the next file that it opens, and then read its input from there, or print into it.
 */
#ifndef KV_STANDARD_FILES_H
#define KV_STANDARD_FILES_H

#include <stdbool.h>

/* First thing in main; a program that calls it also has it called before the libraries that it is
 * linked with begin, since they may open files as well. What was closed reads and writes as a
 * closed descriptor does (EBADF). False with errno when that cannot be brought about; then the
 * program must not go on. */
bool kv_standard_files_occupy(void);

#endif
