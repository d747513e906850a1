#include "core/run_as.h"

#include "core/support/size.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NAME_SIZE 128

struct identity {
   char name[NAME_SIZE]; /* of the user, "" when only the number is known */
   uid_t user;
   gid_t group;
};

static bool parse_id(const char *text, unsigned *id)
{
   uint64_t value;
   if (!kv_number_parse(text, &value) || value >= UINT_MAX) /* -1 stands for no user */
      return false;
   *id = (unsigned)value;
   return true;
}

static bool find_group(const char *name, gid_t *group)
{
   const struct group *entry = getgrnam(name);
   if (entry)
      *group = entry->gr_gid;
   return entry || parse_id(name, group);
}

static enum kv_code find_user(const char *name, bool with_group, struct identity *identity,
                              struct kv_status *status)
{
   const struct passwd *entry = getpwnam(name);
   if (!entry && parse_id(name, &identity->user))
      entry = getpwuid(identity->user);
   else if (!entry)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "user: there is no user \"%s\"; name one that exists, or give the number",
                     name);
   if (entry) {
      snprintf(identity->name, sizeof identity->name, "%s", entry->pw_name);
      identity->user = entry->pw_uid;
      identity->group = entry->pw_gid;
   } else if (!with_group) {
      return kv_fail(
          status, KV_INVALID_ARGUMENT,
          "user: user id %s has no user name, so its group is not known; give both, as in %s:%s",
          name, name, name);
   }
   return KV_OK;
}

static enum kv_code find(const char *text, struct identity *identity, struct kv_status *status)
{
   char user[NAME_SIZE];
   if (snprintf(user, sizeof user, "%s", text) >= (int)sizeof user)
      return kv_fail(status, KV_INVALID_ARGUMENT, "user: \"%.40s...\" is too long for a name",
                     text);
   char *colon = strchr(user, ':');
   if (colon)
      *colon = '\0';
   *identity = (struct identity){0};
   if (find_user(user, colon, identity, status) != KV_OK)
      return status->code;
   if (colon && !find_group(colon + 1, &identity->group))
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "user: there is no group \"%s\"; name one that exists, or give the number",
                     colon + 1);
   return KV_OK;
}

static enum kv_code become(const struct identity *identity, struct kv_status *status)
{
   int grouped = identity->name[0] != '\0' ? initgroups(identity->name, identity->group)
                                           : setgroups(1, &identity->group);
   if (grouped != 0 || setresgid(identity->group, identity->group, identity->group) != 0 ||
       setresuid(identity->user, identity->user, identity->user) != 0)
      return kv_fail_errno(status, errno, "user: cannot become user id %u, group id %u",
                           (unsigned)identity->user, (unsigned)identity->group);
   if (identity->user != 0 && setuid(0) == 0)
      return kv_fail(status, KV_INTERNAL, "user: root's privileges could not be dropped for good");
   /* As in a process that was that user's from its start: /proc/self is the user's again. */
   if (prctl(PR_SET_DUMPABLE, 1) != 0)
      return kv_fail_errno(status, errno, "user: cannot take over /proc/self");
   return KV_OK;
}

enum kv_code kv_run_as(const char *user, struct kv_status *status)
{
   struct identity identity;
   if (find(user, &identity, status) != KV_OK)
      return status->code;
   if (geteuid() == 0)
      return become(&identity, status);
   if (geteuid() == identity.user)
      return KV_OK;
   return kv_fail(status, KV_PERMISSION_DENIED,
                  "user: only root can become user id %u; this process is user id %u",
                  (unsigned)identity.user, (unsigned)geteuid());
}
