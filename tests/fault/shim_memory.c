/*
 * Allocations, replaced. Only allocations by the server's own code or a plug-in fail: libraries,
 * gRPC above all, and the dynamic linker end the process when they get no memory, which is not
 * under test. The object that contains the return address is the caller.
 */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

#define REAL(name)                                                                                 \
   ({                                                                                              \
      static __typeof__(&name) found;                                                              \
      if (!found)                                                                                  \
         found = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                       \
      found;                                                                                       \
   })

/* The program itself has an empty name, plug-ins lie where the test put them, system libraries
 * below /lib or /usr/lib. */
static bool own_code(void *address)
{
   struct dl_find_object object;
   if (_dl_find_object(address, &object) != 0)
      return false;
   const char *name = object.dlfo_link_map->l_name;
   return strncmp(name, "/lib", 4) != 0 && strncmp(name, "/usr/lib", 8) != 0 &&
          !strstr(name, "linux-vdso");
}

static bool refuse(void *caller)
{
   if (!own_code(caller))
      return false;
   struct shim_verdict verdict = shim_judge(SHIM_MEMORY, "");
   if (verdict.action != SHIM_ERROR)
      return false;
   errno = ENOMEM;
   return true;
}

EXPORT void *malloc(size_t size)
{
   return refuse(CALLER) ? NULL : REAL(malloc)(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
   return refuse(CALLER) ? NULL : REAL(calloc)(count, size);
}

EXPORT void *realloc(void *memory, size_t size)
{
   return refuse(CALLER) ? NULL : REAL(realloc)(memory, size);
}

EXPORT void *reallocarray(void *memory, size_t count, size_t size)
{
   return refuse(CALLER) ? NULL : REAL(reallocarray)(memory, count, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
   return refuse(CALLER) ? NULL : REAL(aligned_alloc)(alignment, size);
}

EXPORT int posix_memalign(void **memory, size_t alignment, size_t size)
{
   return refuse(CALLER) ? ENOMEM : REAL(posix_memalign)(memory, alignment, size);
}

EXPORT char *strdup(const char *text)
{
   return refuse(CALLER) ? NULL : REAL(strdup)(text);
}

EXPORT char *strndup(const char *text, size_t size)
{
   return refuse(CALLER) ? NULL : REAL(strndup)(text, size);
}
