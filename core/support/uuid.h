/* UUIDs as text. Threads: any. */
#ifndef KV_UUID_H
#define KV_UUID_H

#include <stdint.h>

#define KV_UUID_SIZE 16
#define KV_UUID_TEXT_SIZE sizeof "01234567-89ab-cdef-0123-456789abcdef"

void kv_uuid_format(const uint8_t id[KV_UUID_SIZE], char text[KV_UUID_TEXT_SIZE]);

#endif
