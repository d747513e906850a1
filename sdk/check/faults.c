#include "sdk/check/faults.h"

#include "sdk/check/check.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static struct fault_control *control(void)
{
   return dlsym(RTLD_DEFAULT, FAULT_CONTROL_SYMBOL);
}

bool faults_available(void)
{
   return control() != NULL;
}

void faults_watch(const char *directory)
{
   char *real = realpath(directory, NULL);
   if (!real || strlen(real) >= FAULT_ROOT_SIZE)
      check_broken("%s: no such directory", directory);
   strcpy(control()->root, real);
   free(real);
}

void faults_arm(uint32_t kinds, enum fault_action action, int error, uint64_t first)
{
   struct fault_control *rule = control();
   rule->kinds = 0;
   rule->action = action;
   rule->error = error;
   rule->first = first;
   rule->seen = 0;
   rule->hits = 0;
   rule->kinds = kinds;
}

void faults_heal(void)
{
   control()->kinds = 0;
}

uint64_t faults_hits(void)
{
   return control()->hits;
}

uint64_t faults_count(uint32_t kind)
{
   return control()->counts[__builtin_ctz(kind)];
}
