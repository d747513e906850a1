#include "core/service/descriptors.h"

#include <stdlib.h>

typedef Google__Protobuf__FileDescriptorProto file_descriptor;
typedef Google__Protobuf__DescriptorProto message_descriptor;
typedef Google__Protobuf__EnumDescriptorProto enum_descriptor;
typedef Google__Protobuf__ServiceDescriptorProto service_descriptor;

static const uint8_t descriptor_set[] = {
#include "descriptor_set.h"
};

struct kv_descriptors *kv_descriptors_create(void)
{
   Google__Protobuf__FileDescriptorSet *set =
       google__protobuf__file_descriptor_set__unpack(NULL, sizeof descriptor_set, descriptor_set);
   if (!set)
      return NULL;
   struct kv_descriptors *descriptors =
       calloc(1, sizeof *descriptors + set->n_file * sizeof *descriptors->files);
   if (!descriptors) {
      google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
      return NULL;
   }
   descriptors->set = set;
   descriptors->count = set->n_file;
   for (size_t i = 0; i < set->n_file; i++) {
      size_t size = google__protobuf__file_descriptor_proto__get_packed_size(set->file[i]);
      uint8_t *packed = malloc(size);
      if (!packed) {
         kv_descriptors_destroy(descriptors);
         return NULL;
      }
      google__protobuf__file_descriptor_proto__pack(set->file[i], packed);
      descriptors->files[i] = kv_slice(packed, size);
   }
   return descriptors;
}

void kv_descriptors_destroy(struct kv_descriptors *descriptors)
{
   for (size_t i = 0; i < descriptors->count; i++)
      free((void *)(uintptr_t)descriptors->files[i].data);
   google__protobuf__file_descriptor_set__free_unpacked(descriptors->set, NULL);
   free(descriptors);
}

/* ---- Symbols ---- */

/* Removes the first part, `name`, and the dot after it from `symbol`. False when it begins with
 * something else. The rest is empty when `name` was all of it. */
static bool strip(struct kv_slice *symbol, const char *name)
{
   size_t size = strlen(name);
   const char *data = symbol->data;
   if (symbol->size < size || memcmp(data, name, size) != 0)
      return false;
   if (symbol->size == size) {
      *symbol = kv_slice(NULL, 0);
      return true;
   }
   if (data[size] != '.' || symbol->size == size + 1)
      return false;
   *symbol = kv_slice(data + size + 1, symbol->size - size - 1);
   return true;
}

static bool is(struct kv_slice symbol, const char *name)
{
   return symbol.size == strlen(name) && memcmp(symbol.data, name, symbol.size) == 0;
}

/* The functions below say whether `symbol`, relative to what encloses it, is defined there. */

static bool in_enum(const enum_descriptor *type, struct kv_slice symbol)
{
   if (is(symbol, type->name))
      return true;
   for (size_t i = 0; i < type->n_value; i++) /* values stand beside their enum's name */
      if (is(symbol, type->value[i]->name))
         return true;
   return false;
}

static bool in_message(const message_descriptor *message, struct kv_slice symbol)
{
   if (!strip(&symbol, message->name))
      return false;
   if (symbol.size == 0)
      return true;
   for (size_t i = 0; i < message->n_field; i++)
      if (is(symbol, message->field[i]->name))
         return true;
   for (size_t i = 0; i < message->n_enum_type; i++)
      if (in_enum(message->enum_type[i], symbol))
         return true;
   for (size_t i = 0; i < message->n_nested_type; i++)
      if (in_message(message->nested_type[i], symbol))
         return true;
   return false;
}

static bool in_service(const service_descriptor *service, struct kv_slice symbol)
{
   if (!strip(&symbol, service->name))
      return false;
   if (symbol.size == 0)
      return true;
   for (size_t i = 0; i < service->n_method; i++)
      if (is(symbol, service->method[i]->name))
         return true;
   return false;
}

static bool in_file(const file_descriptor *file, struct kv_slice symbol)
{
   if (!strip(&symbol, file->package) || symbol.size == 0)
      return false;
   for (size_t i = 0; i < file->n_service; i++)
      if (in_service(file->service[i], symbol))
         return true;
   for (size_t i = 0; i < file->n_message_type; i++)
      if (in_message(file->message_type[i], symbol))
         return true;
   for (size_t i = 0; i < file->n_enum_type; i++)
      if (in_enum(file->enum_type[i], symbol))
         return true;
   return false;
}

size_t kv_descriptors_by_name(const struct kv_descriptors *descriptors, struct kv_slice name)
{
   size_t i = 0;
   while (i < descriptors->count && !is(name, descriptors->set->file[i]->name))
      i++;
   return i;
}

size_t kv_descriptors_by_symbol(const struct kv_descriptors *descriptors, struct kv_slice symbol)
{
   size_t i = 0;
   while (i < descriptors->count && !in_file(descriptors->set->file[i], symbol))
      i++;
   return i;
}

void kv_descriptors_closure(const struct kv_descriptors *descriptors, size_t file, bool *wanted)
{
   const file_descriptor *descriptor = descriptors->set->file[file];
   if (wanted[file])
      return;
   wanted[file] = true;
   for (size_t i = 0; i < descriptor->n_dependency; i++)
      kv_descriptors_closure(
          descriptors, kv_descriptors_by_name(descriptors, kv_slice_of(descriptor->dependency[i])),
          wanted);
}
