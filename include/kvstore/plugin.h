/*
 * kvstore persistence plug-in ABI, version 1.
 *
 * A persistence plug-in is a shared object that decides how the server's data survives. The server
 * keeps all data in memory; it hands every batch of changes to the plug-in before anyone can read
 * them (on_write), asks the plug-in for everything it kept when the server starts (on_load), and
 * lets it do slow work beside the traffic with an immutable picture of the data in hand (on_tick).
 *
 * This header is all that a plug-in needs. It is valid C11 and C++17 and includes nothing of the
 * server. A plug-in exports exactly one symbol, `kvstore_plugin`; compile it with
 * -fvisibility=hidden and install it as <plugin directory>/<name>.so.
 *
 * Rules that hold for the whole boundary
 *
 *  - Every struct that may grow begins with its `size` in bytes, as the side that fills it in knows
 *    it. Structs grow only at their end. A reader checks `size` before it touches a later field.
 *    Structs without a `size` cross the boundary as arrays and never change within version 1.
 *  - `abi_major` must match exactly. `abi_minor` may differ either way: what one side lacks is
 *    asked for with host->extension(), which may answer NULL.
 *  - Memory handed to a hook belongs to the host and is valid until the hook returns. What a
 *    plug-in allocates, it frees in close. Nothing crosses that the other side must free.
 *  - All text is UTF-8. Sizes are in bytes. Times are in milliseconds.
 *
 * Threads
 *
 *  [control]  The host's control thread. open, on_load, on_tick and close of one instance are
 *             called here, one at a time.
 *  [commit]   Where batches are committed. on_write is called here, one at a time: on one thread of
 *             its own, or, with KVS_PLUGIN_PROMPT, on changing ones. It may run while on_tick of
 *             the same instance runs, and never beside open, on_load or close.
 *  [any]      Any thread, also one that the plug-in started itself.
 *
 * A plug-in may start threads of its own. They must have ended when close returns.
 */
#ifndef KVSTORE_PLUGIN_H
#define KVSTORE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KVS_ABI_MAJOR 1
#define KVS_ABI_MINOR 2

#if defined(__GNUC__)
#define KVS_EXPORT __attribute__((visibility("default")))
#else
#define KVS_EXPORT
#endif

/* ---- Results of hooks --------------------------------------------------------------------- */

/* Done. */
#define KVS_OK 0
/* The configuration cannot work (open, on_load). The host refuses it and stays as it was. */
#define KVS_INVALID 1
/* No space, on the disk or in memory (open, on_load, on_write, on_tick). A batch is rejected and
 * has left no trace; the instance stays open and is given the next batch as usual. */
#define KVS_NO_SPACE 2
/* Storage failed. From on_write: the batch is rejected and the instance is given no further batch;
 * the server is read-only until a fresh instance in a fresh directory has taken over. From on_tick:
 * reported, tried again at a later tick. */
#define KVS_IO 3
/* open or on_load found data that is damaged or missing, not merely unfinished. The host refuses to
 * start. The message must name the file, the offset and what the user can do. */
#define KVS_CORRUPT 4

/* Where a hook that fails says why. The host owns it; text is always NUL-terminated. */
#define KVS_ERROR_TEXT_SIZE 512
typedef struct kvs_error {
   uint32_t size; /* sizeof(kvs_error) */
   char text[KVS_ERROR_TEXT_SIZE];
} kvs_error;

/* ---- Data --------------------------------------------------------------------------------- */

typedef struct kvs_bytes {
   const void *data; /* may be NULL when size is 0 */
   size_t size;
} kvs_bytes;

/* kvs_record.kind */
#define KVS_SET 1
#define KVS_DELETE 2

/* kvs_record.flags: the effect belongs together with the one that follows it in the same batch.
 * After a crash either all effects of such a run are recovered or none. The last effect of a run,
 * and every effect that stands alone, has the flag clear. */
#define KVS_RECORD_JOINED 1u

/* kvs_record.flags: the key is deleted because its time had come, and by nobody. Only with
 * KVS_DELETE. A plug-in that cannot keep it may drop it; none may add it. Since 1.2; an older
 * plug-in passes over it. */
#define KVS_RECORD_EXPIRED 2u

/* One effect on one key: what became of it, never the command that caused it. */
typedef struct kvs_record {
   /* Strictly increasing through the store's life, from 1 to below 2^47, gaps allowed. That of the
    * last effect on a key is the key's version, which clients see. */
   uint64_t sequence;
   uint32_t kind;         /* KVS_SET or KVS_DELETE */
   uint32_t flags;        /* KVS_RECORD_* */
   int64_t expires_at_ms; /* Unix time, 0 = never; always 0 for KVS_DELETE; kept as it is, also when
                             it has passed: the host alone deletes what expires */
   kvs_bytes key;         /* 1 to 65,536 bytes */
   kvs_bytes value;       /* empty for KVS_DELETE */
} kvs_record;

/* All data at one sequence number, immutable. Opaque; read with host->view_read. */
typedef struct kvs_view kvs_view;

/* ---- Options ------------------------------------------------------------------------------ */

/* kvs_option.type */
#define KVS_OPTION_INTEGER 1 /* a whole number */
#define KVS_OPTION_SIZE 2    /* bytes; users may write 4K, 4KiB, 4 KB (K, M, G, T) */
#define KVS_OPTION_CHOICE 3  /* one word of `choices` */
#define KVS_OPTION_TEXT 4    /* any text without control characters */

/* An option that the plug-in understands. The host parses and checks what the user wrote against
 * this before open is called, fills in defaults, and lists the options when a name is wrong. */
typedef struct kvs_option {
   const char *name;          /* lower-case letters, digits, underscore */
   uint32_t type;             /* KVS_OPTION_* */
   uint32_t reserved;         /* 0 */
   const char *default_value; /* as the user would write it; must pass the option's own check */
   int64_t minimum, maximum;  /* bounds of INTEGER and SIZE, both allowed */
   const char *choices;       /* CHOICE: words separated by '|', e.g. "always|everysec|no" */
   const char *help;          /* one line, no full stop */
} kvs_option;

/* One option's value in force. */
typedef struct kvs_setting {
   const char *name;
   const char *text; /* normalized: sizes and integers in decimal digits */
   int64_t integer;  /* INTEGER, SIZE: the value; CHOICE: index of the word; TEXT: 0 */
} kvs_setting;

/* ---- What a load tells -------------------------------------------------------------------- */

/* kvs_load_note.kind */
/* `bytes` more are there to be read in this load. Tell it as early as it is known, in any number of
 * parts: the host reckons its progress in per cent from the sum. */
#define KVS_LOAD_EXPECTED 1
/* `bytes` more of those expected are read, or need not be read. About one note a MiB is enough. */
#define KVS_LOAD_READ 2
/* `file` was read for good: `bytes` of it hold `records` effects or entries, up to `sequence`. */
#define KVS_LOAD_FILE 3
/* An unfinished write was found in `file`: `bytes` at `offset`, after `sequence`. `text` says what
 * became of it. */
#define KVS_LOAD_TORN 4
/* `file` is not as it should be, and the load can do without it; `text` says why. */
#define KVS_LOAD_PASSED_OVER 5

/* What on_load tells about its work, for the server's log and for Status. */
typedef struct kvs_load_note {
   uint32_t size;    /* sizeof(kvs_load_note) */
   uint32_t kind;    /* KVS_LOAD_*; a host passes over one that it does not know */
   const char *file; /* path below host->directory; NULL for EXPECTED and READ */
   const char *text; /* one line, or NULL */
   uint64_t bytes, offset, records, sequence; /* those that the kind speaks of; else 0 */
} kvs_load_note;

/* ---- What the host offers ----------------------------------------------------------------- */

/* level of host->log */
#define KVS_LOG_ERROR 1
#define KVS_LOG_WARNING 2
#define KVS_LOG_INFO 3
#define KVS_LOG_DEBUG 4

/* Valid from open until close returns. */
typedef struct kvs_host kvs_host;
struct kvs_host {
   uint32_t size;         /* sizeof(kvs_host) in the host's build */
   uint32_t abi_minor;    /* the host's */
   const char *directory; /* absolute path; private to this instance, exists, mode 0700 */
   uint8_t store_id[16];  /* the store's UUID; write it into every file, refuse another store's */

   /* Hands `count` recovered effects to the host, in any number of calls. The host copies what it
    * keeps. Returns KVS_OK, or another code (text in `error`) upon which on_load must give up and
    * return that code. Effects are applied in the order given; a later effect on a key replaces an
    * earlier one. Sequences need not ascend, as those of a checkpoint's records do not: see
    * KVS_PLUGIN_VERSIONS. [control, only inside on_load] */
   int (*load)(const kvs_host *host, const kvs_record *records, size_t count, kvs_error *error);

   /* Declares the sequence that the recovered state has reached: at least that of every record
    * loaded. Needed because a snapshot's sequence may be above that of all the records in it;
    * without this call the host takes the highest sequence loaded. [control, only inside on_load]
    */
   void (*loaded_to)(const kvs_host *host, uint64_t sequence);

   /* Reads on through a view: fills up to `capacity` records, in ascending order of key (compared
    * as unsigned bytes), each KVS_SET. Returns how many; 0 = end, or the host has no more use for
    * this instance, whatever on_tick returns: it calls close next and removes the directory. Keys
    * and values stay valid until the hook that got the view returns. The sequence of each record is
    * the view's, or with KVS_PLUGIN_VERSIONS its own. [control, only inside on_tick] */
   size_t (*view_read)(kvs_view *view, kvs_record *records, size_t capacity);

   /* Writes one line to the server's log, marked with the plug-in's name. [any] */
   void (*log)(const kvs_host *host, uint32_t level, const char *message);

   /* Asks for a periodic tick soon instead of at the next full second. [any] */
   void (*wake)(const kvs_host *host);

   /* An extension by name, or NULL when this host does not have it. [any] */
   const void *(*extension)(const kvs_host *host, const char *name);

   /* Tells that everything up to `sequence` is now in a durable checkpoint; the server shows it in
    * Status as the last save. Check `size` before calling it: an older host does not have it.
    * [any] */
   void (*saved)(const kvs_host *host, uint64_t sequence);

   /* Tells how a load goes and what it finds. Nothing depends on it but what people get to see.
    * Check `size` before calling it; a host may leave it NULL. [control, only inside on_load] */
   void (*load_note)(const kvs_host *host, const kvs_load_note *note);

   /* 1: the host comes back to a directory that an instance was in use over, so that what a plug-in
    * has there from its first on_load on must be there; 0: the directory is fresh and empty, or the
    * host does not know. Check `size` before reading it: an older host does not have it. */
   uint32_t resumed;
   uint32_t reserved; /* 0 */

   /* Since 1.1. 1: somebody waits for the on_tick that runs now to return, be it a call or the
    * server's end; 0: nobody does. A plug-in that takes its time over a periodic tick, to leave
    * the machine to the traffic, hurries then. Check `size` before calling it; a host may leave it
    * NULL. [any] */
   uint32_t (*awaited)(const kvs_host *host);
};

/* ---- Ticks -------------------------------------------------------------------------------- */

/* kvs_tick.reason */
/* About every second, and after host->wake. */
#define KVS_TICK_PERIODIC 1
/* Make everything up to view_sequence durable and return when it is; the host waits for it (Save,
 * or a mode switch). A plug-in that promises KVS_VOLATILE returns KVS_OK at once. */
#define KVS_TICK_CHECKPOINT 2
/* The server stops in order; no on_write will follow, and close comes next. A plug-in makes durable
 * what is not yet; KVS_OK means that nothing is lost, unless it promises KVS_VOLATILE. */
#define KVS_TICK_SHUTDOWN 3

typedef struct kvs_tick {
   uint32_t size;         /* sizeof(kvs_tick) */
   uint32_t reason;       /* KVS_TICK_* */
   int64_t now_ms;        /* Unix time */
   uint64_t monotonic_ms; /* never goes back; use for intervals */
   kvs_view *view;        /* the state at view_sequence, valid until the hook returns */
   /* The view holds exactly the effects of records up to here. It may lack batches whose on_write
    * has returned: a batch is published, and views hold it, a moment after. It never goes back from
    * one tick of an instance to the next. */
   uint64_t view_sequence;
   uint64_t view_count; /* keys in the view */
   uint64_t view_bytes; /* sum of all key and value sizes in the view */
} kvs_tick;

/* ---- The plug-in -------------------------------------------------------------------------- */

/* kvs_plugin.promise: what an acknowledged write survives in this mode. */
#define KVS_VOLATILE 0 /* nothing is kept */
#define KVS_PERIODIC 1 /* the last checkpoint is kept */
#define KVS_DURABLE 2  /* when on_write returned KVS_OK, the batch is kept as the options say */

/* kvs_plugin.flags: on_write never waits, neither for a device nor for another thread. The host may
 * then call it on the very thread that received the request, and saves a change of threads for each
 * batch. Never set together with KVS_DURABLE. */
#define KVS_PLUGIN_PROMPT 1u

/* kvs_plugin.flags: on_tick is done with the records that view_read gave by the time that it calls
 * view_read again. Whoever makes the records of a view, as a wrapper does, may then use their
 * memory once more. Since 1.1; an older host passes over it. */
#define KVS_PLUGIN_COPIES 2u

/* kvs_plugin.flags: the plug-in keeps the version of each key through a checkpoint. view_read gives
 * each record its own sequence, that of the last effect on its key: from 1 to view_sequence, in no
 * order, as records ascend by key. on_load hands each record back with that very sequence, and
 * tells by loaded_to which one the state as a whole has reached. Without the flag both are the
 * view's, and a key that was in a checkpoint has a newer version after a restart than before.
 * Since 1.2; an older host passes over it and gives the view's sequence to all. */
#define KVS_PLUGIN_VERSIONS 4u

/* on_write flags: the batch must be on stable storage before on_write returns, whatever the
 * options say. */
#define KVS_WRITE_SYNC 1u

typedef struct kvs_plugin {
   uint32_t size; /* sizeof(kvs_plugin) in the plug-in's build */
   uint16_t abi_major, abi_minor;
   const char *name;    /* the file's name without ".so": lower-case letters, digits, '-', '_' */
   const char *version; /* of the plug-in, for people */
   const char *description; /* one line, no full stop */
   uint32_t promise;        /* KVS_VOLATILE, KVS_PERIODIC or KVS_DURABLE */
   uint32_t flags;          /* KVS_PLUGIN_* */
   const kvs_option *options;
   size_t option_count;

   /* Prepares an instance over host->directory, which may be empty or hold what an earlier instance
    * of this plug-in left there. `settings` has one entry for each option, in the order of
    * `options`. It and its text live until close. On success stores the instance in *self. On
    * failure the host calls no other hook, not even close. Several instances may be open at once,
    * in different directories. [control] */
   int (*open)(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
               kvs_error *error);

   /* Hands all that was kept to host->load. Called once, after open, before any other hook; also on
    * an empty directory. NULL: nothing is kept; only with the promise KVS_VOLATILE. KVS_OK,
    * KVS_INVALID, KVS_NO_SPACE, KVS_IO or KVS_CORRUPT. [control] */
   int (*on_load)(void *self, kvs_error *error);

   /* Takes a whole batch, `count` >= 1, sequences ascending and above all earlier ones. Returns
    * when the batch is as safe as the mode promises: KVS_OK is the acknowledgement that callers
    * get. After KVS_NO_SPACE no later on_load may see any record of the batch; a plug-in that
    * cannot guarantee this returns KVS_IO. Required. [commit] */
   int (*on_write)(void *self, const kvs_record *records, size_t count, uint32_t flags,
                   kvs_error *error);

   /* Work beside the traffic; may take as long as it needs and never delays a write. NULL: nothing
    * to do; only with the promise KVS_VOLATILE, since every other mode must make checkpoints.
    * KVS_OK, KVS_NO_SPACE or KVS_IO; KVS_OK for a reason that it does not know.
    *
    * What a checkpoint lets it remove, it removes by sequence: what is at or below view_sequence,
    * and nothing above. That a batch was there when the hook began, or before the last checkpoint,
    * says nothing: any number of ticks may pass between its on_write and its publication.
    * [control] */
   int (*on_tick)(void *self, const kvs_tick *tick, kvs_error *error);

   /* Ends the instance and frees all it owns. Called once for each successful open, also when other
    * hooks failed. Without a preceding KVS_TICK_SHUTDOWN the instance is abandoned: nothing need be
    * made durable. Required. [control] */
   void (*close)(void *self);
} kvs_plugin;

/* ---- Extension: a plug-in over another ------------------------------------------------------ */

/* Since 1.1. host->extension(host, KVS_EXTENSION_STACK) gives a kvs_stack, valid until close
 * returns, with what a wrapper needs to have another plug-in do the keeping. The wrapper then calls
 * the other's hooks, each inside the same hook of its own, with a kvs_host of its own making; to
 * the other it is the host, and keeps every promise that this header makes for one. */
#define KVS_EXTENSION_STACK "kvstore.stack/1"

typedef struct kvs_stack kvs_stack;
struct kvs_stack {
   uint32_t size;     /* sizeof(kvs_stack) in the host's build */
   uint32_t reserved; /* 0 */

   /* Finds the plug-in `name` where the host finds its own, under the same checks of owner, mode
    * and descriptor. It must promise at least `promise`, as the wrapper's own promise is no better
    * than that. Returns KVS_OK, and a descriptor that is valid until the process ends; or
    * KVS_INVALID or KVS_NO_SPACE with a text for the user that lists what there is: no such name, a
    * file that is not to be trusted, a lesser promise, the wrapper itself, or more plug-ins upon
    * each other than one instance may have. [control, only inside open] */
   int (*find)(const kvs_stack *stack, const char *name, uint32_t promise,
               const kvs_plugin **plugin, kvs_error *error);

   /* Checks `options`, written as "name=value,name=value" (a comma within a value as "\,", a
    * backslash as "\\"; "" for none), against what the plug-in declares, and gives the settings
    * that its open takes. They live until the host has closed the wrapper, or its open has failed.
    * KVS_INVALID or KVS_NO_SPACE with a text for the user. [control, only inside open] */
   int (*settings)(const kvs_stack *stack, const kvs_plugin *plugin, const char *options,
                   const kvs_setting **settings, size_t *count, kvs_error *error);
};

/* ---- Extension: what syncs take ------------------------------------------------------------- */

/* Since 1.2. host->extension(host, KVS_EXTENSION_SYNCS) gives a kvs_syncs, valid until close
 * returns, to which a plug-in tells how it makes writes durable. Nothing depends on it but what
 * people and clients get to see: how long syncs take, how old the oldest write is that is not
 * durable, and which writes are answered as synced. A plug-in that asks for it tells of every sync
 * that writes wait for, or that makes them durable later, also of those before a start. */
#define KVS_EXTENSION_SYNCS "kvstore.syncs/1"

typedef struct kvs_syncs kvs_syncs;
struct kvs_syncs {
   uint32_t size;     /* sizeof(kvs_syncs) in the host's build */
   uint32_t reserved; /* 0 */

   /* A sync that took `ns` nanoseconds has just ended well: everything up to `sequence` is on
    * stable storage. [any, one call at a time] */
   void (*synced)(const kvs_syncs *syncs, uint64_t sequence, uint64_t ns);
};

/* ---- Extension: the history of the data ------------------------------------------------------ */

/* Since 1.2. host->extension(host, KVS_EXTENSION_HISTORY) gives a kvs_history, valid until close
 * returns. By it a plug-in that keeps each change, and not only what became of each key, tells from
 * where on it hands over all of them. The host can then tell those who follow the data what has
 * changed since a version before the restart. Who does not say so is thought to hand over a state.
 */
#define KVS_EXTENSION_HISTORY "kvstore.history/1"

typedef struct kvs_history kvs_history;
struct kvs_history {
   uint32_t size;     /* sizeof(kvs_history) in the host's build */
   uint32_t reserved; /* 0 */

   /* What was loaded up to now is the state at `sequence`, or with 0 nothing. Every record that is
    * loaded from now on is the next change of the data after that, in order, and none is missing:
    * sequences are above `sequence` and strictly ascend, else the host refuses the load. Joined
    * runs have their flags, and KVS_RECORD_EXPIRED is there where it was kept. A further call
    * begins anew. [control, only inside on_load] */
   void (*complete_above)(const kvs_history *history, uint64_t sequence);
};

/* The one exported symbol. This declaration exports it; a plug-in defines it, in C++ without
 * KVS_EXPORT: const kvs_plugin kvstore_plugin = {sizeof(kvs_plugin), KVS_ABI_MAJOR, ...}; */
#define KVS_PLUGIN_SYMBOL "kvstore_plugin"
extern KVS_EXPORT const kvs_plugin kvstore_plugin;

#ifdef __cplusplus
}
#endif

#endif
