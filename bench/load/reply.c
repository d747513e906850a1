#include "bench/load/reply.h"

#include <stdio.h>

struct field {
   uint64_t number;
   uint64_t integer;        /* of a varint */
   struct kv_slice content; /* of a field with a length */
};

struct reader {
   const uint8_t *at, *end;
   bool broken;
};

static struct reader reader_of(struct kv_slice message)
{
   const uint8_t *data = message.data;
   return (struct reader){.at = data, .end = data + message.size};
}

static uint64_t read_varint(struct reader *reader)
{
   uint64_t number = 0;
   for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
      uint8_t byte = *reader->at++;
      number |= (uint64_t)(byte & 127) << shift;
      if (byte < 128)
         return number;
   }
   reader->broken = true;
   return 0;
}

/* Returns false at the end, or if the message is malformed. */
static bool read_field(struct reader *reader, struct field *field)
{
   if (reader->at == reader->end)
      return false;
   uint64_t tag = read_varint(reader);
   *field = (struct field){.number = tag >> 3};
   uint64_t number = read_varint(reader);
   switch (tag & 7) {
   case 0:
      field->integer = number;
      break;
   case 2:
      if (number > (uint64_t)(reader->end - reader->at))
         reader->broken = true;
      else
         field->content = kv_slice(reader->at, (size_t)number);
      reader->at += reader->broken ? 0 : number;
      break;
   default:
      reader->broken = true;
   }
   return !reader->broken;
}

/* Whether the flag in field `number` is set. */
static bool read_flag(struct reader *reader, uint64_t number)
{
   bool set = false;
   for (struct field field; read_field(reader, &field);)
      if (field.number == number)
         set = field.integer != 0;
   return set;
}

/* GetResponse has its `found` in field 2, DelResponse its `success` in field 1. */
static bool add_existence(struct reply *reply, struct kv_slice message, uint64_t flag)
{
   struct reader reader = reader_of(message);
   reply->missing += !read_flag(&reader, flag);
   return !reader.broken;
}

static bool add_error(struct reply *reply, struct kv_slice message)
{
   struct reader reader = reader_of(message);
   uint64_t code = 0;
   struct kv_slice text = kv_slice("", 0);
   for (struct field field; read_field(&reader, &field);) {
      if (field.number == 1)
         code = field.integer;
      else if (field.number == 2)
         text = field.content;
   }
   reply->errors[code < REPLY_CODES ? code : 2]++;
   if (!reply->error_text[0])
      snprintf(reply->error_text, sizeof reply->error_text, "%.*s", (int)text.size,
               (const char *)text.data);
   return !reader.broken;
}

static bool add_result(struct reply *reply, struct kv_slice message)
{
   struct reader reader = reader_of(message);
   bool good = true;
   for (struct field field; good && read_field(&reader, &field);) {
      if (field.number == 2)
         good = add_existence(reply, field.content, 2);
      else if (field.number == 3)
         good = add_existence(reply, field.content, 1);
      else if (field.number == 4)
         good = add_error(reply, field.content);
   }
   return good && !reader.broken;
}

bool reply_add(struct reply *reply, enum workload_method method, struct kv_slice message)
{
   struct reader reader = reader_of(message);
   bool good = true;
   switch (method) {
   case WORKLOAD_CALL_GET:
   case WORKLOAD_CALL_DEL:
      reply->results++;
      return add_existence(reply, message, method == WORKLOAD_CALL_GET ? 2 : 1);
   case WORKLOAD_CALL_BATCH:
   case WORKLOAD_CALL_SCAN:
      for (struct field field; good && read_field(&reader, &field);) {
         if (field.number != 1)
            continue;
         reply->results++;
         if (method == WORKLOAD_CALL_BATCH)
            good = add_result(reply, field.content);
      }
      return good && !reader.broken;
   default:
      reply->results++;
      return true;
   }
}
