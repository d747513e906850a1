#include "core/service/writer.h"

#include "core/service/message.h"

#include <string.h>

/* https://protobuf.dev/programming-guides/encoding: a tag is the field's number and the wire type,
 * a varint has seven bits a byte. */
enum { WIRE_VARINT = 0, WIRE_SIZED = 2 };
#define TAG_SIZE 1
#define VARINT_BITS 7
#define VARINT_MORE 0x80

static size_t varint_size(uint64_t number)
{
   size_t size = 1;
   while (number >>= VARINT_BITS)
      size++;
   return size;
}

size_t kv_field_size(size_t size)
{
   return TAG_SIZE + varint_size(size) + size;
}

size_t kv_optional_field_size(size_t size)
{
   return size > 0 ? kv_field_size(size) : 0;
}

size_t kv_number_field_size(uint64_t number)
{
   return number > 0 ? TAG_SIZE + varint_size(number) : 0;
}

size_t kv_in_place_size(const struct kv_entry *entry)
{
   size_t size = kv_entry_value(entry).size;
   return size >= KV_ENTRY_KEEP_MIN ? size : 0;
}

bool kv_writer_begin(struct kv_writer *writer, struct kv_call *call, size_t size, size_t in_place)
{
   *writer = (struct kv_writer){.call = call, .space = kv_call_message(call, size - in_place)};
   if (!writer->space)
      kv_message_out_of_memory(call);
   return writer->space;
}

static void put_tag(struct kv_writer *writer, unsigned field, unsigned wire_type)
{
   writer->space[writer->filled++] = (uint8_t)(field << 3 | wire_type);
}

static void put_varint(struct kv_writer *writer, uint64_t number)
{
   for (; number >> VARINT_BITS > 0; number >>= VARINT_BITS)
      writer->space[writer->filled++] = (uint8_t)(number | VARINT_MORE);
   writer->space[writer->filled++] = (uint8_t)number;
}

void kv_writer_message(struct kv_writer *writer, unsigned field, size_t size)
{
   put_tag(writer, field, WIRE_SIZED);
   put_varint(writer, size);
}

void kv_writer_number(struct kv_writer *writer, unsigned field, uint64_t number)
{
   if (number == 0)
      return;
   put_tag(writer, field, WIRE_VARINT);
   put_varint(writer, number);
}

void kv_writer_bytes(struct kv_writer *writer, unsigned field, struct kv_slice bytes)
{
   if (bytes.size == 0)
      return;
   kv_writer_message(writer, field, bytes.size);
   memcpy(writer->space + writer->filled, bytes.data, bytes.size);
   writer->filled += bytes.size;
}

static void release(void *entry)
{
   kv_entry_release(entry);
}

void kv_writer_value(struct kv_writer *writer, unsigned field, const struct kv_entry *entry)
{
   const struct kv_slice value = kv_entry_value(entry);
   if (kv_in_place_size(entry) == 0) {
      kv_writer_bytes(writer, field, value);
      return;
   }
   kv_writer_message(writer, field, value.size);
   if (writer->refused)
      return;
   kv_entry_keep(entry);
   writer->refused =
       !kv_call_insert(writer->call, writer->filled, value, release, (struct kv_entry *)entry);
   if (writer->refused)
      kv_entry_release(entry);
}

bool kv_writer_end(const struct kv_writer *writer)
{
   if (writer->refused)
      kv_message_out_of_memory(writer->call);
   return !writer->refused;
}
