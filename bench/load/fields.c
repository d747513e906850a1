#include "bench/load/fields.h"

struct field_reader field_reader_of(struct kv_slice message)
{
   const uint8_t *data = message.data;
   return (struct field_reader){.at = data, .end = data ? data + message.size : data};
}

static uint64_t read_varint(struct field_reader *reader)
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

bool field_read(struct field_reader *reader, struct field *field)
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
