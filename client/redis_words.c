#include "client/redis_words.h"

#include "client/words.h"

#include <stdio.h>

bool redis_option(struct kv_slice word, struct kv_slice next, char text[REDIS_TEXT_SIZE])
{
   static const struct {
      const char *name, *here, *unit; /* NULL: no word comes after it */
   } options[] = {
       {"EX", "--ttl ", "s"},           {"PX", "--ttl ", "ms"},
       {"EXAT", "--expire-at ", "000"}, {"PXAT", "--expire-at ", ""},
       {"NX", "--if-absent", NULL},     {"XX", "--if-present", NULL},
       {"KEEPTTL", "--keep-ttl", NULL}, {"GET", "--previous", NULL},
   };
   for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
      int64_t number;
      if (!words_same(word, options[i].name))
         continue;
      if (options[i].unit && !words_integer(next, 0, INT64_MAX, &number))
         next = kv_slice_of("N");
      snprintf(text, REDIS_TEXT_SIZE, "%s%.*s%s", options[i].here,
               options[i].unit ? (int)next.size : 0, options[i].unit ? (const char *)next.data : "",
               options[i].unit ? options[i].unit : "");
      return true;
   }
   return false;
}

const char *redis_command(struct kv_slice name)
{
   static const struct {
      const char *name, *here;
   } commands[] = {
       {"pttl", "ttl KEY, which prints milliseconds in a pipe"},
       {"setnx", "set KEY VALUE --if-absent"},
       {"setex", "set KEY VALUE --ttl DURATION"},
       {"psetex", "set KEY VALUE --ttl DURATION"},
       {"getset", "set KEY VALUE --previous"},
       {"getdel", "del KEY --previous"},
       {"mset", "txn, with a set in each line"},
       {"msetnx", "txn, with missing KEY, then, and a set in each line"},
       {"expireat", "expire KEY TIME"},
       {"pexpire", "expire KEY DURATION, such as 500ms"},
       {"pexpireat", "expire KEY TIME"},
       {"put", "set KEY VALUE"},
       {"delete", "del KEY"},
       {"unlink", "del KEY"},
       {"ping", "health"},
       {"info", "status"},
       {"dbsize", "scan --count"},
       {"flushall", "del --prefix \"\""},
       {"flushdb", "del --prefix \"\""},
       {"multi", "txn, and commit at its end"},
       {"exec", "commit, at the end of a txn"},
       {"discard", "abort, in a txn"},
       {"subscribe", "watch [PREFIX...]"},
       {"psubscribe", "watch [PREFIX...]"},
       {"commit", "the last line of a txn"},
       {"abort", "the last line of a txn"},
       {"then", "a line of a txn"},
       {"else", "a line of a txn"},
   };
   for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
      if (words_same(name, commands[i].name))
         return commands[i].here;
   return NULL;
}
