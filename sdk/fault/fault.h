/*
 * A failing disk for one process: a small library that stands in front of the C library
 * (LD_PRELOAD) and lets calls on the files below one directory fail, be cut short, or end the
 * process. The program that it is loaded into finds it by the symbol below and drives it.
 *
 * Calls are distinguished by the path that a descriptor leads to, so it does not matter how a file
 * was opened. What does not go through these functions is not seen: memory maps, io_uring, and
 * writes that the C library's own streams (fwrite) make inside it.
 *
 * tests/fault/shim.h is another library, for a whole server: driven from outside of the process by
 * many rules, it looks only at files that it saw being opened, as a server's sockets demand; this
 * one must see third parties' files however they were opened, and leaves allocations alone.
 *
 * Threads: the rule is set while the plug-in does nothing; calls may come from any thread.
 */
#ifndef SDK_FAULT_H
#define SDK_FAULT_H

#include <stdint.h>

#define FAULT_CONTROL_SYMBOL "kvstore_fault_control"
#define FAULT_ROOT_SIZE 4096

/* Kinds of calls, as bits. */
#define FAULT_WRITE 1u  /* write, pwrite, writev, pwritev, ftruncate, fallocate */
#define FAULT_SYNC 2u   /* fsync, fdatasync, msync of anything */
#define FAULT_RENAME 4u /* rename, renameat, to a name below the root */
#define FAULT_KINDS 3

enum fault_action {
   FAULT_FAIL,           /* the call is not made and fails with `error` */
   FAULT_TEAR_THEN_KILL, /* a write transfers half; at the next call the process ends */
};

/* The syncs of regular files since the rule was set, as far as they fit: a power cut may take what
 * only failed ones cover. */
#define FAULT_FILE_SYNCS_MAX 256

struct fault_file_sync {
   uint64_t inode;
   uint64_t failed;
};

struct fault_control {
   char root[FAULT_ROOT_SIZE]; /* a real path; empty: nothing is judged */
   _Atomic uint32_t kinds;     /* 0: no rule; set last */
   uint32_t action;
   int32_t error;
   uint64_t first;                       /* the calls from this one on, counted from 1, are hit */
   _Atomic uint64_t seen;                /* calls of the rule's kinds since it was set */
   _Atomic uint64_t hits;                /* how often it acted */
   _Atomic uint64_t counts[FAULT_KINDS]; /* all calls below the root, by the number of the bit */
   _Atomic uint32_t file_sync_count;     /* may exceed the array */
   struct fault_file_sync file_syncs[FAULT_FILE_SYNCS_MAX];
};

#endif
