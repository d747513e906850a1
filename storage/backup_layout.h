/* What only the writer and the reader of backups share. */
#ifndef STORAGE_BACKUP_LAYOUT_H
#define STORAGE_BACKUP_LAYOUT_H

#include "storage/backup.h"
#include "storage/snapshot.h"
#include "storage/snapshot_layout.h"

#define BACKUP_MAGIC "KVBAK\x89\r\n"
#define BACKUP_MAGIC_SIZE 8u
/* Format versions: plain or sealed, as each has been since records have sequences of their own, and
 * before. */
#define BACKUP_VERSION 3u
#define BACKUP_VERSION_SEALED 4u
#define BACKUP_VERSION_PLAIN 1u
#define BACKUP_VERSION_PLAIN_SEALED 2u
#define BACKUP_HEADER_SIZE 72u /* the mode and a checksum follow */
#define BACKUP_FOOTER_SIZE 48u
#define BACKUP_FOOTER_MAGIC 0x4642564bu /* "KVBF" */
#define BACKUP_CHECKSUM_SIZE 4u

#endif
