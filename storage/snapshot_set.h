/*
 * The snapshots of one instance: `snapshots/<sequence>.snapshot` in its directory.
 *
 * A snapshot is written under a temporary name, made durable, and only then given its own. Older
 * ones are removed after that; before, only where there is no room otherwise, and never the newest
 * that is known to be sound. Leftovers of unfinished ones are removed at create, but not at open.
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
   uint64_t newest_sequence; /* of the newest there is, also a damaged one; 0 when there is none */
};

struct storage_snapshot_settings {
   size_t kept;   /* how many snapshots stay, at least 1 */
   uint64_t rate; /* of writing one at a periodic tick, in bytes a second; 0: no bound */
};

int storage_snapshot_set_create(const kvs_host *host,
                                const struct storage_snapshot_settings *settings,
                                struct storage_snapshot_set **set, kvs_error *error);
/* The same for reading alone: nothing is made or removed, and a missing directory holds no
 * snapshot. Only the functions that load or tell may follow. */
int storage_snapshot_set_open(const kvs_host *host, struct storage_snapshot_set **set,
                              kvs_error *error);
void storage_snapshot_set_destroy(struct storage_snapshot_set *set);

/* Loads the newest snapshot that is sound, passing over damaged ones, of which the log is told.
 * KVS_CORRUPT when there are snapshots and none is sound. */
int storage_snapshot_set_load(struct storage_snapshot_set *set,
                              struct storage_snapshot_found *found, kvs_error *error);
/* Loads the newest snapshot, or refuses (KVS_CORRUPT) and says what there is instead; also when a
 * later start finds none. */
int storage_snapshot_set_load_newest(struct storage_snapshot_set *set,
                                     struct storage_snapshot_found *found, kvs_error *error);

/* Loads the newest snapshot that is sound, or nothing where none is. */
int storage_snapshot_set_load_sound(struct storage_snapshot_set *set,
                                    struct storage_snapshot_found *found, kvs_error *error);

/* Makes a snapshot of no data, at sequence 0, durable: from then on there is always one, and a
 * store that has lost them all is not taken for one that never had any. [inside on_load] */
int storage_snapshot_set_begin(struct storage_snapshot_set *set, kvs_error *error);

/* Sees to it that a snapshot of the tick's view will find room, whatever becomes of the disk: keeps
 * that room from now on. *missing becomes by how much less there is than it needs; negative: by how
 * much more. KVS_OK, KVS_NO_SPACE or KVS_IO. */
int storage_snapshot_set_keep_room(struct storage_snapshot_set *set, const kvs_tick *tick,
                                   int64_t *missing, kvs_error *error);
/* Removes the oldest one, if there is a newer one that is known to be sound: it makes room. */
bool storage_snapshot_set_drop_oldest(struct storage_snapshot_set *set);

/* Makes a snapshot of the tick's view durable and removes the oldest beyond those kept. KVS_OK,
 * KVS_NO_SPACE or KVS_IO; on failure the set is as it was. */
int storage_snapshot_set_write(struct storage_snapshot_set *set, const kvs_tick *tick,
                               kvs_error *error);

/* Whether a restart would find them: KVS_IO when the directory was taken away, KVS_CORRUPT when the
 * newest snapshot was, which another one may make up for. */
int storage_snapshot_set_check(const struct storage_snapshot_set *set, kvs_error *error);

/* The file at `index`, oldest first: whether there is one; its sequence. */
bool storage_snapshot_set_at(const struct storage_snapshot_set *set, size_t index,
                             uint64_t *sequence);
/* Its name, as it stands in the directory `snapshots`. */
#define STORAGE_SNAPSHOT_NAME_SIZE 40
void storage_snapshot_name(uint64_t sequence, char name[STORAGE_SNAPSHOT_NAME_SIZE]);

/* Sequence of the newest and of the oldest snapshot; 0 when there is none. */
uint64_t storage_snapshot_set_newest(const struct storage_snapshot_set *set);
uint64_t storage_snapshot_set_oldest(const struct storage_snapshot_set *set);
/* Size of the newest one that is known to be sound; 0 when there is none. */
uint64_t storage_snapshot_set_bytes(const struct storage_snapshot_set *set);

#endif
