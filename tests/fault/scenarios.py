"""Promises that take more than one fault at one call: calls that are held, repeated or in doubt."""
import errno
import os
import threading

import faults
import harness
import session
from cases import ERROR, Case, Fault

CODE = session.CODE


def hold_sync(client):
    """Reads, health and status go on while a sync hangs; the write waits; nobody sees it early."""
    client.set("before", b"1")
    held = client.shim.arm("fdatasync", 1, "hold")
    write = client.server.stub.Set.future(harness.kv.SetRequest(key="held", value=b"2"),
                                          timeout=harness.PATIENCE)
    held.wait_held()
    client.history.begin([("held", b"2")])
    for _ in range(20):
        if client.server.get("before") != b"1":
            client.note("a read failed while a sync hung")
        if client.server.get("held") is not None:
            client.note("a write could be read before its sync returned")
    if dict(client.server.scan()) != client.state or not client.serving():
        client.note("scan or health failed while a sync hung")
    if write.done():
        client.note("a write was acknowledged before its sync returned")
    held.disarm()
    write.result()
    client.history.acknowledge()
    client.state["held"] = b"2"


def hold_switch(client):
    """Writes go on while the checkpoint of a switch hangs, and survive it."""
    for i in range(10):
        client.set(f"k{i}", b"v" * 500)
    held = client.shim.arm("fdatasync", 1, "hold", match="snapshots")
    switch = client.server.admin.Configure.future(
        harness.admin.ConfigureRequest(plugin="snapshot"), timeout=harness.PATIENCE)
    held.wait_held()
    for i in range(5):
        client.set(f"k{i}", b"meanwhile")
    if client.server.status().plugin == "snapshot":
        client.note("the switch was over before its checkpoint")
    held.disarm()
    switch.result()
    client.mode = "snapshot"
    client.save()
    client.generation = client.server.status().generation


def hold_shadow(client):
    """Writes go on while the checkpoint of a shadow run hangs; the shadow is then given them all,
    and the mode stays."""
    for i in range(10):
        client.set(f"k{i}", b"v" * 500)
    held = client.shim.arm("fdatasync", 1, "hold", match="snapshots")
    run = client.server.shadow_call("hybrid", {"fsync": "no"})
    held.wait_held()
    for i in range(5):
        client.set(f"k{i}", b"meanwhile")
    if run.done():
        client.note("the shadow run was over before its checkpoint")
    held.disarm()
    report = run.result().shadow
    if report.outcome != harness.admin.ShadowReport.OUTCOME_EQUAL or report.records != 5:
        client.note(f"a shadow run told\n{report}")


def fifty_failures(what, kind, calls, match, attempt):
    """Fifty failures of `what`, at each of so many calls in turn, leave nothing behind, and writes
    go on. `attempt` makes one and is given the rule that makes it fail."""
    def run(client):
        for i in range(20):
            client.set(f"k{i}", b"v" * 1000)
        for turn in range(50):
            client.shim.heal()
            attempt(client, client.shim.arm(kind, 1 + turn % calls, ERROR, errno.EIO,
                                            last=faults.FOREVER, match=match))
            client.shim.heal()
            if not client.set("k0", b"%d" % turn):
                client.note(f"a failed {what} stopped the writes")
        left = client.leftovers()
        if left:
            client.note(f"left after 50 failures of a {what}: {left[:5]} ({len(left)})")
    return run


def failed_shadows(kind, calls):
    """The report of each run says that its shadow failed."""
    def attempt(client, rule):
        report = client.server.shadow("snapshot")
        if report.outcome != harness.admin.ShadowReport.OUTCOME_FAILED and rule.hits:
            client.note(f"a shadow run whose {kind} failed told\n{report}")
    return fifty_failures("shadow run", kind, calls, "gen-000002", attempt)


def failed_switches(kind, calls):
    """Each switch says so."""
    def attempt(client, _rule):
        if client.configure("snapshot"):
            client.note("a switch that cannot write said OK")
    return fifty_failures("switch", kind, calls, "gen-", attempt)


def disk_use(folder):
    return sum(os.path.getsize(os.path.join(path, name))
               for path, _, names in os.walk(folder) for name in names)


def repeated(kind, number):
    """Fifty failures in a row leave no more behind than a single one."""
    def run(client):
        for i in range(20):
            client.set(f"k{i}", b"v" * 1000)
        client.save()
        use = disk_use(client.data)
        for turn in range(50):
            client.set("k0", b"%d" % turn)
            client.shim.heal()
            rule = client.shim.arm(kind, number, ERROR, errno.EIO, match="snapshot")
            if client.save() and rule.hits:
                client.note(f"save said OK although its {kind} failed")
        client.shim.heal()
        if len(client.errors) < 50:
            client.note(f"only {len(client.errors)} of 50 saves failed")
        left = client.leftovers()
        if left:
            client.note(f"left after 50 failed saves: {left[:5]} ({len(left)})")
        # The log keeps growing meanwhile, by 50 small records and the space reserved for it.
        if disk_use(client.data) > use + 1_200_000:
            client.note(f"{use} bytes became {disk_use(client.data)} in 50 failed saves")
        client.recover(by_save=True)
    return run


def full_disk(client):
    """Writes are refused with RESOURCE_EXHAUSTED, reads and health go on, and once there is space
    the next write works. So does a switch that failed for lack of space."""
    client.set("before", b"1" * 1000)
    client.shim.arm(faults.SPACE, 1, ERROR, errno.ENOSPC, last=faults.FOREVER)
    # Writing and reserving need space; truncating and syncing do not.
    client.shim.heal()
    client.shim.arm("open write fallocate mkdir", 1, ERROR, errno.ENOSPC, last=faults.FOREVER)
    for i in range(3):
        client.set(f"refused{i}", b"2" * 3000)
    if len(client.errors) != 3:
        client.note("a write was acknowledged on a full disk")
    client.configure("snapshot")
    for what, code, _ in client.errors:
        if code != CODE.RESOURCE_EXHAUSTED:
            client.note(f"{what} on a full disk said {code}")
    if not client.serving() or client.server.status().read_only:
        client.note("a full disk made the server read-only")
    client.shim.heal()
    if not client.set("after", b"3" * 3000):
        client.note("the first write after space was freed was refused")


def full_record(client):
    """No space for ACTIVE's temporary file: the switch fails and the old mode goes on."""
    client.set("before", b"1")
    client.shim.arm("open", 1, ERROR, errno.ENOSPC, last=faults.FOREVER, match="ACTIVE.tmp")
    if client.configure("snapshot"):
        client.note("a switch that could not be recorded said OK")
    if client.server.status().read_only or not client.set("after", b"2"):
        client.note("a switch that could not be recorded stopped the writes")
    client.shim.heal()


def record_in_doubt(client):
    """The record of a switch is renamed into place, and neither that nor its withdrawal can be
    synced: the server is read-only, health says so, and writes are accepted again without help."""
    client.set("before", b"1")
    # The first sync of the data directory itself is that of the new generation's name.
    root = client.shim.root
    held = client.shim.arm("rename", 1, "late", errno.EIO, last=faults.FOREVER, match="ACTIVE")
    if client.configure("snapshot"):
        client.note("a switch whose record failed said OK")
    if held.hits < 2:
        client.note(f"the record below {root} was not withdrawn")
    client.set("refused", b"2")
    if not client.errors or client.errors[-1][0] != "set refused":
        client.note("a write was acknowledged while the record was in doubt")
    client.failed_at = client.generation
    client.check_read_only()
    client.recover(by_save=False)
    client.save()  # waits until the control thread has cleared up
    left = client.leftovers()
    if left:
        client.note(f"left after the record was settled: {left}")


def read_only(client):
    """A log that cannot be renewed: reads go on, health and errors say why; Save and Configure fail
    at first and later repair it."""
    client.set("before", b"1")
    client.shim.arm("fdatasync", 1, ERROR, errno.EIO, last=faults.FOREVER)
    client.set("refused", b"2")
    client.check_read_only()
    if client.read("before") != b"1" or dict(client.server.scan()) != client.state:
        client.note("reads fail while the server is read-only")
    if client.save() or client.configure("snapshot") or client.set("refused", b"3"):
        client.note("something was acknowledged on a disk that cannot sync")
    client.check_read_only()
    client.shim.heal()
    if not client.configure("aof"):
        client.note("configure did not repair a healed disk")
    if not client.set("after", b"4"):
        client.note("no write was accepted after the repair")


def background_sync(client):
    """everysec: after a failed background sync the old log acknowledges nothing, and what was
    acknowledged before is made durable afresh without waiting for another write."""
    client.set("before", b"1")
    rule = client.shim.arm("fdatasync", 1, ERROR, errno.EIO, match=".log")
    client.set("unsynced", b"2")
    rule.wait_hit()
    generation = client.generation
    faults.Rule.wait(lambda: client.server.status().generation > generation or
                     client.server.status().last_save_version >= client.history.acknowledged)
    client.failed_at = None
    client.generation = client.server.status().generation
    client.recover(by_save=False)


def concurrent_sync(client):
    """Of many writers, none whose write was in a failed sync gets OK."""
    outcomes = {}

    def write(number):
        key = f"w{number}"
        try:
            client.server.set(key, b"v")
            outcomes[key] = True
        except harness.grpc.RpcError:
            outcomes[key] = False

    held = client.shim.arm("fdatasync", 1, "hold")
    client.shim.arm("fdatasync", 2, ERROR, errno.EIO)
    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    threads[0].start()
    held.wait_held()
    for thread in threads[1:]:
        thread.start()
    held.disarm()
    for thread in threads:
        thread.join()
    client.shim.heal()
    acknowledged = {key: b"v" for key, done in outcomes.items() if done}
    if len(acknowledged) == len(outcomes):
        client.note("a failed sync refused no write")
    client.history.begin(sorted(acknowledged.items()))
    client.history.acknowledge()
    client.state.update(acknowledged)
    client.recover(by_save=False)


SCENARIOS = {
    "reads while a sync hangs": ("hybrid-always", Fault("fdatasync", 1, "hold", 0), hold_sync),
    "writes while a switch hangs": ("aof-always", Fault("fdatasync", 1, "hold", 0), hold_switch),
    "writes while a shadow run hangs": ("aof-always", Fault("fdatasync", 1, "hold", 0),
                                        hold_shadow),
    "50 failed shadow runs, fsync": ("aof-no", Fault("fsync", 1, ERROR, errno.EIO),
                                     failed_shadows("fsync", 2)),
    "50 failed shadow runs, write": ("hybrid-no", Fault("write", 1, ERROR, errno.EIO),
                                     failed_shadows("write", 3)),
    "50 failed shadow runs, read": ("hybrid-no", Fault("read", 1, ERROR, errno.EIO),
                                    failed_shadows("read", 2)),
    "50 failed snapshots, write": ("snapshot", Fault("write", 1, ERROR, errno.EIO),
                                   repeated("write", 2)),
    "50 failed snapshots, rename": ("hybrid-no", Fault("rename", 1, ERROR, errno.EIO),
                                    repeated("rename", 1)),
    "50 failed snapshots, fsync": ("aof-no", Fault("fsync", 1, ERROR, errno.EIO),
                                   repeated("fsync", 1)),
    "50 failed switches, fsync": ("aof-no", Fault("fsync", 1, ERROR, errno.EIO),
                                  failed_switches("fsync", 2)),
    "50 failed switches, write": ("hybrid-no", Fault("write", 1, ERROR, errno.EIO),
                                  failed_switches("write", 3)),
    "full disk": ("hybrid-always", Fault("write", 1, ERROR, errno.ENOSPC), full_disk),
    "full disk, aof": ("aof-no", Fault("write", 1, ERROR, errno.ENOSPC), full_disk),
    "no space for the record": ("aof-always", Fault("open", 1, ERROR, errno.ENOSPC), full_record),
    "record in doubt": ("aof-always", Fault("rename", 1, "late", errno.EIO), record_in_doubt),
    "read-only": ("hybrid-always", Fault("fdatasync", 1, ERROR, errno.EIO), read_only),
    "background sync fails": ("aof-everysec", Fault("fdatasync", 1, ERROR, errno.EIO),
                              background_sync),
    "background sync fails, hybrid": ("hybrid-everysec", Fault("fdatasync", 1, ERROR, errno.EIO),
                                      background_sync),
    "concurrent writers": ("hybrid-always", Fault("fdatasync", 2, ERROR, errno.EIO),
                           concurrent_sync),
}


def run_scenario(folder, case):
    import cases as experiments
    setting, _, act = SCENARIOS[case.group.partition(": ")[2]]
    mode, options, _ = experiments.SETTINGS[setting]
    client = session.Session(folder, mode, options)
    try:
        act(client)
        client.check_live()
        client.check_restart()
        return client.wrong, True
    finally:
        client.end(folder)


def cases():
    return [Case(f"scenario: {name}", setting, fault, run_scenario)
            for name, (setting, fault, _) in SCENARIOS.items()]
