/* What of the server's answers is a report in several lines. One thread; writes to standard output.
 */
#ifndef CLIENT_REPORT_H
#define CLIENT_REPORT_H

#include <kvstore.pb-c.h>
#include <stddef.h>

void report_options(Kvstore__MapEntry **options, size_t count);

/* The hooks of the active plug-in that have been called, and those over their time budget. */
void report_hooks(const Kvstore__StatusResponse *answer);

/* A shadow run. Returns what the client exits with: EXIT_DONE unless the plug-in failed or gave
 * back other data. */
int report_shadow(const Kvstore__ShadowReport *report);

#endif
