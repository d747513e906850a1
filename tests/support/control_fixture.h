/*
 * The control plane over a real store, commit pipeline and data directory, with a plug-in that does
 * what the test says and a clock that the test moves: the next tick or repair comes when the test
 * advances the clock, and never by itself.
 *
 * There are three such plug-ins: "scripted" promises KVS_DURABLE, "periodic" KVS_PERIODIC, and
 * "volatile" KVS_VOLATILE. None keeps anything; their one option, `level`, is for switches to other
 * options.
 *
 * Link with --wrap=kv_plugin_library_find,--wrap=kv_clock_monotonic_ms,--wrap=fsync.
 *
 * Threads: the test's; the script is read by those of the server.
 */
#ifndef TESTS_CONTROL_FIXTURE_H
#define TESTS_CONTROL_FIXTURE_H

#include "core/control/control.h"
#include "core/control/shadow.h"
#include "tests/support/temporary.h"

#include <stdatomic.h>

/* What the plug-in does (a checkpoint calls host->saved before it fails), and what was requested of
 * it. All instances share it. */
struct control_script {
   atomic_int open, load, write, tick, checkpoint; /* what the hooks return, KVS_* */
   atomic_uint chosen;      /* number of an instance (the first one is 1) with writes of its own: */
   atomic_int chosen_write; /* what they return */
   atomic_uint chosen_writes, chosen_flags; /* how many it had, and the flags of the last one */
   atomic_uint_least64_t loaded_to; /* what a load of a used directory declares; 0: nothing */
   atomic_uint failing_checkpoint;  /* the number of one that fails; 0: none */
   atomic_uint opens, writes, ticks, checkpoints, shutdowns, closes;
   atomic_bool
       stop_in_load;        /* a load of a used directory has two records, and after the first... */
   atomic_bool stop_wanted; /* ...the server is to stop */
   atomic_uint records;     /* that the host accepted from a load */
   void (*in_checkpoint)(void); /* called by on_tick before it reads the view; may be NULL */
   atomic_uint entries;         /* that the last checkpoint read of its view */
   const kvs_host *first_host;  /* of the instance of the start */
   atomic_bool awaited;         /* what the host said in it */
};

struct control_fixture {
   struct temporary folder; /* data/, plugins/ */
   struct kv_data_directory *directory;
   struct kv_plugin_library *library;
   struct kv_store *store;
   struct kv_commit *commit;
   struct kv_control *control;
   atomic_bool writable;
   struct kv_status status; /* of the last call that failed */
   bool stopped;
};

extern struct control_script control_script;

/* For cmocka: the fixture is *state, and has begun an empty store. */
int control_fixture_set_up(void **state);
int control_fixture_tear_down(void **state);

/* Stops the control plane, before the test is over. */
enum kv_code control_fixture_stop(struct control_fixture *fixture);

/* Stops it, and starts another one over the same directory, which is in use only if that worked. */
enum kv_code control_fixture_restart(struct control_fixture *fixture);

/* The same, with a choice of mode or options. */
enum kv_code control_fixture_restart_as(struct control_fixture *fixture,
                                        const struct kv_control_request *choice);

/* Runs `act` on the control thread and returns when it and the tick that was due are done. */
void control_fixture_run(struct control_fixture *fixture,
                         void (*act)(struct control_fixture *fixture, void *context),
                         void *context);
/* Lets that much time pass, and returns when what was due is done. */
void control_fixture_advance(struct control_fixture *fixture, uint64_t ms);
/* The next so many syncs of directories fail. */
void control_fixture_fail_directory_syncs(unsigned count);

enum kv_code control_fixture_set(struct control_fixture *fixture, const char *key,
                                 const char *value);
enum kv_code control_fixture_delete(struct control_fixture *fixture, const char *key);
/* Configures the plug-in "scripted", or any, with this level. */
enum kv_code control_fixture_configure(struct control_fixture *fixture, const char *level);
enum kv_code control_fixture_configure_to(struct control_fixture *fixture, const char *plugin,
                                          const char *level);
enum kv_code control_fixture_save(struct control_fixture *fixture, uint64_t *sequence);
/* The outcome of a shadow run of zero length, and how many records it reports as mirrored. */
struct control_shadow {
   enum kv_shadow_outcome outcome;
   uint64_t records;
};
struct control_shadow control_fixture_shadow(struct control_fixture *fixture);

bool control_fixture_has_generation(const struct control_fixture *fixture, unsigned number);
/* As Status shows it. */
uint64_t control_fixture_generation(struct control_fixture *fixture);
uint64_t control_fixture_last_save(struct control_fixture *fixture);

#endif
