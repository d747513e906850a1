#include "client/restore_terminal.h"

#include <pthread.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

static const int signals[] = {SIGHUP, SIGQUIT, SIGTERM, SIGTSTP};

/* Written once, before the handler is installed. */
static struct termios found;
static pthread_t editing;

static bool install(int number);

/* Ends or stops by the default action, so that the parent sees the signal. Returns after a stop. */
static void on_signal(int number)
{
   /* libedit's handler passes a signal on while its thread blocks it, so that another one may get
    * it. Its thread would set the terminal again meanwhile. */
   if (!pthread_equal(pthread_self(), editing)) {
      pthread_kill(editing, number);
      return;
   }
   /* In the background the terminal is another job's, and changing it would stop us. */
   if (tcgetpgrp(STDIN_FILENO) == getpgrp())
      tcsetattr(STDIN_FILENO, TCSANOW, &found);
   sigset_t this_one;
   sigemptyset(&this_one);
   sigaddset(&this_one, number);
   signal(number, SIG_DFL);
   raise(number);
   sigprocmask(SIG_UNBLOCK, &this_one, NULL);
   install(number);
}

static bool install(int number)
{
   struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
   sigemptyset(&action.sa_mask);
   return sigaction(number, &action, NULL) == 0;
}

bool restore_terminal_on_signals(void)
{
   if (tcgetattr(STDIN_FILENO, &found) != 0)
      return false;
   editing = pthread_self();
   for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
      /* What was ignored at the start stays ignored (nohup). */
      struct sigaction present;
      if (sigaction(signals[i], NULL, &present) != 0 ||
          (present.sa_handler != SIG_IGN && !install(signals[i])))
         return false;
   }
   return true;
}
