#include "core/service/keyvalue/request_id.h"

#include "core/service/validate.h"
#include "core/support/clock.h"

#include <sodium.h>
#include <string.h>

/* "\0r", then the hash of caller and id: one that no caller can have meet another's. */
#define KEY_PREFIX_SIZE 2
#define HASH_SIZE crypto_generichash_BYTES
#define KEY_SIZE (KEY_PREFIX_SIZE + HASH_SIZE)

struct memory {
   struct kv_remembered remembered;
   unsigned char key[KEY_SIZE], digest[HASH_SIZE];
};

struct hashing {
   ProtobufCBuffer buffer; /* first: its function gets back from it to the whole */
   crypto_generichash_state state;
};

static void append(ProtobufCBuffer *buffer, size_t size, const uint8_t *data)
{
   crypto_generichash_update(&((struct hashing *)buffer)->state, data, size);
}

static void begin(struct hashing *hashing)
{
   hashing->buffer = (ProtobufCBuffer){append};
   crypto_generichash_init(&hashing->state, NULL, 0, HASH_SIZE);
}

/* With its NUL, so that it does not run into what follows. */
static void append_text(struct hashing *hashing, const char *text)
{
   append(&hashing->buffer, strlen(text) + 1, (const uint8_t *)text);
}

static void make_key(const char *user, struct kv_slice id, unsigned char key[KEY_SIZE])
{
   struct hashing hashing;
   begin(&hashing);
   append_text(&hashing, user);
   append(&hashing.buffer, id.size, id.data);
   memcpy(key, "\0r", KEY_PREFIX_SIZE);
   crypto_generichash_final(&hashing.state, key + KEY_PREFIX_SIZE, HASH_SIZE);
}

/* Of the method, too: messages of different types may have the same bytes. */
static void make_digest(const ProtobufCMessage *request, unsigned char digest[HASH_SIZE])
{
   struct hashing hashing;
   begin(&hashing);
   append_text(&hashing, request->descriptor->name);
   protobuf_c_message_pack_to_buffer(request, &hashing.buffer);
   crypto_generichash_final(&hashing.state, digest, HASH_SIZE);
}

const struct kv_remembered *
kv_request_remember(const struct kv_service *service, struct kv_call *call, struct kv_slice id,
                    const ProtobufCMessage *request,
                    struct kv_slice (*encode)(const struct kv_submission *submission),
                    struct kv_status *status)
{
   if (id.size > KV_REQUEST_ID_MAX) {
      kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                     "request_id: %zu bytes given, at most %zu are allowed", id.size,
                     KV_REQUEST_ID_MAX);
      return NULL;
   }
   if (kv_validate_prefix("request_id", id, status) != KV_OK)
      return NULL;
   const char *user = kv_call_subject(call)->user;
   struct memory *memory = kv_arena_alloc(kv_call_arena(call), sizeof *memory);
   if (!memory) {
      kv_call_exhausted(call, status);
      return NULL;
   }
   make_key(user ? user : "", id, memory->key);
   make_digest(request, memory->digest);
   memory->remembered = (struct kv_remembered){
       .key = kv_slice(memory->key, sizeof memory->key),
       .digest = kv_slice(memory->digest, sizeof memory->digest),
       .expires_at = kv_clock_unix_ms() + service->config.request_window_ms,
       .encode = encode,
   };
   return &memory->remembered;
}

void kv_request_answer_again(struct kv_call *call, struct kv_slice answer,
                             unsigned durability_field, enum kv_durability durability)
{
   uint8_t *message = kv_call_message(call, answer.size + kv_number_field_size(durability));
   if (!message) {
      kv_message_out_of_memory(call);
      return;
   }
   if (answer.size > 0)
      memcpy(message, answer.data, answer.size);
   struct kv_writer writer = {.call = call, .space = message, .filled = answer.size};
   kv_writer_number(&writer, durability_field, durability);
   kv_call_reply(call);
}
