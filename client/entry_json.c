#include "client/entry_json.h"

#include "core/support/json.h"

#include <inttypes.h>

static void print_base64(FILE *out, ProtobufCBinaryData bytes)
{
   static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
   const unsigned char *data = bytes.data;
   for (size_t i = 0; i < bytes.len; i += 3) {
      const size_t left = bytes.len - i;
      const unsigned group = (unsigned)data[i] << 16 | (left > 1 ? (unsigned)data[i + 1] << 8 : 0) |
                             (left > 2 ? data[i + 2] : 0);
      fputc(digits[group >> 18], out);
      fputc(digits[group >> 12 & 63], out);
      fputc(left > 1 ? digits[group >> 6 & 63] : '=', out);
      fputc(left > 2 ? digits[group & 63] : '=', out);
   }
}

static void print_content(FILE *out, const Kvstore__V1__Entry *entry, bool with_value)
{
   fprintf(out, ",\"expireTimeMs\":%" PRId64, entry->expire_time_ms);
   if (entry->omitted_value_size > 0 && with_value) {
      fprintf(out, ",\"omittedValueSize\":%" PRIu64, entry->omitted_value_size);
   } else if (with_value) {
      fputs(",\"value\":\"", out);
      print_base64(out, entry->value);
      fputc('"', out);
   }
}

void entry_json_line(FILE *out, struct kv_slice key, const Kvstore__V1__Entry *entry,
                     bool with_value)
{
   fprintf(out, "{\"version\":%" PRIu64 ",\"key\":", entry->version);
   kv_json_write(out, key);
   print_content(out, entry, with_value);
   fputs("}\n", out);
}

void entry_json_event(FILE *out, const char *kind, const Kvstore__V1__Event *event, bool with_value)
{
   const ProtobufCBinaryData key = event->entry->key;
   fprintf(out, "{\"version\":%" PRIu64 ",\"kind\":\"%s\",\"key\":", event->entry->version, kind);
   kv_json_write(out, kv_slice(key.data, key.len));
   if (event->kind == KVSTORE__V1__EVENT__KIND__KIND_SET)
      print_content(out, event->entry, with_value);
   if (event->previous)
      fprintf(out, ",\"previousVersion\":%" PRIu64, event->previous->version);
   if (event->previous && with_value) {
      fputs(",\"previousValue\":\"", out);
      print_base64(out, event->previous->value);
      fputc('"', out);
   }
   fputs("}\n", out);
}
