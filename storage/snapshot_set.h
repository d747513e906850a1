/*
 * The snapshots of one instance: `snapshots/<sequence>.snapshot` in its directory.
 *
 * A snapshot is written under a temporary name, made durable, and only then gets its own. Older
 * ones are removed after that; earlier only for lack of space, and never the newest that is known
 * to be sound. Create removes leftovers of unfinished ones.
 *
 * Threads: control.
 */
#ifndef STORAGE_SNAPSHOT_SET_H
#define STORAGE_SNAPSHOT_SET_H

#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct storage_snapshot_set;

struct storage_snapshot_found {
   bool loaded;
   uint64_t sequence;        /* of the one loaded; 0 when there is none */
   uint64_t newest_sequence; /* of the newest, even when it is damaged; 0 when there is none */
};

struct storage_snapshot_settings {
   size_t kept;   /* how many snapshots stay, at least 1 */
   uint64_t rate; /* of writing one at a periodic tick, in bytes a second; 0: no limit */
};

int storage_snapshot_set_create(const kvs_host *host,
                                const struct storage_snapshot_settings *settings,
                                struct storage_snapshot_set **set, kvs_error *error);
/* The same for reading alone: makes and removes nothing, and a missing directory holds no snapshot.
 * Only the functions that load, and those with a const set, may follow. */
int storage_snapshot_set_open(const kvs_host *host, struct storage_snapshot_set **set,
                              kvs_error *error);
void storage_snapshot_set_destroy(struct storage_snapshot_set *set);

/* Loads the newest sound snapshot, passing over damaged ones with a warning. When there are
 * snapshots and none is sound: KVS_CORRUPT, or with `prefix` nothing is loaded. */
int storage_snapshot_set_load(struct storage_snapshot_set *set, bool prefix,
                              struct storage_snapshot_found *found, kvs_error *error);
/* Loads the newest snapshot. KVS_CORRUPT when it is damaged, with the name of the one before it,
 * and when none is left of those that there were. */
int storage_snapshot_set_load_newest(struct storage_snapshot_set *set,
                                     struct storage_snapshot_found *found, kvs_error *error);

/* Makes a snapshot of no data durable, at sequence 0. From then on there is always one, so a store
 * that lost them all is not mistaken for a fresh one. [inside on_load] */
int storage_snapshot_set_begin(struct storage_snapshot_set *set, kvs_error *error);

/* Holds the space that a snapshot of the tick's view needs, whatever else fills the disk. *missing
 * becomes what it needs beyond the space held (negative: what is held beyond its need), or
 * INT64_MIN where the file system can hold none. KVS_OK, KVS_NO_SPACE or KVS_IO. */
int storage_snapshot_set_keep_space(struct storage_snapshot_set *set, const kvs_tick *tick,
                                    int64_t *missing, kvs_error *error);
/* Removes the oldest one to free space, if a newer one is known to be sound. */
bool storage_snapshot_set_drop_oldest(struct storage_snapshot_set *set);

/* Makes a snapshot of the tick's view durable and removes the oldest beyond those kept. KVS_OK,
 * KVS_NO_SPACE or KVS_IO; on failure the set is as it was. */
int storage_snapshot_set_write(struct storage_snapshot_set *set, const kvs_tick *tick,
                               kvs_error *error);

/* Whether a restart would find them: KVS_IO when the directory was removed, KVS_CORRUPT when the
 * newest snapshot was, which another one can replace. */
int storage_snapshot_set_check(const struct storage_snapshot_set *set, kvs_error *error);

/* The name of a snapshot's file. */
#define STORAGE_SNAPSHOT_NAME_SIZE 40
void storage_snapshot_name(uint64_t sequence, char name[STORAGE_SNAPSHOT_NAME_SIZE]);

/* Sequence of the newest and of the oldest snapshot; 0 when there is none. */
uint64_t storage_snapshot_set_newest(const struct storage_snapshot_set *set);
uint64_t storage_snapshot_set_oldest(const struct storage_snapshot_set *set);
/* Size of the newest one that is known to be sound; 0 when there is none. */
uint64_t storage_snapshot_set_bytes(const struct storage_snapshot_set *set);

#endif
