/*
 * Backup files: all data of a store at one sequence, in one file that needs nothing beside it.
 * docs/formats.md draws the bytes.
 *
 *   header  magic, version, store, sequence, time, totals, the mode with its options, own checksum
 *   blocks  as those of a snapshot: each record has its own sequence, but for the older formats
 *   footer  number of records, and an XXH3 of 128 bits over the file before it
 *
 * Written front to back into a sink, so that it can go through a pipe. Whoever reads is handed
 * nothing that its checksums do not cover; the whole is right only when the read has ended well.
 *
 * Threads: any, each file by one thread at a time.
 */
#ifndef STORAGE_BACKUP_H
#define STORAGE_BACKUP_H

#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the XXH3 over a whole file, in its canonical form. */
#define STORAGE_BACKUP_DIGEST_SIZE 16u
/* The longest text of a mode, with its NUL. */
#define STORAGE_BACKUP_MODE_SIZE ((size_t)512 * 1024)

struct storage_backup_info {
   uint8_t store_id[16];
   uint64_t sequence;
   int64_t created_ms;   /* Unix time */
   uint64_t keys, bytes; /* in the file; sum of key and value sizes */
   const char *mode;     /* as the ACTIVE record has it */
   bool sealed; /* the records are what that mode, a plug-in over another one, makes of the data */
};

/* Takes the file, piece by piece. Anything but KVS_OK ends the writing. */
struct storage_backup_sink {
   int (*write)(void *context, const void *data, size_t size, kvs_error *error);
   void *context;
};

struct storage_backup_writer;

/* Writes the header. `info` may end with the call. KVS_OK, KVS_INVALID for a mode that is too long,
 * KVS_NO_SPACE when memory runs out, or what the sink returned. */
int storage_backup_begin(const struct storage_backup_sink *sink,
                         const struct storage_backup_info *info,
                         struct storage_backup_writer **writer, kvs_error *error);
/* A KVS_SET; keys must ascend. KVS_INVALID when its sequence is none of the store's up to that of
 * the backup. */
int storage_backup_add(struct storage_backup_writer *writer, const kvs_record *record,
                       kvs_error *error);
/* Writes the rest. The records must be those that the header speaks of, else KVS_INVALID. */
int storage_backup_finish(struct storage_backup_writer *writer,
                          uint8_t digest[STORAGE_BACKUP_DIGEST_SIZE], kvs_error *error);
/* NULL is fine. */
void storage_backup_writer_destroy(struct storage_backup_writer *writer);
/* The most bytes that the file can have. */
uint64_t storage_backup_size_limit(const struct storage_backup_info *info);

/* Who reads. Each may be NULL; anything but KVS_OK ends the reading. */
struct storage_backup_visitor {
   void *context;
   /* The header is right. `info` and its text live until the read ends. */
   int (*begin)(void *context, const struct storage_backup_info *info, kvs_error *error);
   int (*records)(void *context, const kvs_record *records, size_t count, kvs_error *error);
};

/* Reads the whole open file; `path` is for messages. KVS_OK, KVS_CORRUPT (the text names path and
 * offset), KVS_NO_SPACE, KVS_IO, or what the visitor returned. */
int storage_backup_read(int fd, const char *path, const struct storage_backup_visitor *visitor,
                        kvs_error *error);

#endif
