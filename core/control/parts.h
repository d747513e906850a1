/* What the files of control work with. Each part is opaque and has verbs of its own. */
#ifndef KV_CONTROL_PARTS_H
#define KV_CONTROL_PARTS_H

#include "core/control/control.h"
#include "core/control/inbox.h"
#include "core/control/shadow.h"
#include "core/control/state.h"
#include "core/control/watchdog.h"

struct kv_control_parts {
   struct kv_control_config config;
   struct kv_watchdog *watchdog;
   struct kv_inbox *inbox;
   struct kv_shared_state *state;
   struct kv_load_report *load_report; /* of the start */
};

#endif
