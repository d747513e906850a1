#include "tests/fuzz/http2_message.h"

#include "tests/fuzz/http2_peer.h"
#include "tests/fuzz/http2_service.h"

#include <string.h>
#include <zlib.h>

/* ---- Header fields ---- */

static void add(struct message_fields *fields, const char *name, const char *value, size_t size)
{
   REQUIRE(fields->count < MESSAGE_FIELDS_MAX);
   fields->items[fields->count++] =
       (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), size,
                    NGHTTP2_NV_FLAG_NONE};
}

static void add_text(struct message_fields *fields, const char *name, const char *value)
{
   add(fields, name, value, strlen(value));
}

enum { GET = 8, NO_TYPE = 16, OTHER_TYPE = 32, WITH_LENGTH = 64, UPPER_CASE = 128 };
enum { BINARY = 32, LONG = 64, MANY = 128 };

static void add_metadata(struct message_fields *fields, uint8_t choices)
{
   static const char letters[4096] = {[0 ... 4095] = 'm'};
   static const char *const binary[] = {"AAEC/w", "AA==", "A", "not base64!", "", "AAEC, AA=="};
   if (choices & BINARY)
      add_text(fields, "trace-bin", binary[(choices >> 2) % 6]);
   for (unsigned i = 0; (choices & LONG) && i < (choices & MANY ? 5u : 1u); i++)
      add(fields, "user-data", letters, sizeof letters);
   for (unsigned i = 0; (choices & MANY) && i < 18; i++)
      add(fields, "name", letters, i + 1);
}

void message_fields(struct fuzz_input *input, bool wrong, struct message_fields *fields)
{
   static const char *const encodings[] = {NULL, "gzip", "deflate", "snappy"};
   static const char *const timeouts[] = {NULL, NULL, "0n", "1m", "250m", "2S", "8H", "bad"};
   uint8_t first = (uint8_t)fuzz_take(input, 1), second = (uint8_t)fuzz_take(input, 1);
   unsigned method = first % 8;
   *fields = (struct message_fields){.count = 0};
   add_text(fields, ":method", first & GET ? "GET" : "POST");
   add_text(fields, ":scheme", "http");
   add_text(fields, ":authority", "fuzz");
   add_text(fields, ":path",
            method < SERVICE_METHODS ? service_methods[method].path : "/fuzz.Fuzz/Unknown");
   add_text(fields, "te", "trailers");
   if (first & OTHER_TYPE)
      add_text(fields, "content-type", first & NO_TYPE ? "text/plain" : "application/grpc+proto");
   else if (!(first & NO_TYPE))
      add_text(fields, "content-type", "application/grpc");
   if (encodings[second % 4])
      add_text(fields, "grpc-encoding", encodings[second % 4]);
   if (timeouts[(second >> 2) % 8])
      add_text(fields, "grpc-timeout", timeouts[(second >> 2) % 8]);
   if (wrong && (first & WITH_LENGTH))
      add_text(fields, "content-length", "9");
   if (wrong && (first & UPPER_CASE))
      add_text(fields, second & 1 ? "Upper" : "connection", "x");
   add_metadata(fields, second);
}

/* ---- Messages ---- */

#define PREFIX_SIZE 5
#define STORED_MAX 65535
#define BOMB_SIZE ((size_t)300 * 1024)

static uint8_t bomb[4096];
static size_t bomb_size;

void message_init(void)
{
   static uint8_t zeros[BOMB_SIZE];
   uLongf size = sizeof bomb;
   REQUIRE(compress2(bomb, &size, zeros, sizeof zeros, 9) == Z_OK);
   bomb_size = size;
}

static void put_big_endian(uint8_t *to, uint32_t value)
{
   for (int i = 0; i < 4; i++)
      to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put_little_endian(uint8_t *to, uint32_t value)
{
   for (int i = 0; i < 4; i++)
      to[i] = (uint8_t)(value >> (8 * i));
}

static size_t put_stored(uint8_t *to, const uint8_t *message, size_t size)
{
   to[0] = 1;
   to[1] = (uint8_t)size;
   to[2] = (uint8_t)(size >> 8);
   to[3] = (uint8_t)~to[1];
   to[4] = (uint8_t)~to[2];
   memcpy(to + 5, message, size);
   return 5 + size;
}

static size_t put_gzip(uint8_t *to, const uint8_t *message, size_t size)
{
   static const uint8_t head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
   memcpy(to, head, sizeof head);
   size_t used = sizeof head + put_stored(to + sizeof head, message, size);
   put_little_endian(to + used, (uint32_t)crc32(crc32(0, NULL, 0), message, (uInt)size));
   put_little_endian(to + used + 4, (uint32_t)size);
   return used + 8;
}

static size_t put_zlib(uint8_t *to, const uint8_t *message, size_t size)
{
   to[0] = 0x78;
   to[1] = 1;
   size_t used = 2 + put_stored(to + 2, message, size);
   put_big_endian(to + used, (uint32_t)adler32(adler32(0, NULL, 0), message, (uInt)size));
   return used + 4;
}

enum { PLAIN, PLAIN_TOO, GZIP, ZLIB, BOMB, TRAILING, WRONG_FLAG, WRONG_SIZE };

static size_t choose_size(struct fuzz_input *input)
{
   static const size_t more[] = {0,     10,    500,   2040,  2046,  4096, 300,  16000,
                                 33000, 40000, 66000, 98304, 98305, 20,   1000, 130};
   uint8_t choice = (uint8_t)fuzz_take(input, 1);
   return choice < 128 ? choice : more[choice % 16] + (choice >> 4) % 8;
}

size_t message_make(struct fuzz_input *input, uint8_t to[MESSAGE_FRAMED_MAX])
{
   static uint8_t message[MESSAGE_FRAMED_MAX];
   uint8_t kind = (uint8_t)fuzz_take(input, 1) % 8, *body = to + PREFIX_SIZE;
   size_t size = choose_size(input);
   kvs_bytes script = fuzz_take_bytes(input, MESSAGE_SCRIPT_SIZE);
   if ((kind == GZIP || kind == ZLIB || kind == TRAILING) && size > STORED_MAX)
      size = STORED_MAX;
   memcpy(message, peer_pattern(size), size);
   if (script.size > 0)
      memcpy(message, script.data, script.size < size ? script.size : size);
   to[0] = kind == WRONG_FLAG ? 2 : kind >= GZIP && kind <= TRAILING;
   if (kind == GZIP || kind == TRAILING)
      size = put_gzip(body, message, size);
   else if (kind == ZLIB)
      size = put_zlib(body, message, size);
   else if (kind == BOMB)
      memcpy(body, bomb, size = bomb_size);
   else
      memcpy(body, message, size);
   if (kind == TRAILING) /* bytes behind what is packed */
      body[size++] = 0;
   put_big_endian(to + 1, (uint32_t)(kind == WRONG_SIZE ? size * 2 : size));
   return PREFIX_SIZE + size;
}
