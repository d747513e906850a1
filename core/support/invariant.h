/*
 * What must be true whatever clients, disks and plug-ins do. Unlike assert it stays in Release: a
 * process that finds its own state broken ends before it acknowledges or writes anything more, and
 * the next start recovers from what is on the disk. What the world can break (a file, a request, a
 * plug-in's answer, memory that runs out) is no invariant but an error, and is handled.
 *
 * Any thread. The condition is evaluated once, and may not have side effects.
 */
#ifndef KV_INVARIANT_H
#define KV_INVARIANT_H

/* Ends the process by SIGABRT when the condition is false, after a line with the condition and its
 * place, and a backtrace, on standard error. */
#define KV_INVARIANT(condition)                                                                    \
   (__builtin_expect(!(condition), 0)                                                              \
        ? kv_invariant_broken(#condition, __FILE__, __LINE__, __func__)                            \
        : (void)0)

/* Takes no lock and no memory beyond what the first backtrace of a process loads. */
_Noreturn void kv_invariant_broken(const char *condition, const char *file, int line,
                                   const char *function) __attribute__((cold));

#endif
