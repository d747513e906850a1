#include "core/support/uuid.h"

#include <stdio.h>

void kv_uuid_format(const uint8_t id[KV_UUID_SIZE], char text[KV_UUID_TEXT_SIZE])
{
   for (int i = 0; i < KV_UUID_SIZE; i++) {
      if (i == 4 || i == 6 || i == 8 || i == 10)
         *text++ = '-';
      text += sprintf(text, "%02x", id[i]);
   }
}
