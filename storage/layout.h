/* Names in the directory of an instance. docs/formats.md describes the files. */
#ifndef STORAGE_LAYOUT_H
#define STORAGE_LAYOUT_H

#define STORAGE_LOG_DIRECTORY "aof"
#define STORAGE_SEGMENT_SUFFIX ".log"
#define STORAGE_TORN_SUFFIX ".torn"

#define STORAGE_SNAPSHOT_DIRECTORY "snapshots"
#define STORAGE_SNAPSHOT_SUFFIX ".snapshot"

/* What a name ends in until its file is complete and durable. */
#define STORAGE_TEMPORARY_SUFFIX ".tmp"

/* Of the plug-in encrypt: the file by which it recognizes its key, and beside it the directory that
 * the inner plug-in has to itself. */
#define STORAGE_KEY_CHECK_NAME "encrypt.check"
#define STORAGE_INNER_DIRECTORY "inner"

#endif
