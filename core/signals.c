#include "core/signals.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum action {
   STOP,                  /* in order: as SIGTERM does */
   STOP_UNLESS_INHERITED, /* the same, but ignored if it was when the server was started */
   IGNORE,
};

static const struct {
   int number;
   const char *name;
   enum action action;
} signals[] = {
    {SIGTERM, "SIGTERM", STOP},
    {SIGINT, "SIGINT", STOP},
    {SIGQUIT, "SIGQUIT", STOP},
    {SIGHUP, "SIGHUP", STOP_UNLESS_INHERITED}, /* nohup */
    {SIGPWR, "SIGPWR", STOP},
    {SIGXCPU, "SIGXCPU", STOP},
    {SIGXFSZ, "SIGXFSZ", IGNORE}, /* the write fails instead */
    {SIGPIPE, "SIGPIPE", IGNORE}, /* the write fails instead */
    {SIGUSR1, "SIGUSR1", IGNORE},
    {SIGUSR2, "SIGUSR2", IGNORE},
    {SIGALRM, "SIGALRM", IGNORE},
    {SIGVTALRM, "SIGVTALRM", IGNORE},
    {SIGPROF, "SIGPROF", IGNORE},
    {SIGIO, "SIGIO", IGNORE},
    {SIGSTKFLT, "SIGSTKFLT", IGNORE},
    {SIGTTIN, "SIGTTIN", IGNORE}, /* reading the terminal fails instead */
    {SIGTTOU, "SIGTTOU", IGNORE}, /* the log goes on in the background */
};
#define SIGNAL_COUNT (sizeof signals / sizeof *signals)

static void ignore(int number)
{
   const struct sigaction action = {.sa_handler = SIG_IGN};
   sigaction(number, &action, NULL); /* fails only for numbers that are none */
}

static bool is_ignored(int number)
{
   struct sigaction action;
   return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void kv_signals_prepare(sigset_t *stopping)
{
   sigemptyset(stopping);
   for (size_t i = 0; i < SIGNAL_COUNT; i++) {
      int number = signals[i].number;
      if (signals[i].action == IGNORE)
         ignore(number);
      else if (signals[i].action == STOP || !is_ignored(number))
         sigaddset(stopping, number);
   }
   for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
      ignore(number);
   pthread_sigmask(SIG_BLOCK, stopping, NULL);
}

const char *kv_signal_name(int number)
{
   for (size_t i = 0; i < SIGNAL_COUNT; i++)
      if (signals[i].number == number)
         return signals[i].name;
   return "a signal";
}
