/*
 * Writes protobuf messages that hold stored values, field by field, into a call's next message. A
 * value of KV_ENTRY_KEEP_MIN bytes or more is not copied: it is sent from where the store has it,
 * and its entry is kept until it has left.
 *
 * The sizes come first: a message inside another one is preceded by its size.
 *
 * Threads: as for the call.
 */
#ifndef KV_SERVICE_WRITER_H
#define KV_SERVICE_WRITER_H

#include "core/rpc/rpc.h"
#include "core/store/store.h"

struct kv_writer {
   struct kv_call *call;
   uint8_t *space; /* of the call's message */
   size_t filled;
   bool refused; /* there was no memory to send a value in place */
};

/* Bytes that a field takes with a string, bytes or a message of this size; its number is below 16.
 */
size_t kv_field_size(size_t size);
/* The same of a field that is left out when it is empty or 0, as proto3 leaves out all but messages
 * and repeated fields. */
size_t kv_optional_field_size(size_t size);
size_t kv_number_field_size(uint64_t number);
/* Bytes of an entry's value that are sent in place: none or all of them. */
size_t kv_in_place_size(const struct kv_entry *entry);

/* Begins a message of `size` bytes, of which `in_place` are sent in place. False when memory is
 * out: the call has been failed. */
bool kv_writer_begin(struct kv_writer *writer, struct kv_call *call, size_t size, size_t in_place);
/* Tag and size of a message; its fields follow. */
void kv_writer_message(struct kv_writer *writer, unsigned field, size_t size);
/* The following three leave the field out when it is empty or 0. */
void kv_writer_number(struct kv_writer *writer, unsigned field, uint64_t number);
void kv_writer_bytes(struct kv_writer *writer, unsigned field, struct kv_slice bytes);
/* The entry's value, which need not be valid beyond this call. */
void kv_writer_value(struct kv_writer *writer, unsigned field, const struct kv_entry *entry);
/* False when memory runs out: the call has been failed. */
bool kv_writer_end(const struct kv_writer *writer);

#endif
