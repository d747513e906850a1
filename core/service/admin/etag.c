/* The etag of a configuration: a caller changes only what it has seen. */
#include "core/service/admin/admin.h"
#include "core/support/digest.h"

#include <inttypes.h>

/* False when memory runs out. */
static bool compute(const struct kv_control_state *state, char text[KV_DIGEST_TEXT_SIZE])
{
   struct kv_digest *digest = kv_digest_create();
   if (!digest)
      return false;
   kv_digest_add(digest, kv_slice_of(state->plugin->name), kv_slice(NULL, 0), state->generation);
   for (size_t i = 0; i < state->plugin->option_count; i++)
      kv_digest_add(digest, kv_slice_of(state->settings[i].name),
                    kv_slice_of(state->settings[i].text), 0);
   kv_digest_text(digest, text);
   kv_digest_destroy(digest);
   return true;
}

ProtobufCBinaryData kv_service_etag(struct kv_builder *builder,
                                    const struct kv_control_state *state)
{
   char text[KV_DIGEST_TEXT_SIZE];
   if (compute(state, text))
      return kv_build_text(builder, text);
   builder->exhausted = true;
   return (ProtobufCBinaryData){0};
}

struct check {
   struct kv_slice etag;
   struct kv_status *status;
   enum kv_code code;
};

static void check(void *context, const struct kv_control_state *state)
{
   struct check *check = context;
   char text[KV_DIGEST_TEXT_SIZE];
   if (!compute(state, text))
      check->code = kv_fail(check->status, KV_RESOURCE_EXHAUSTED, "out of memory");
   else if (check->etag.size != strlen(text) || memcmp(check->etag.data, text, strlen(text)) != 0)
      check->code =
          kv_fail_reason(check->status, KV_FAILED_PRECONDITION, "ETAG_MISMATCH",
                         "etag: the configuration is another one by now (plug-in %s, generation "
                         "%" PRIu64 "); look at it with GetStatus, and give its etag",
                         state->plugin->name, state->generation);
}

enum kv_code kv_service_check_etag(struct kv_control *control, struct kv_slice etag,
                                   struct kv_status *status)
{
   struct check checked = {.etag = etag, .status = status, .code = KV_OK};
   if (etag.size > 0)
      kv_control_inspect(control, check, &checked);
   return checked.code;
}
