#include "core/service/audit.h"

#include "core/service/grants.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ARGUMENTS_SIZE 512
#define TEXT_MAX 64 /* bytes of one field */

/* ---- What is asked for ---- */

struct writer {
   char text[ARGUMENTS_SIZE];
   size_t size;
};

/* What does not fit is left out. */
__attribute__((format(printf, 2, 3))) static void append(struct writer *writer, const char *format,
                                                         ...)
{
   va_list arguments;
   va_start(arguments, format);
   int size = vsnprintf(writer->text + writer->size, sizeof writer->text - writer->size, format,
                        arguments);
   va_end(arguments);
   if (size > 0)
      writer->size += (size_t)size;
   if (writer->size >= sizeof writer->text)
      writer->size = sizeof writer->text - 1;
}

static void append_bytes(struct writer *writer, const ProtobufCBinaryData *bytes, bool is_text)
{
   if (is_text && bytes->len <= TEXT_MAX)
      append(writer, "\"%.*s\"", (int)bytes->len, bytes->data ? (const char *)bytes->data : "");
   else
      append(writer, "(%zu bytes)", bytes->len);
}

static void append_value(struct writer *writer, const ProtobufCFieldDescriptor *field,
                         const void *value)
{
   switch (field->type) {
   case PROTOBUF_C_TYPE_BOOL:
      append(writer, "%s", *(const protobuf_c_boolean *)value ? "true" : "false");
      break;
   case PROTOBUF_C_TYPE_INT32:
   case PROTOBUF_C_TYPE_ENUM:
      append(writer, "%" PRId32, *(const int32_t *)value);
      break;
   case PROTOBUF_C_TYPE_UINT32:
      append(writer, "%" PRIu32, *(const uint32_t *)value);
      break;
   case PROTOBUF_C_TYPE_INT64:
      append(writer, "%" PRId64, *(const int64_t *)value);
      break;
   case PROTOBUF_C_TYPE_UINT64:
      append(writer, "%" PRIu64, *(const uint64_t *)value);
      break;
   case PROTOBUF_C_TYPE_BYTES: /* all texts, too */
      append_bytes(writer, value, strcmp(field->name, "data") != 0);
      break;
   default:
      append(writer, "...");
   }
}

/* Of each entry its first field, which is its name. */
static void append_names(struct writer *writer, const ProtobufCFieldDescriptor *field,
                         const ProtobufCMessage *request)
{
   const char *base = (const char *)request;
   size_t count = *(const size_t *)(base + field->quantifier_offset);
   const ProtobufCMessage *const *entries =
       *(const ProtobufCMessage *const *const *)(base + field->offset);
   if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
      append(writer, "(%zu)", count);
      return;
   }
   for (size_t i = 0; i < count; i++) {
      const ProtobufCFieldDescriptor *name = &entries[i]->descriptor->fields[0];
      append(writer, "%s", i > 0 ? "," : "");
      append_value(writer, name, (const char *)entries[i] + name->offset);
   }
}

static bool is_zero(const void *value, size_t size)
{
   const char *bytes = value;
   return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static bool is_set(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *request)
{
   const char *base = (const char *)request;
   const void *value = base + field->offset, *quantifier = base + field->quantifier_offset;
   if (field->label == PROTOBUF_C_LABEL_REPEATED)
      return *(const size_t *)quantifier > 0;
   if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
      return *(const uint32_t *)quantifier == field->id;
   switch (field->type) {
   case PROTOBUF_C_TYPE_BYTES:
      return ((const ProtobufCBinaryData *)value)->len > 0;
   case PROTOBUF_C_TYPE_BOOL:
      return *(const protobuf_c_boolean *)value;
   case PROTOBUF_C_TYPE_INT64:
   case PROTOBUF_C_TYPE_UINT64:
      return !is_zero(value, sizeof(uint64_t));
   case PROTOBUF_C_TYPE_MESSAGE:
      return *(const void *const *)value != NULL;
   default:
      return !is_zero(value, sizeof(uint32_t));
   }
}

static void describe(struct writer *writer, const ProtobufCMessage *request)
{
   for (unsigned i = 0; i < request->descriptor->n_fields; i++) {
      const ProtobufCFieldDescriptor *field = &request->descriptor->fields[i];
      if (!is_set(field, request))
         continue;
      append(writer, "%s%s=", writer->size > 0 ? " " : "", field->name);
      if (field->label == PROTOBUF_C_LABEL_REPEATED)
         append_names(writer, field, request);
      else
         append_value(writer, field, (const char *)request + field->offset);
   }
}

/* Both live as long as the call: a user that is removed meanwhile lives no longer than its
 * connection is known by it. */
void kv_audit_note(struct kv_call *call, const char *user, const ProtobufCMessage *request)
{
   enum kv_need need;
   const char *arguments = NULL;
   kv_grants_find(request->descriptor, &need);
   if (need == KV_NEED_ADMIN) {
      struct writer writer = {.size = 0};
      describe(&writer, request);
      arguments = kv_arena_copy(kv_call_arena(call), writer.text, writer.size + 1);
   }
   if (user[0] != '\0')
      user = kv_arena_copy(kv_call_arena(call), user, strlen(user) + 1);
   kv_call_set_caller(call, user ? user : "", arguments);
}

/* ---- The line ---- */

static bool is_audited(const struct kv_rpc_answer *answer)
{
   static const char admin[] = "/kvstore.v1.AdminService/";
   return answer->method && (strncmp(answer->method->path, admin, sizeof admin - 1) == 0 ||
                             strcmp(answer->method->path, "/kvstore.KeyValueStore/Config") == 0);
}

#define PROOF_SIZE 256

static void write_proof(const struct kv_rpc_identity *identity, char text[PROOF_SIZE])
{
   text[0] = '\0';
   if (identity->is_local)
      snprintf(text, PROOF_SIZE, " uid=%" PRIu32, identity->uid);
   else if (identity->certificate.size > 0)
      snprintf(text, PROOF_SIZE, " certificate=%.*s", (int)identity->certificate.size,
               (const char *)identity->certificate.data);
}

void kv_audit_answered(const struct kv_rpc_answer *answer)
{
   if (!is_audited(answer))
      return;
   const struct kv_rpc_subject *subject = kv_call_subject(answer->call);
   const char *user = subject->user[0] != '\0' ? subject->user : "-";
   const char *arguments = subject->request && subject->request[0] != '\0' ? subject->request : "-";
   char peer[KV_RPC_PEER_SIZE], proof[PROOF_SIZE];
   kv_call_peer(answer->call, peer);
   write_proof(kv_call_identity(answer->call), proof);
   if (answer->code == KV_UNAUTHENTICATED || answer->code == KV_PERMISSION_DENIED)
      kv_log(KV_LOG_WARNING, "audit: user=%s peer=%s%s method=%s outcome=%s", user, peer, proof,
             answer->method->path, kv_code_name(answer->code));
   else
      kv_log(KV_LOG_INFO, "audit: user=%s peer=%s%s method=%s arguments=%s outcome=%s", user, peer,
             proof, answer->method->path, arguments, kv_code_name(answer->code));
}
