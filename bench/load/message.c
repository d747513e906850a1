#include "bench/load/message.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>

bool message_read(grpc_byte_buffer *message, bool (*use)(void *context, struct kv_slice bytes),
                  void *context)
{
   grpc_byte_buffer_reader reader;
   if (!grpc_byte_buffer_reader_init(&reader, message))
      return false;
   /* Most are one piece, which is read in place. */
   grpc_slice *piece = NULL;
   grpc_slice whole = grpc_empty_slice();
   if (grpc_byte_buffer_reader_peek(&reader, &piece) &&
       GRPC_SLICE_LENGTH(*piece) < grpc_byte_buffer_length(message)) {
      grpc_byte_buffer_reader_destroy(&reader);
      grpc_byte_buffer_reader_init(&reader, message);
      whole = grpc_byte_buffer_reader_readall(&reader);
      piece = &whole;
   }
   struct kv_slice bytes = kv_slice("", 0);
   if (piece)
      bytes = kv_slice(GRPC_SLICE_START_PTR(*piece), GRPC_SLICE_LENGTH(*piece));
   bool good = use(context, bytes);
   grpc_slice_unref(whole);
   grpc_byte_buffer_reader_destroy(&reader);
   return good;
}
