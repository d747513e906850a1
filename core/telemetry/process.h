/*
 * What the system says of this process.
 *
 * Threads: any.
 */
#ifndef KV_TELEMETRY_PROCESS_H
#define KV_TELEMETRY_PROCESS_H

#include <stdint.h>

/* What cannot be read is 0. */
struct kv_process_figures {
   double cpu_s;   /* of the processors, since its start */
   double start_s; /* Unix time */
   uint64_t resident_bytes, virtual_bytes;
   uint64_t open_files, files_max; /* files_max 0: no limit */
   uint64_t threads;
};

void kv_process_read(struct kv_process_figures *figures);

#endif
