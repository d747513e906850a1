/*
 * The fault shim: a library to preload into the server (LD_PRELOAD) that makes calls on the files
 * of the data directory, and the server's own allocations, fail as a test says.
 *
 * Control. KVSTORE_FAULT_CONTROL names a file that holds one `struct shim_control`; the shim maps
 * it shared, and so does the test: a rule counts from the moment its `armed` is set, and counts can
 * be read at any time, also after the process was killed. KVSTORE_FAULT_ROOT is the absolute path
 * of the data directory; calls on other files pass untouched and uncounted. Without either variable
 * the shim does nothing. tests/support/faults.py is the Python side of this file.
 *
 * Rules. All armed rules see a call, in order. A rule whose `kinds` has the call's bit,
 * and whose `match`, unless empty, is a part of the path, counts it in `seen`; when seen lies
 * within first..last it acts. The first rule that acts decides. Actions:
 *
 *   ERROR   the call is not made and fails with errno `argument`. (A close is made all the same.)
 *   LATE    the call is made, and its success is reported as a failure with errno `argument`.
 *   SHORT   a read or write transfers half of its bytes, at least one; other calls pass.
 *   DELAY   the call is made after `argument` milliseconds.
 *   HOLD    the call waits until the rule is disarmed; `held` counts those that wait.
 *   SKIP    the call is not made and succeeds: a sync or a write that gets lost.
 *   KILL    the process ends at once, as by kill -9, before the call.
 *
 * sdk/fault/fault.h is another library, for the conformance kit: driven from within the process by
 * one rule, it sees a third party's files however they were opened, and leaves allocations alone.
 *
 * Threads: any. The shim takes no lock and allocates nothing.
 */
#ifndef FAULT_SHIM_H
#define FAULT_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHIM_MAGIC 0x31544c554146564bu /* "KVFAULT1" */
#define SHIM_RULES 32
#define SHIM_MATCH_SIZE 80

/* In the order of KINDS in faults.py. */
enum shim_kind {
   SHIM_OPEN,      /* open, openat */
   SHIM_READ,      /* read, pread */
   SHIM_WRITE,     /* write, pwrite, writev, pwritev */
   SHIM_FSYNC,     /* also of directories */
   SHIM_FDATASYNC, /* */
   SHIM_FALLOCATE, /* fallocate, posix_fallocate */
   SHIM_FTRUNCATE, /* */
   SHIM_RENAME,    /* rename, renameat; the path is the new one */
   SHIM_UNLINK,    /* unlink, unlinkat, rmdir, remove */
   SHIM_MKDIR,     /* mkdir, mkdirat */
   SHIM_OPENDIR,   /* opendir, fdopendir */
   SHIM_READDIR,   /* */
   SHIM_CLOSE,     /* */
   SHIM_STAT,      /* stat, fstat, lstat, fstatat, faccessat, realpath */
   SHIM_CHMOD,     /* chmod, fchmod */
   SHIM_FLOCK,     /* */
   SHIM_MEMORY,    /* malloc and its like, called from the server's own code or a plug-in */
   SHIM_KINDS
};

/* In the order of ACTIONS in faults.py. */
enum shim_action {
   SHIM_PASS,
   SHIM_ERROR,
   SHIM_LATE,
   SHIM_SHORT,
   SHIM_DELAY,
   SHIM_HOLD,
   SHIM_SKIP,
   SHIM_KILL
};

struct shim_rule {
   _Atomic uint32_t armed; /* 0 or 1; set last, cleared first */
   uint32_t kinds;         /* one bit for each enum shim_kind */
   uint32_t action;
   uint32_t argument;
   uint64_t first, last; /* from 1 */
   _Atomic uint64_t seen;
   _Atomic uint64_t hits; /* how often it acted */
   _Atomic uint64_t held; /* calls waiting in HOLD now */
   char match[SHIM_MATCH_SIZE];
};

struct shim_control {
   uint64_t magic;
   _Atomic uint64_t calls[SHIM_KINDS]; /* since the control file was made */
   struct shim_rule rules[SHIM_RULES];
};

/* The verdict on one call. */
struct shim_verdict {
   enum shim_action action;
   int error;
};

/* The path of a file descriptor's file, or of a name relative to one, if it lies below the root. */
bool shim_path_of_fd(int fd, char *path, size_t size);
bool shim_path_of_name(int directory_fd, const char *name, char *path, size_t size);

/* Counts a call and decides on it, waiting where a rule says so. Keeps errno. */
struct shim_verdict shim_judge(enum shim_kind kind, const char *path);

#endif
