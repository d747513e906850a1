/*
 * The data directory: its lock, the record of what is active, and one directory per generation.
 *
 *   LOCK        held exclusively for the life of the process, as is the directory itself; holds the
 *               owner's process id
 *   ACTIVE      which plug-in, with which options, in which generation; replaced atomically
 *   STARTING    there from the first start until the first ACTIVE is durable: as long as it stands
 *               alone nothing in the generations was ever acknowledged, and they are removed
 *   VERSIONS    below which versions (sequences) may have been given out; replaced atomically
 *   gen-NNNNNN/ private to the plug-in of that generation
 *
 * The directory is opened once, and all work in it is done through that descriptor: no link in it
 * is followed, only regular files are opened, and only files just created are overwritten. What is
 * written into a directory that was moved or removed would not be found again:
 * kv_data_directory_check notices that.
 *
 * Directories are 0700 and files 0600 whatever the umask. The format of ACTIVE is in
 * docs/formats.md. The module knows no format of a plug-in's files.
 *
 * Threads: one at a time (main at start, then the control thread).
 */
#ifndef KV_DATA_DIRECTORY_H
#define KV_DATA_DIRECTORY_H

#include "core/support/mode_option.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_data_directory;

#define KV_GENERATION_PATH_SIZE 4096

/* More than there will be, and far enough below the end to count on: a record with a higher one was
 * written by nobody. */
#define KV_GENERATION_MAX (UINT64_MAX >> 1)

/* The choice that a restart comes back to. */
struct kv_active {
   char *plugin;
   struct kv_mode_option *options; /* all that are in force */
   size_t option_count;
   uint64_t generation; /* from 1 to KV_GENERATION_MAX */
};

/* Frees the members and clears them. */
void kv_active_deinit(struct kv_active *active);

/* Creates the directory where it is missing (its parent must exist), and takes the lock:
 * FAILED_PRECONDITION naming the holder's process id when another server has it. Refuses
 * (PERMISSION_DENIED) a directory that others than root and the server's user may change, but for
 * the members of a group that the server is in when it is not root. */
enum kv_code kv_data_directory_open(const char *path, struct kv_data_directory **directory,
                                    struct kv_status *status);
/* Opens an existing directory for reading alone: creates and changes nothing, and, where there is
 * a LOCK, keeps servers out until it is closed. FAILED_PRECONDITION when a server has it. Of the
 * functions below, only those that say so may follow. */
enum kv_code kv_data_directory_open_to_read(const char *path, struct kv_data_directory **directory,
                                            struct kv_status *status);
/* Whether kv_data_directory_open would succeed: opens an existing directory for reading, after the
 * same checks, and leaves *directory NULL where one would have to be created. */
enum kv_code kv_data_directory_try(const char *path, struct kv_data_directory **directory,
                                   struct kv_status *status);
/* Whether the path still leads to the open directory, and its lock is held; a LOCK that somebody
 * removed is restored. UNAVAILABLE when not, or FAILED_PRECONDITION when another process has the
 * lock. */
enum kv_code kv_data_directory_check_hold(struct kv_data_directory *directory,
                                          struct kv_status *status);
/* Whether a restart would find what is written now, `generation` being the active one: the
 * directory is held, as above, and ACTIVE is there, which is restored too. UNAVAILABLE, or why they
 * cannot be restored. To be called about once a second. */
enum kv_code kv_data_directory_check(struct kv_data_directory *directory, uint64_t generation,
                                     struct kv_status *status);
/* Releases the lock. */
void kv_data_directory_close(struct kv_data_directory *directory);

/* The store's UUID, 16 bytes: that of ACTIVE once that was read; before the first ACTIVE
 * a new one, which is recorded with it. */
const uint8_t *kv_data_directory_store_id(const struct kv_data_directory *directory);

/* Reads ACTIVE, before anything else is done with the directory. After KV_OK with *found the
 * caller deinits `active`. *found is false on a fresh directory. Refuses (DATA_LOSS, naming file
 * and remedy) a damaged ACTIVE, one of a newer format, and a missing one where generation
 * directories exist: a store never starts empty over existing data. */
enum kv_code kv_data_directory_read_active(struct kv_data_directory *directory,
                                           struct kv_active *active, bool *found,
                                           struct kv_status *status);
/* The same, but changes nothing on disk. Also for a directory opened for reading. */
enum kv_code kv_data_directory_inspect_active(struct kv_data_directory *directory,
                                              struct kv_active *active, bool *found,
                                              struct kv_status *status);
/* Gives the store in a fresh directory this UUID: for a copy. */
void kv_data_directory_adopt_store_id(struct kv_data_directory *directory,
                                      const uint8_t store_id[16]);
/* Durable when it returns KV_OK (temporary file, fsync, rename, fsync of the directory). */
enum kv_code kv_data_directory_write_active(struct kv_data_directory *directory,
                                            const struct kv_active *active,
                                            struct kv_status *status);
/* Whether a restart may find an ACTIVE whose writing failed: its rename was tried, and no later one
 * has succeeded. */
bool kv_data_directory_active_in_doubt(const struct kv_data_directory *directory);

/* The content of VERSIONS. */
struct kv_versions_record {
   uint64_t reserved; /* all changes ever made have sequences below it; 0: nothing is recorded */
   /* What was loaded at the last start, and the sequence that it was given. */
   uint64_t loaded, first;
};

/* DATA_LOSS when the file is damaged; all 0 where there is none. */
enum kv_code kv_data_directory_read_versions(const struct kv_data_directory *directory,
                                             struct kv_versions_record *record,
                                             struct kv_status *status);
/* Durable when it returns KV_OK. Any thread, one at a time. */
enum kv_code kv_data_directory_write_versions(const struct kv_data_directory *directory,
                                              const struct kv_versions_record *record,
                                              struct kv_status *status);

/* An empty file for reading and writing that has no name, so that it ends with its descriptor.
 * Any thread. */
enum kv_code kv_data_directory_create_unnamed(const struct kv_data_directory *directory, int *fd,
                                              struct kv_status *status);

/* The absolute path of the directory. */
const char *kv_data_directory_path(const struct kv_data_directory *directory);
/* The generations that exist, ascending. The caller frees found->numbers, also after a failure.
 * Also for a directory opened for reading. */
struct kv_generations {
   uint64_t *numbers;
   size_t count;
};
enum kv_code kv_data_directory_find_generations(const struct kv_data_directory *directory,
                                                struct kv_generations *found,
                                                struct kv_status *status);
/* The absolute path of a generation's directory, into a buffer of KV_GENERATION_PATH_SIZE. */
void kv_data_directory_generation_path(const struct kv_data_directory *directory,
                                       uint64_t generation, char *path);
/* Creates an empty directory under the next unused number (above `above` and above every one that
 * exists) and fsyncs the parent. */
enum kv_code kv_data_directory_create_generation(struct kv_data_directory *directory,
                                                 uint64_t above, uint64_t *generation,
                                                 struct kv_status *status);
/* Removes a generation's directory with everything in it. */
enum kv_code kv_data_directory_remove_generation(struct kv_data_directory *directory,
                                                 uint64_t generation, struct kv_status *status);
/* DATA_LOSS, naming ACTIVE and the entry, when anything is in the active generation's directory. */
enum kv_code kv_data_directory_check_empty(const struct kv_data_directory *directory,
                                           const struct kv_active *active,
                                           struct kv_status *status);
/* Removes every generation but the one named in `active`. */
enum kv_code kv_data_directory_remove_stale(struct kv_data_directory *directory,
                                            const struct kv_active *active,
                                            struct kv_status *status);
/* At a start, while nobody else uses the directory: removes the temporary files, too, that a crash
 * has left. */
enum kv_code kv_data_directory_clean(struct kv_data_directory *directory,
                                     const struct kv_active *active, struct kv_status *status);

#endif
