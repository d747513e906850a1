#include "core/access/users.h"

#include "core/support/text.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define HASH_FORM "sha256:"
#define HEX_SIZE (2 * KV_TOKEN_HASH_SIZE)

enum proof { TOKEN, CERTIFICATE, UID };

struct kv_user {
   struct kv_user *next;
   unsigned line;
   bool admin;
   struct grant *grants;
   char name[KV_USER_NAME_MAX + 1];
};

struct grant {
   struct grant *next;
   unsigned roles;
   size_t size;
   char prefix[];
};

struct credential {
   struct credential *next;
   const struct kv_user *user;
   enum proof proof;
   size_t size;
   uint8_t bytes[];
};

struct kv_users {
   struct kv_user *first;
   struct credential *credentials;
   size_t count;
};

/* A line that is being read. */
struct line {
   struct kv_users *users;
   struct kv_user *user;
   unsigned number;
   struct kv_status *status;
};

static enum kv_code out_of_memory(struct kv_status *status)
{
   return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the users");
}

/* ---- Words ---- */

static int digit_of(char character)
{
   static const char digits[] = "0123456789abcdef";
   char lower = character >= 'A' && character <= 'F' ? (char)(character - 'A' + 'a') : character;
   const char *found = lower ? strchr(digits, lower) : NULL;
   return found ? (int)(found - digits) : -1;
}

/* %XX to a byte, in place; false where two digits are missing. */
static bool decode(char *text, size_t *size)
{
   char *to = text;
   for (const char *from = text; *from; from++) {
      if (*from != '%') {
         *to++ = *from;
         continue;
      }
      int high = digit_of(from[1]), low = high < 0 ? -1 : digit_of(from[2]);
      if (low < 0)
         return false;
      *to++ = (char)(16 * high + low);
      from += 2;
   }
   *size = (size_t)(to - text);
   return true;
}

static enum kv_code refuse(const struct line *line, const char *word, const char *reason)
{
   char shown[KV_TEXT_SHOWN_SIZE];
   kv_text_show(word, shown, sizeof shown);
   return kv_fail(line->status, KV_INVALID_ARGUMENT, "line %u: \"%s\" %s", line->number, shown,
                  reason);
}

/* ---- Proofs ---- */

static const struct credential *find(const struct kv_users *users, enum proof proof,
                                     struct kv_slice bytes)
{
   for (const struct credential *item = users->credentials; item; item = item->next)
      if (item->proof == proof && kv_slice_compare(kv_slice(item->bytes, item->size), bytes) == 0)
         return item;
   return NULL;
}

static enum kv_code add_credential(struct line *line, enum proof proof, struct kv_slice bytes)
{
   static const char *const names[] = {"token", "certificate", "uid"};
   const struct credential *other = find(line->users, proof, bytes);
   if (other)
      return kv_fail(line->status, KV_INVALID_ARGUMENT,
                     "line %u: this %s is already that of \"%s\" (line %u)", line->number,
                     names[proof], other->user->name, other->user->line);
   struct credential *credential = malloc(sizeof *credential + bytes.size);
   if (!credential)
      return out_of_memory(line->status);
   *credential = (struct credential){line->users->credentials, line->user, proof, bytes.size};
   memcpy(credential->bytes, bytes.data, bytes.size);
   line->users->credentials = credential;
   return KV_OK;
}

/* What is wrong with it is said without the word: it may be a token by mistake. */
static enum kv_code add_token(struct line *line, char *word)
{
   uint8_t hash[KV_TOKEN_HASH_SIZE];
   bool good = strncmp(word, HASH_FORM, strlen(HASH_FORM)) == 0;
   const char *hex = word + strlen(HASH_FORM);
   good = good && strlen(hex) == HEX_SIZE;
   for (size_t i = 0; good && i < KV_TOKEN_HASH_SIZE; i++) {
      int high = digit_of(hex[2 * i]), low = digit_of(hex[2 * i + 1]);
      good = high >= 0 && low >= 0;
      hash[i] = (uint8_t)(16 * (unsigned)high + (unsigned)low);
   }
   if (!good)
      return kv_fail(line->status, KV_INVALID_ARGUMENT,
                     "line %u: token= is not followed by " HASH_FORM " and %zu hexadecimal digits",
                     line->number, HEX_SIZE);
   return add_credential(line, TOKEN, kv_slice(hash, sizeof hash));
}

static enum kv_code add_certificate(struct line *line, char *word)
{
   size_t size;
   if (!decode(word, &size) || size == 0)
      return refuse(line, word, "is not the name of a certificate; %XX stands for a byte");
   return add_credential(line, CERTIFICATE, kv_slice(word, size));
}

static enum kv_code add_uid(struct line *line, char *word)
{
   uint64_t number = 0;
   bool good = *word != '\0';
   for (const char *digit = word; good && *digit; digit++) {
      number = 10 * number + (uint64_t)(*digit - '0');
      good = *digit >= '0' && *digit <= '9' && number < UINT32_MAX; /* which is nobody's */
   }
   uint32_t uid = (uint32_t)number;
   if (!good)
      return refuse(line, word, "is not the number of a user of this system");
   return add_credential(line, UID, kv_slice(&uid, sizeof uid));
}

/* ---- Grants ---- */

static enum kv_code add_grant(struct line *line, unsigned roles, char *word)
{
   size_t size;
   bool all = strcmp(word, "*") == 0;
   if (*word == '\0')
      return refuse(line, word, "is an empty prefix; * stands for all keys");
   if (!decode(word, &size))
      return refuse(line, word, "has a % without two hexadecimal digits; %25 stands for it");
   if (all)
      size = 0;
   struct grant *grant = malloc(sizeof *grant + size);
   if (!grant)
      return out_of_memory(line->status);
   *grant = (struct grant){line->user->grants, roles, size};
   memcpy(grant->prefix, word, size);
   line->user->grants = grant;
   return KV_OK;
}

static enum kv_code add_word(struct line *line, char *word)
{
   static const struct {
      const char *start;
      unsigned roles;
      enum kv_code (*add)(struct line *line, char *word);
   } kinds[] = {
       {"read:", KV_ROLE_READ, NULL},
       {"write:", KV_ROLE_WRITE, NULL},
       {"readwrite:", KV_ROLE_READ | KV_ROLE_WRITE, NULL},
       {"token=", 0, add_token},
       {"cert=", 0, add_certificate},
       {"uid=", 0, add_uid},
   };
   if (strcmp(word, "admin") == 0) {
      line->user->admin = true;
      return KV_OK;
   }
   for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
      char *rest = word + strlen(kinds[i].start);
      if (strncmp(word, kinds[i].start, strlen(kinds[i].start)) != 0)
         continue;
      return kinds[i].add ? kinds[i].add(line, rest) : add_grant(line, kinds[i].roles, rest);
   }
   return kv_fail(line->status, KV_INVALID_ARGUMENT,
                  "line %u: a word is none of read:PREFIX, write:PREFIX, readwrite:PREFIX, admin, "
                  "token=" HASH_FORM "HEX, cert=NAME and uid=NUMBER",
                  line->number);
}

/* ---- Lines ---- */

static enum kv_code add_user(struct line *line, const char *name)
{
   if (strchr(name, '=')) /* perhaps a token, which is not to be shown */
      return kv_fail(line->status, KV_INVALID_ARGUMENT,
                     "line %u: it begins with a proof; the first word is the name of a user",
                     line->number);
   if (!kv_text_is_plain_name(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.@", KV_USER_NAME_MAX))
      return refuse(line, name,
                    "is not a name of a user: letters, digits, '-', '_', '.' and '@', at most 64");
   struct kv_user **end = &line->users->first;
   for (; *end; end = &(*end)->next)
      if (strcmp((*end)->name, name) == 0)
         return kv_fail(line->status, KV_INVALID_ARGUMENT,
                        "line %u: \"%s\" is there already (line %u); give a user one line",
                        line->number, name, (*end)->line);
   line->user = calloc(1, sizeof *line->user);
   if (!line->user)
      return out_of_memory(line->status);
   line->user->line = line->number;
   strcpy(line->user->name, name);
   *end = line->user;
   line->users->count++;
   return KV_OK;
}

static enum kv_code read_line(struct line *line, char *text)
{
   char *rest = text, *word;
   enum kv_code code = KV_OK;
   if (text[strspn(text, " \t\r")] == '#')
      return KV_OK;
   while (code == KV_OK && (word = strsep(&rest, " \t\r")))
      if (*word != '\0')
         code = line->user ? add_word(line, word) : add_user(line, word);
   return code;
}

static enum kv_code read_text(struct kv_users *users, char *text, struct kv_status *status)
{
   struct line line = {.users = users, .status = status};
   enum kv_code code = KV_OK;
   for (char *rest = text, *next; code == KV_OK && (next = strsep(&rest, "\n"));) {
      line.user = NULL;
      line.number++;
      code = read_line(&line, next);
   }
   return code;
}

struct kv_users *kv_users_parse(struct kv_slice text, struct kv_status *status)
{
   if (text.size > 0 && memchr(text.data, '\0', text.size)) {
      kv_fail(status, KV_INVALID_ARGUMENT, "there is a zero byte; the file must be text");
      return NULL;
   }
   struct kv_users *users = calloc(1, sizeof *users);
   char *copy = text.size > 0 ? strndup(text.data, text.size) : strdup("");
   enum kv_code code = users && copy ? read_text(users, copy, status) : out_of_memory(status);
   free(copy);
   if (code == KV_OK)
      return users;
   kv_users_destroy(users);
   return NULL;
}

void kv_users_destroy(struct kv_users *users)
{
   while (users && users->first) {
      struct kv_user *user = users->first;
      users->first = user->next;
      while (user->grants) {
         struct grant *grant = user->grants;
         user->grants = grant->next;
         free(grant);
      }
      free(user);
   }
   while (users && users->credentials) {
      struct credential *credential = users->credentials;
      users->credentials = credential->next;
      free(credential);
   }
   free(users);
}

/* ---- Questions ---- */

size_t kv_users_count(const struct kv_users *users)
{
   return users->count;
}

const struct kv_user *kv_users_of_token(const struct kv_users *users, struct kv_slice token)
{
   uint8_t hash[crypto_hash_sha256_BYTES];
   _Static_assert(sizeof hash == KV_TOKEN_HASH_SIZE, "a hash is SHA-256");
   const struct kv_user *user = NULL;
   crypto_hash_sha256(hash, token.data, token.size);
   for (const struct credential *item = users->credentials; item; item = item->next)
      if (item->proof == TOKEN && sodium_memcmp(item->bytes, hash, sizeof hash) == 0)
         user = item->user;
   return user;
}

static const struct kv_user *user_of(const struct credential *credential)
{
   return credential ? credential->user : NULL;
}

const struct kv_user *kv_users_of_certificate(const struct kv_users *users, struct kv_slice name)
{
   return user_of(find(users, CERTIFICATE, name));
}

const struct kv_user *kv_users_of_uid(const struct kv_users *users, uint32_t uid)
{
   return user_of(find(users, UID, kv_slice(&uid, sizeof uid)));
}

const char *kv_user_name(const struct kv_user *user)
{
   return user->name;
}

bool kv_user_is_admin(const struct kv_user *user)
{
   return user->admin;
}

bool kv_user_may(const struct kv_user *user, enum kv_role role, struct kv_slice prefix)
{
   if (user->admin)
      return true;
   for (const struct grant *grant = user->grants; grant; grant = grant->next)
      if ((grant->roles & role) != 0 &&
          kv_slice_begins_with(prefix, kv_slice(grant->prefix, grant->size)))
         return true;
   return false;
}
