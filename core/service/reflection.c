#include "core/service/reflection.h"

#include "core/service/descriptors.h"
#include "core/service/guard.h"
#include "core/service/message.h"

#include "reflection.pb-c.h"

#include <stdlib.h>

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

static const char *const services[] = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "kvstore.KeyValueStore",
    "kvstore.v1.AdminService",
    "kvstore.v1.KeyValueService",
};
#define SERVICES (sizeof services / sizeof *services)

struct kv_reflection {
   struct kv_guard *guard;
   struct kv_descriptors *descriptors;
};

struct answer {
   const struct kv_descriptors *descriptors;
   struct kv_builder builder;
   reflection_response response;
   struct kv_status status; /* behind an error's text */
};

/* With answer->status. */
static void answer_error(struct answer *answer)
{
   Grpc__Reflection__V1__ErrorResponse *error =
       kv_build(&answer->builder, &grpc__reflection__v1__error_response__descriptor);
   if (!error)
      return;
   error->error_code = (int32_t)answer->status.code;
   error->error_message = kv_message_text(answer->status.text);
   answer->response.message_response_case =
       GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
   answer->response.error_response = error;
}

static void answer_not_found(struct answer *answer, const char *field, ProtobufCBinaryData name,
                             const char *what)
{
   kv_fail(&answer->status, KV_NOT_FOUND, "%s: \"%.*s\" (%zu bytes): %s", field,
           kv_message_shown_size(name), name.len ? (const char *)name.data : "", name.len, what);
   answer_error(answer);
}

static void answer_services(struct answer *answer)
{
   Grpc__Reflection__V1__ListServiceResponse *list =
       kv_build(&answer->builder, &grpc__reflection__v1__list_service_response__descriptor);
   Grpc__Reflection__V1__ServiceResponse **listed = kv_build_list(
       &answer->builder, SERVICES, &grpc__reflection__v1__service_response__descriptor);
   if (!listed)
      return;
   for (size_t i = 0; i < SERVICES; i++)
      listed[i]->name = kv_message_text(services[i]);
   list->n_service = SERVICES;
   list->service = listed;
   answer->response.message_response_case =
       GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
   answer->response.list_services_response = list;
}

/* The file asked for first, then all that it depends on. */
static void answer_file(struct answer *answer, size_t file)
{
   const struct kv_descriptors *descriptors = answer->descriptors;
   Grpc__Reflection__V1__FileDescriptorResponse *files =
       kv_build(&answer->builder, &grpc__reflection__v1__file_descriptor_response__descriptor);
   ProtobufCBinaryData *data = kv_build_array(&answer->builder, descriptors->count * sizeof *data);
   bool *wanted = kv_build_array(&answer->builder, descriptors->count);
   if (!wanted)
      return;
   memset(wanted, false, descriptors->count);
   kv_descriptors_closure(descriptors, file, wanted);
   wanted[file] = false;
   data[files->n_file_descriptor_proto++] = kv_message_bytes(descriptors->files[file]);
   for (size_t i = 0; i < descriptors->count; i++)
      if (wanted[i])
         data[files->n_file_descriptor_proto++] = kv_message_bytes(descriptors->files[i]);
   files->file_descriptor_proto = data;
   answer->response.message_response_case =
       GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
   answer->response.file_descriptor_response = files;
}

/* With the file that `find` finds by the name. */
static void answer_lookup(struct answer *answer,
                          size_t (*find)(const struct kv_descriptors *, struct kv_slice),
                          const char *field, ProtobufCBinaryData name, const char *what)
{
   size_t file = find(answer->descriptors, kv_slice(name.data, name.len));
   if (file == answer->descriptors->count)
      answer_not_found(answer, field, name, what);
   else
      answer_file(answer, file);
}

/* The question is sent back with the answer, but without its unknown fields: protobuf-c accepts
 * malformed ones (number 0), and no client could read the answer then. */
static void forget_unknown_fields(reflection_request *request)
{
   request->base.n_unknown_fields = 0;
   if (request->message_request_case ==
       GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION)
      request->file_containing_extension->base.n_unknown_fields = 0;
}

static void fill_answer(struct answer *answer, reflection_request *request)
{
   static const char no_extensions[] = "nothing served here has extensions";
   grpc__reflection__v1__server_reflection_response__init(&answer->response);
   answer->response.valid_host = request->host;
   answer->response.original_request = request;
   switch (request->message_request_case) {
   case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
      answer_services(answer);
      break;
   case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
      answer_lookup(answer, kv_descriptors_by_name, "file_by_filename", request->file_by_filename,
                    "no such file is served here");
      break;
   case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
      answer_lookup(answer, kv_descriptors_by_symbol, "file_containing_symbol",
                    request->file_containing_symbol,
                    "no such symbol is served here; give its full name with the package");
      break;
   case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
      answer_not_found(answer, "file_containing_extension",
                       request->file_containing_extension->containing_type, no_extensions);
      break;
   case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
      answer_not_found(answer, "all_extension_numbers_of_type",
                       request->all_extension_numbers_of_type, no_extensions);
      break;
   default:
      kv_fail(&answer->status, KV_INVALID_ARGUMENT,
              "message_request: is empty; set one of its fields");
      answer_error(answer);
   }
}

/* ---- Calls ---- */

static void on_request(void *context, struct kv_call *call, struct kv_slice request)
{
   const struct kv_reflection *reflection = context;
   reflection_request *question =
       kv_guard_request(reflection->guard, call,
                        &grpc__reflection__v1__server_reflection_request__descriptor, request);
   if (!question)
      return;
   struct answer answer = {.descriptors = reflection->descriptors,
                           .builder = {.arena = kv_call_arena(call)}};
   forget_unknown_fields(question);
   fill_answer(&answer, question);
   if (kv_builder_encode(&answer.builder, call, &answer.response.base))
      kv_call_send(call);
}

static void on_sent(void *context, struct kv_call *call)
{
   (void)context;
   /* Question and answer are no longer needed; a client may ask forever on one stream. */
   kv_call_set_caller(call, "", NULL);
   kv_arena_reset(kv_call_arena(call));
   kv_call_read_next(call);
}

static void on_half_closed(void *context, struct kv_call *call)
{
   (void)context;
   kv_call_finish(call);
}

/* ---- Interface ---- */

struct kv_reflection *kv_reflection_create(struct kv_guard *guard, struct kv_status *status)
{
   struct kv_reflection *reflection = malloc(sizeof *reflection);
   struct kv_descriptors *descriptors = reflection ? kv_descriptors_create() : NULL;
   if (!descriptors) {
      free(reflection);
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for the embedded descriptors");
      return NULL;
   }
   *reflection = (struct kv_reflection){guard, descriptors};
   return reflection;
}

void kv_reflection_destroy(struct kv_reflection *reflection)
{
   kv_descriptors_destroy(reflection->descriptors);
   free(reflection);
}

size_t kv_reflection_methods(struct kv_reflection *reflection, struct kv_rpc_method *methods)
{
   /* The messages of both versions are the same on the wire. */
   static const char *const paths[KV_REFLECTION_METHODS] = {
       "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
       "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
   };
   for (size_t i = 0; i < KV_REFLECTION_METHODS; i++)
      methods[i] = (struct kv_rpc_method){.path = paths[i],
                                          .kind = KV_RPC_BIDI,
                                          .service = reflection,
                                          .request = on_request,
                                          .sent = on_sent,
                                          .half_closed = on_half_closed};
   return KV_REFLECTION_METHODS;
}
