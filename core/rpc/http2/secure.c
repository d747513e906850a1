#include "core/rpc/http2/secure.h"

#include "core/rpc/http2/session.h"
#include "core/rpc/http2/worker.h"
#include "core/support/log.h"

#include <string.h>

bool kv_http2_secure_open(struct kv_http2_connection *connection)
{
   struct kv_tls *tls = connection->worker->base.rpc->options.tls;
   if (!tls || connection->base.fd < 0 || connection->base.identity.is_local)
      return true;
   struct kv_account *account = connection->worker->base.rpc->account;
   if (!kv_account_stand(account, KV_TLS_SESSION_SIZE)) {
      kv_log(KV_LOG_WARNING, "a TLS connection was refused: those that are open hold half of the "
                             "memory that connections may have (max-wire-memory)");
      return false;
   }
   connection->tls = kv_tls_session_create(tls);
   if (!connection->tls)
      kv_account_leave(account, KV_TLS_SESSION_SIZE);
   return connection->tls != NULL;
}

void kv_http2_secure_close(struct kv_http2_connection *connection)
{
   if (!connection->tls)
      return;
   kv_tls_session_destroy(connection->tls);
   connection->tls = NULL;
   kv_account_leave(connection->worker->base.rpc->account, KV_TLS_SESSION_SIZE);
}

bool kv_http2_secure_is_shaking(const struct kv_http2_connection *connection)
{
   return connection->tls && kv_tls_session_state(connection->tls) == KV_TLS_SHAKING;
}

bool kv_http2_secure_is_mute(const struct kv_http2_connection *connection)
{
   return connection->tls && kv_tls_session_state(connection->tls) != KV_TLS_OPEN;
}

/* ---- The sink ---- */

static bool add(void *context, const void *data, size_t size)
{
   struct kv_http2_output *sealed = context;
   if (size > sizeof sealed->buffer - sealed->gathered)
      return false;
   kv_http2_output_add(sealed, data, size);
   return true;
}

static struct kv_tls_sink sink_of(struct kv_http2_connection *connection)
{
   struct kv_http2_output *sealed = &connection->worker->secure->sealed;
   kv_http2_output_clear(sealed);
   return (struct kv_tls_sink){add, sealed};
}

/* ---- What arrives ---- */

/* It stays open for a moment, so that the client can read why. */
static void give_up(struct kv_http2_connection *connection)
{
   char peer[KV_RPC_PEER_SIZE];
   if (connection->ended)
      return;
   kv_connection_peer(&connection->base, peer);
   kv_log(KV_LOG_WARNING, "the TLS connection from %s was ended: %s", peer,
          kv_tls_session_error(connection->tls));
   kv_http2_connection_end(connection);
}

bool kv_http2_secure_receive(struct kv_http2_connection *connection, struct kv_slice arrived)
{
   struct kv_http2_worker *worker = connection->worker;
   struct kv_tls_session *tls = connection->tls;
   struct kv_tls_sink sink = sink_of(connection);
   bool was_shaking = kv_http2_secure_is_shaking(connection);
   size_t got;
   kv_tls_session_arrived(tls, arrived);
   while ((got = kv_tls_session_read(tls, worker->input, sizeof worker->input, sink)) > 0)
      if (!connection->ended && !kv_http2_session_receive(connection, worker->input, got))
         return false;
   enum kv_tls_state state = kv_tls_session_state(tls);
   if (was_shaking && state == KV_TLS_OPEN) {
      connection->base.identity.certificate = kv_tls_session_client(tls);
      kv_http2_connection_touch(connection); /* the session's first word */
   }
   if (state == KV_TLS_BROKEN)
      give_up(connection);
   return state != KV_TLS_CLOSED;
}

/* ---- What leaves ---- */

/* The next bytes of the output, at most a record of them: where they lie if they lie together, else
 * gathered. */
static struct kv_slice next_record(const struct kv_http2_output *output, unsigned *part, size_t *at,
                                   uint8_t *gathered)
{
   size_t size = 0;
   while (*part < output->part_count && size < KV_TLS_RECORD_SIZE) {
      const uint8_t *from = (const uint8_t *)output->parts[*part].iov_base + *at;
      size_t left = output->parts[*part].iov_len - *at;
      size_t space = KV_TLS_RECORD_SIZE - size;
      size_t taken = left < space ? left : space;
      *at = taken < left ? *at + taken : 0;
      *part += taken == left;
      if (size == 0 && (taken == KV_TLS_RECORD_SIZE || *part == output->part_count))
         return kv_slice(from, taken);
      memcpy(gathered + size, from, taken);
      size += taken;
   }
   return kv_slice(gathered, size);
}

bool kv_http2_secure_seal(struct kv_http2_connection *connection)
{
   struct kv_http2_worker *worker = connection->worker;
   const struct kv_http2_output *output = &worker->output;
   struct kv_tls_sink sink = sink_of(connection);
   unsigned part = 0;
   size_t at = 0;
   while (part < output->part_count) {
      struct kv_slice record = next_record(output, &part, &at, worker->secure->gathered);
      if (!kv_tls_session_write(connection->tls, record.data, record.size, sink))
         return false;
   }
   return true;
}

void kv_http2_secure_end(struct kv_http2_connection *connection)
{
   kv_tls_session_end(connection->tls, sink_of(connection));
}
