/* The server's answers that are reports of several lines. One thread. */
#ifndef CLIENT_REPORT_H
#define CLIENT_REPORT_H

#include <kvstore/v1/admin.pb-c.h>
#include <stddef.h>
#include <stdio.h>

void report_options(FILE *out, Kvstore__V1__MapEntry **options, size_t count);

/* The server's state, with the hooks of the active plug-in that have been called, and those over
 * their time budget. */
void report_status(FILE *out, const Kvstore__V1__GetStatusResponse *answer);

/* A shadow run. Returns the client's exit code: EXIT_DONE unless the plug-in failed or gave back
 * other data. */
int report_shadow(FILE *out, const Kvstore__V1__ShadowReport *report);

#endif
